#!/usr/bin/env python3
"""Compiles every header alone and twice with its example, and all into two linked objects.

usage: headers.py FOLDER [OPTION...]   FOLDER holds portico/; options go to the compiler, which
                                       the environment names as PORTICO_CXX. One TAP line each:

  portico/x.hpp                        nothing has to be included before it, and it may be
                                       included twice; the code at its head compiles after it
  all together                         two objects that include everything compile with strict
                                       warnings and without RTTI, and link: nothing is defined twice
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
    """The code at the head of a header: what its first comment indents by four, as Markdown has it."""
    lines, inside = [], False
    for line in header.read_text().split("\n"):
        if not line.startswith("//"):
            break
        text = line.lstrip("/")
        inside = not text or re.match(" {5}", text) and (inside or text[5] != " ")
        if inside:
            lines.append(text[5:])
    return "\n".join(lines).strip()


def errors_of_header(compiler, name, example):
    """The example has to compile as it stands: at namespace level, or as a function's body."""
    is_include = re.compile(r"#\s*include\b")
    lines = example.split("\n")
    header = f"#include <{name}>\n#include <{name}>\n"
    top = header + "".join(f"#include <{other}>\n" for other in EXAMPLE_INCLUDES)
    top += "".join(f"{line}\n" for line in lines if is_include.match(line))
    body = "\n".join(line for line in lines if not is_include.match(line))
    body = f"#line 1 \"example\"\n{body}\n"
    # A text that compiles with what it includes first shows that the header does alone. Which of
    # the two forms is tried first matters for time only.
    forms = [top + body]
    if "int main(" not in body:
        forms.append(f"{top}int example() {{\n{body}return 0;\n}}\n")
        if not re.search(r"^(class|enum|namespace|struct|template)\b", body, re.MULTILINE):
            forms.reverse()
    errors = []
    for form in forms:
        errors.append(compiler.errors_of(form))
        if not errors[-1]:
            return ""
    return compiler.errors_of(header) or (
        "the code at its head compiles neither at namespace level nor as the body of a function, "
        "where the compiler says:\n" + min(errors, key=len))


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
    yield "all together", lambda: errors_of_linking(compiler, names)
    for header, name in zip(headers, names):
        yield (name, lambda header=header, name=name:
               errors_of_header(compiler, name, example_of(header)))


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
