#!/usr/bin/env python3
"""Code that must not compile, and what the compiler has to say about it.

usage: compile_fail.py FOLDER [OPTION...]   options go to the compiler, which the environment names
                                            as PORTICO_CXX. Each .cpp file of FOLDER gives two TAP
                                            lines:

  name              the fault: refused, and in the words that the file expects
  name: control     the same file with -DPORTICO_CONTROL, without the fault, compiles silently

A file says what it expects in comments:

  // EXPECT: REGEX   stands somewhere in what the compiler says, on one line; any number of them
  // FIRST: REGEX    stands in the first error
  // LINES: N        what the compiler says has at most N lines; default 60
  // HERE            on the line of the user's code that has to be named, or on each line of a
                     statement, one of which has to be

Headers that many files begin with are compiled once, ahead: reading them is most of the time.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

OPTIONS = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion",
           "-fdiagnostics-color=never"]
MOST_LINES = 60
FILES_WORTH_A_PRECOMPILED_HEADER = 4


def first_header(file):
    return re.search(r"^#include <(.*)>", file.read_text(), re.MULTILINE)[1]


class Precompiled:
    """The first headers of many files, each included by a file that both compilers know to have
    been compiled."""

    def __init__(self, files, options, folder):
        self.folder = pathlib.Path(folder)
        headers = [first_header(file) for file in files]
        many = {header for header in headers
                if headers.count(header) >= FILES_WORTH_A_PRECOMPILED_HEADER}
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for done in [pool.submit(self._precompile, header, options) for header in many]:
                done.result()

    def _place(self, header):
        return self.folder / header.replace("/", "_")

    def _precompile(self, header, options):
        place = self._place(header)
        place.write_text(f"#include <{header}>\n")
        with_warnings = [option for option in OPTIONS if option != "-fsyntax-only"]
        subprocess.run([*os.environ["PORTICO_CXX"].split(), *with_warnings, *options,
                        "-x", "c++-header", str(place), "-o", f"{place}.gch"], check=True)

    def options_of(self, file):
        place = self._place(first_header(file))
        return ["-include", str(place)] if place.is_file() else []


def output_of(file, options):
    """Whether a file compiles, and what the compiler says."""
    command = [*os.environ["PORTICO_CXX"].split(), *OPTIONS, *options, str(file)]
    # The texts are compared with plain quotes.
    result = subprocess.run(command, capture_output=True, text=True,
                            env={**os.environ, "LC_ALL": "C"})
    return result.returncode == 0, result.stdout + result.stderr


def lines_in(text, key):
    return [line.split(key, 1)[1].strip() for line in text.split("\n") if f"// {key}" in line]


def faults_of_refusal(file, compiled, output):
    """What is wrong with how the compiler refused a file; an empty list if nothing is."""
    if compiled:
        return ["compiles, and must not"]
    text = file.read_text()
    faults = []
    expected = lines_in(text, "EXPECT:")
    first_error = next((line for line in output.split("\n") if re.search(r"\berror:", line)), "")
    for regex in expected:
        if not re.search(regex, output):
            faults.append(f"does not say: {regex}")
    for regex in lines_in(text, "FIRST:"):
        expected.append(regex)
        if not re.search(regex, first_error):
            faults.append(f"does not begin with: {regex}")
    if not expected:
        faults.append("the file expects nothing: add a line // EXPECT: REGEX")
    here = [number for number, line in enumerate(text.split("\n"), 1) if line.endswith("// HERE")]
    if not here:
        faults.append("the file names no line of the user: end one with // HERE")
    elif not any(f"{file.name}:{number}:" in output for number in here):
        faults.append(f"names none of the lines {here}")
    most = int((lines_in(text, "LINES:") or [MOST_LINES])[0])
    if output.count("\n") > most:
        faults.append(f"is longer than {most} lines: {output.count(chr(10))}")
    return faults


def check_fault(file, options):
    compiled, output = output_of(file, options)
    faults = faults_of_refusal(file, compiled, output)
    return "".join(f"{fault}\n" for fault in faults) + output if faults else ""


def check_control(file, options):
    compiled, output = output_of(file, ["-DPORTICO_CONTROL", *options])
    return output or "failed" if output or not compiled else ""


def main():
    files = sorted(pathlib.Path(sys.argv[1]).glob("*.cpp"))
    if not files:
        sys.exit(f"compile_fail.py: no files in {sys.argv[1]}")
    with tempfile.TemporaryDirectory() as folder:
        check_all(files, sys.argv[2:], Precompiled(files, sys.argv[2:], folder))


def check_all(files, options, precompiled):
    todo = [(name, check, file) for file in files
            for name, check in ((file.stem, check_fault), (f"{file.stem}: control", check_control))]
    print(f"1..{len(todo)}")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        running = [(name, pool.submit(check, file, precompiled.options_of(file) + options))
                   for name, check, file in todo]
        for number, (name, errors) in enumerate(running, 1):
            print(f"{'not ok' if errors.result() else 'ok'} {number} - {name}", flush=True)
            if errors.result():
                print(f"--- {name}\n{errors.result()}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
