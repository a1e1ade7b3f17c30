#!/usr/bin/env python3
"""Compiles every header alone and twice, its example, and all of them into two linked objects.

usage: headers.py FOLDER [OPTION...]   FOLDER holds portico/; options go to the compiler, which
                                       the environment names as PORTICO_CXX. One TAP line each:

  portico/x.hpp                        alone, and included twice
  portico/x.hpp: example               the code at the head of the header compiles after it
  one definition                       two objects that include everything link (without RTTI)
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]

# An example shows one thing: the includes of the C++ library may be left out.
EXAMPLE_INCLUDES = ["array", "cstddef", "cstdint", "cstdio", "cstring", "optional", "string",
                    "thread", "variant", "vector"]


class Compiler:
    def __init__(self, root, options):
        self.root = root
        self.command = os.environ["PORTICO_CXX"].split() + ["-std=c++20", f"-I{root}", *options]

    def errors_of(self, source, *options):
        """What the compiler says about a text that does not compile; else nothing."""
        result = subprocess.run(
            [*self.command, *options, "-fsyntax-only", "-x", "c++", "-"],
            input=source, capture_output=True, text=True)
        return result.stderr or "failed" if result.returncode else ""


def example_of(header):
    """The code at the head of a header: what is indented by four more in its first comment."""
    lines = []
    for line in header.read_text().split("\n"):
        if not line.startswith("//"):
            break
        text = line.lstrip("/")
        if text.startswith("     "):
            lines.append(text[5:])
        elif lines and not text.strip():
            lines.append("")
    return "\n".join(lines).strip()


def errors_of_header(compiler, name):
    return compiler.errors_of(f"#include <{name}>\n#include <{name}>\n", *WARNINGS)


def errors_of_example(compiler, name, example):
    """The code has to compile as it stands: at namespace level, or as the body of a function."""
    is_include = re.compile(r"#\s*include\b")
    lines = example.split("\n")
    includes = [f"#include <{heavy}>" for heavy in EXAMPLE_INCLUDES]
    includes += [f"#include <{name}>"] + [line for line in lines if is_include.match(line)]
    top = "\n".join(includes)
    body = "\n".join(line for line in lines if not is_include.match(line))
    errors = []
    for shape in (f"{top}\n#line 1 \"example\"\n{body}\n",
                  f"{top}\nint example(int argc, char** argv) {{\n"
                  f"#line 1 \"example\"\n{body}\nreturn 0;\n}}\n"):
        errors.append(compiler.errors_of(shape))
        if not errors[-1]:
            return ""
    return ("the code at its head compiles neither at namespace level nor as the body of a "
            f"function, where the compiler says:\n{min(errors, key=len)}")


def errors_of_linking(compiler, names):
    """Two objects include everything; a definition that is not inline stands in both."""
    everything = "".join(f"#include <{name}>\n" for name in names)
    with tempfile.TemporaryDirectory() as folder:
        first, second = f"{folder}/first.cpp", f"{folder}/second.cpp"
        pathlib.Path(first).write_text(everything + "int second();\nint main() "
                                       "{ return second(); }\n")
        pathlib.Path(second).write_text(everything + "int second();\nint second() { return 0; }\n")
        result = subprocess.run([*compiler.command, *WARNINGS, "-fno-rtti", "-pthread", first,
                                 second, "-o", f"{folder}/both"], capture_output=True, text=True)
        if result.returncode:
            return result.stderr
        return "" if subprocess.run([f"{folder}/both"]).returncode == 0 else "does not run"


def checks(root, options):
    """Each check's name and a function that gives its errors."""
    compiler = Compiler(root, options)
    headers = sorted(root.glob("portico/**/*.hpp"))
    names = [header.relative_to(root).as_posix() for header in headers]
    yield "one definition", lambda: errors_of_linking(compiler, names)
    for header, name in zip(headers, names):
        yield name, lambda name=name: errors_of_header(compiler, name)
        if example := example_of(header):
            yield (f"{name}: example",
                   lambda name=name, example=example: errors_of_example(compiler, name, example))


def main():
    todo = list(checks(pathlib.Path(sys.argv[1]), sys.argv[2:]))
    if len(todo) < 2:
        sys.exit(f"headers.py: no headers below {sys.argv[1]}/portico")
    print(f"1..{len(todo)}")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        running = [(name, pool.submit(check)) for name, check in todo]
        for number, (name, errors) in enumerate(running, 1):
            print(f"{'not ok' if errors.result() else 'ok'} {number} - {name}", flush=True)
            if errors.result():
                print(f"--- {name}\n{errors.result()}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
