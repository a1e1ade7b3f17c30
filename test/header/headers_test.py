#!/usr/bin/env python3
"""Shows that headers.py finds what it is there for."""

import pathlib
import tempfile
import unittest

import headers

EXAMPLE = "/// Sum.\n///\n///     #include <portico/sum.hpp>\n///     int three = sum(1, 2);\n"
SUM = "#pragma once\ninline int sum(int a, int b) { return a + b; }\n"


class Headers(unittest.TestCase):
    def failures(self, **files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "portico").mkdir()
            for name, text in files.items():
                (root / "portico" / f"{name}.hpp").write_text(text)
            return [name for name, errors in headers.checks(root, []) if errors()]

    def test_a_good_header_passes(self):
        self.assertEqual(self.failures(sum=EXAMPLE + SUM), [])

    def test_an_example_may_be_statements(self):
        example = EXAMPLE + "///     if (sum(1, 2) != three) return 1;\n"
        self.assertEqual(self.failures(sum=example + SUM), [])

    def test_a_wrong_example_is_found(self):
        self.assertEqual(self.failures(sum=EXAMPLE.replace("2)", "2, 3)") + SUM),
                         ["portico/sum.hpp"])

    def test_a_missing_include_is_found(self):
        self.assertEqual(self.failures(a="#pragma once\n#include <vector>\n",
                                       b="#pragma once\ninline std::vector<int> none;\n"),
                         ["portico/b.hpp"])

    def test_a_missing_guard_is_found(self):
        self.assertIn("portico/a.hpp", self.failures(a="struct A {};\n"))

    def test_a_definition_that_is_not_inline_is_found(self):
        self.assertEqual(self.failures(a="#pragma once\nint f();\nint f() { return 1; }\n"),
                         ["all together"])

    def test_a_need_of_rtti_is_found(self):
        self.assertEqual(self.failures(a="#pragma once\n#include <typeinfo>\n"
                                         "inline auto& i = typeid(int);\nstruct B { virtual ~B() "
                                         "= default; };\ninline auto& f(B& b) "
                                         "{ return typeid(b); }\n"),
                         ["all together"])

    def test_a_warning_of_the_host_project_is_found(self):
        self.assertEqual(self.failures(a="#pragma once\ninline char f(long x) { return x; }\n"),
                         ["all together"])


if __name__ == "__main__":
    unittest.main()
