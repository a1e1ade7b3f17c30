#!/usr/bin/env python3
"""Shows that layers.py finds each fault that it is there for, and nothing in clean headers."""

import pathlib
import tempfile
import unittest

import layers

CLEAN = {
    "portico/base/bytes.hpp": "/// Bytes.\n#pragma once\n#include <cstdint>\n",
    "portico/base/contracts.hpp": "/// Contracts.\n#pragma once\n#include <gsl/span>\n",
    "portico/base/fd.hpp": "/// A descriptor.\n#pragma once\n#include <unistd.h>\n",
    "portico/kvm/abi.hpp": "/// The kernel's.\n#pragma once\n"
        "#if !defined(__x86_64__) || __cplusplus < 202002\n#error \"no\"\n#endif\n#include <linux/kvm.h>\n",
    "portico/x86/cpu_state.hpp": "/// State.\n#pragma once\n",
    "portico/kvm/cpu_state.hpp":
        "/// State.\n#pragma once\n#include <portico/x86/cpu_state.hpp>\n",
    "portico/devices/uart.hpp":
        "/// A UART.\n#pragma once\n#include <portico/base/bytes.hpp>\n#include <thread>\n",
    "portico/machine.hpp":
        "/// virtual, std::visit and #define may stand in comments\n#pragma once\n"
        "#include <portico/kvm/abi.hpp>\n"
        "inline constexpr auto text = \"virtual std::function\";\n"
        "inline constexpr auto raw = R\"(virtual \" // )\";\n"
        "inline constexpr auto quote = '\"', base = 0xD000'0000;  // a virtual one\n",
    "portico/portico.hpp": "/// All.\n#pragma once\n#include <portico/machine.hpp>\n",
}

HEAD = "/// Faulty.\n#pragma once\n"

# Where the fault stands, its text, and what the report says.
FAULTY = [
    ("base/new.hpp", HEAD + "#include <portico/kvm/abi.hpp>\n", "base may not see kvm"),
    ("base/new.hpp", HEAD + "#include <sys/mman.h>\n", "C++ library alone"),
    ("base/new.hpp", HEAD + "#include <gsl/assert>\n", "base/contracts.hpp alone"),
    ("base/new.hpp", HEAD + "#include <thread>\n", "the core does not"),
    ("memory/new.hpp", HEAD + "#include <portico/x86/cpu_state.hpp>\n", "may not see x86"),
    ("devices/new.hpp", HEAD + "#include <portico/kvm/abi.hpp>\n", "may not see kvm"),
    ("devices/new.hpp", HEAD + "#include <linux/kvm.h>\n", "kvm/abi.hpp alone"),
    ("kvm/new.hpp", HEAD + "#include <portico/devices/uart.hpp>\n", "may not see devices"),
    ("kvm/new.hpp", HEAD + "#include <linux/kvm.h>\n", "kvm/abi.hpp alone"),
    ("kvm/new.hpp", HEAD + "#include <portico/x86/cpu_state.hpp>\n", "may not see x86"),
    ("boot/new.hpp", HEAD + "#include <portico/machine.hpp>\n", "may not see machine"),
    ("machine.hpp", HEAD + "#include <portico/portico.hpp>\n", "umbrella"),
    ("machine.hpp", HEAD + "#include <portico/devices/uart.hpp>\n", "may not see devices"),
    ("machine.hpp", HEAD + "#include <portico/gone.hpp>\n", "not there"),
    ("machine.hpp", HEAD + "#include \"portico/base/bytes.hpp\"\n", "works wherever"),
    ("machine.hpp", HEAD + "struct S { virtual ~S(); };\n", "virtual"),
    ("machine.hpp", HEAD + "int f(int, std::function<void()>);\n", "std::function"),
    ("machine.hpp", HEAD + "auto x = 0x1'0 + std::visit(a, b);\n", "std::visit"),
    ("machine.hpp", HEAD + "using namespace std;\n", "using namespace"),
    ("machine.hpp", HEAD + "#define PORTICO 1\n", "no macros"),
    ("machine.hpp", HEAD + "#ifdef NDEBUG\n#endif\n", "no choices by macro"),
    ("machine.hpp", HEAD + "#if PORTICO_FAST\n#endif\n", "no choices by macro"),
    ("machine.hpp", HEAD + "#undef min\n", "no macros"),
    ("machine.hpp", HEAD + "\n" * 399, "lines long"),
    ("machine.hpp", "/// No guard.\n", "#pragma once"),
    ("machine.hpp", "#pragma once\n", "no head"),
    ("sound/new.hpp", HEAD, "stands in no layer"),
]


class Layers(unittest.TestCase):
    def faults(self, files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name, text in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
            return [fault for name in files for fault in layers.faults_of(root, root / name)]

    def test_clean_headers_have_no_fault(self):
        self.assertEqual(self.faults(CLEAN), [])

    def test_each_fault_is_found_alone(self):
        for name, text, report in FAULTY:
            with self.subTest(name=name, report=report):
                faults = self.faults(CLEAN | {f"portico/{name}": text})
                self.assertEqual(len(faults), 1, faults)
                self.assertIn(report, faults[0])


if __name__ == "__main__":
    unittest.main()
