#!/usr/bin/env python3
"""Checks that the headers keep to the layers of the library.

usage: layers.py FOLDER     FOLDER holds portico/; one TAP line for each header

What is checked stands in the tables below: which folder may include which, who may include the
kernel, GSL and heavy standard headers, and what the text of a header never holds.
"""

import pathlib
import re
import sys

# A folder includes itself and these. What stands at the top, machine*.hpp, is the layer "machine".
MAY_INCLUDE = {
    "base": set(),
    "memory": {"base"},
    "device": {"base", "memory"},
    "devices": {"base", "memory", "device"},
    "virtio": {"base", "memory", "device", "devices"},
    "kvm": {"base", "memory"},
    "x86": {"base", "memory"},
    "boot": {"base", "memory", "x86"},
    "firmware": {"base", "memory", "device", "boot"},
    "machine": {"base", "memory", "device", "kvm", "x86", "boot", "firmware"},
    "umbrella": {"base", "memory", "device", "kvm", "x86", "boot", "machine"},
}

# Single edges beside the table: including header, included header, why.
EXTRA_EDGES = {
    ("kvm/cpu_state.hpp", "x86/cpu_state.hpp"):
        "the one place that turns our CPU state into the kernel's structures",
}

# Who alone may include what.
ONLY_IN = {
    "linux/kvm.h": {"kvm/abi.hpp"},
    "linux/io_uring.h": {"devices/uring.hpp"},
    "gsl/": {"base/contracts.hpp"},
}

# Compile time and start-up that every user of the core would pay for.
TOO_HEAVY_FOR_THE_CORE = {"thread", "functional", "iostream", "filesystem"}

# base/ is the C++ library alone, but for owned file descriptors.
POSIX_IN_BASE = {"base/fd.hpp", "base/event_fd.hpp"}

# No call through a table on the way of an exit, and nothing imposed on whoever includes a header.
FORBIDDEN_WORDS = {
    r"\bvirtual\b": "virtual",
    r"\bstd::function\b": "std::function",
    r"\bstd::visit\b": "std::visit (use portico::match)",
    r"^using\s+namespace\b": "using namespace, for everyone who includes it",
}

LONGEST = 400

# The only directives: no macro leaves a header, and none is asked but the compiler's own.
DIRECTIVES = re.compile(r"#\s*(include|pragma\s+once|error|else|endif)\b|"
                        r"#\s*(el)?if(n?def)?\b(\W|defined\b|__\w+|\d+)*$")


def code_of(text):
    """The text with comments and the inside of literals blanked; lines stay where they are."""
    pattern = re.compile(
        r"""(?P<raw>R"(?P<tag>[^()\s\\]*)\(.*?\)(?P=tag)")"""
        r"""|(?P<comment>//[^\n]*|/\*.*?\*/)"""
        r"""|(?P<string>"(?:\\.|[^"\\\n])*")"""
        r"""|(?P<separator>(?<=[0-9A-Fa-f])'(?=[0-9A-Fa-f]))"""
        r"""|(?P<char>'(?:\\.|[^'\\\n])*')""",
        re.DOTALL)

    def blank(match):
        if match.lastgroup == "separator":
            return match.group()
        if match.lastgroup == "string" and line_start(match).strip().startswith("#"):
            return match.group()  # an #include "..."
        return re.sub(r"[^\n]", " ", match.group())

    def line_start(match):
        return text[text.rfind("\n", 0, match.start()) + 1:match.start()]

    return pattern.sub(blank, text)


def layer_of(path):
    """The layer of a header, by its path below portico/."""
    if path == "portico.hpp":
        return "umbrella"
    if path == "fwd.hpp":
        return "base"
    folder = path.split("/")[0] if "/" in path else path.removesuffix(".hpp")
    return "machine" if folder.startswith("machine") else folder


def faults_of_include(path, bracket, name, root):
    """What is wrong with one include line."""
    layer = layer_of(path)
    if bracket == '"':
        yield f'includes "{name}": write <{name}>, which works wherever the headers stand'
        return
    for what, places in ONLY_IN.items():
        if name == what or (what.endswith("/") and name.startswith(what)):
            if path not in places:
                yield f"includes <{name}>, which belongs to {', '.join(sorted(places))} alone"
    if layer not in ("devices",) and name in TOO_HEAVY_FOR_THE_CORE:
        yield f"includes <{name}>, which the core does not"
    if layer == "base" and path not in POSIX_IN_BASE and name.endswith(".h"):
        yield f"includes <{name}>: base/ is the C++ library alone"
    if not name.startswith("portico/"):
        return
    target = name.removeprefix("portico/")
    if not (root / name).is_file():
        yield f"includes <{name}>, which is not there"
    elif target == "portico.hpp":
        yield "includes the umbrella, which is for users"
    elif layer_of(target) not in MAY_INCLUDE[layer] | {layer}:
        if (path, target) not in EXTRA_EDGES:
            yield f"includes <{name}>: {layer} may not see {layer_of(target)}"


def faults_of(root, header):
    """All that is wrong with one header, as lines of text."""
    path = header.relative_to(root / "portico").as_posix()
    if layer_of(path) not in MAY_INCLUDE:
        yield f"stands in no layer: {layer_of(path)} is not in the table of layers.py"
        return
    text = header.read_text()
    code = code_of(text)
    lines = code.split("\n")
    if len(lines) > LONGEST + 1:
        yield f"is {len(lines) - 1} lines long: at most {LONGEST}, one idea per header"
    if not text.startswith("//"):
        yield "has no head: what it is for, an example, its limits"
    if sum(1 for line in lines if re.fullmatch(r"\s*#\s*pragma\s+once\s*", line)) != 1:
        yield "does not say #pragma once, once"
    # A macro that the same header takes back leaks nowhere: the cases of a switch need one.
    taken_back = {name for name in re.findall(r"^\s*#\s*undef\s+(PORTICO_\w+)", code, re.M)
                  if re.search(rf"^\s*#\s*define\s+{name}\b", code, re.M)}
    for number, line in enumerate(lines, 1):
        own = re.match(r"\s*#\s*(?:define|undef)\s+(\w+)", line)
        if own and own.group(1) in taken_back:
            continue
        if line.lstrip().startswith("#") and not DIRECTIVES.match(line.lstrip()):
            yield f"line {number}: {line.strip()}: no macros and no choices by macro in headers"
        if include := re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line):
            for fault in faults_of_include(path, *include.groups(), root):
                yield f"line {number}: {fault}"
        for word, name in FORBIDDEN_WORDS.items():
            if re.search(word, line):
                yield f"line {number}: {name}"


def main():
    root = pathlib.Path(sys.argv[1])
    headers = sorted(root.glob("portico/**/*.hpp"))
    if not headers:
        sys.exit(f"layers.py: no headers below {root}/portico")
    print(f"1..{len(headers)}")
    for number, header in enumerate(headers, 1):
        faults = list(faults_of(root, header))
        print(f"{'not ok' if faults else 'ok'} {number} - {header.relative_to(root)}")
        for fault in faults:
            print(f"# {header}: {fault}", file=sys.stderr)


if __name__ == "__main__":
    main()
