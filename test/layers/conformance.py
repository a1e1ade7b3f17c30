#!/usr/bin/env python3
"""Checks that the tests named in a conformance table are there.

usage: conformance.py README TESTS     TESTS is the folder that paths in the table are below; one TAP
                                       line for each row

A row of such a table, whose head is `| section | the device | tests |`, ends with

    | unit/virtio/mmio_test.cpp: Suite.test, Suite.other; unit/virtio/queue_test.cpp: Suite.test |
"""

import pathlib
import re
import sys

HEAD = "| section | the device | tests |"
FILE = re.compile(r"(?P<file>[\w/]+\.(?:cpp|py)): (?P<tests>\w+\.\w+(?:, \w+\.\w+)*)")


def rows_of(text):
    """Section, requirement and tests of each row of each conformance table, with its line."""
    inside = False
    for number, line in enumerate(text.split("\n"), 1):
        if line == HEAD:
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("| ---"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            yield number, cells


def is_test(suite, name, text):
    """Whether a file defines that test: in GoogleTest's words, or in unittest's."""
    return (re.search(rf"\bTEST(?:_[FP])?\(\s*{suite},\s*{name}\s*\)", text) is not None or
            re.search(rf"^class {suite}\b.*?^    def {name}\(", text,
                      re.MULTILINE | re.DOTALL) is not None)


def fault_of(cells, tests):
    """What is wrong with a row, or nothing."""
    if len(cells) != 3:
        return "has not three cells"
    if not re.fullmatch(r"\d+(\.\d+)*", cells[0]):
        return f"is for no section: {cells[0]}"
    named = cells[2].split("; ")
    for part in named:
        match = FILE.fullmatch(part)
        if not match:
            return f"names no test: {part or 'its last cell is empty'}"
        file = tests / match["file"]
        if not file.is_file():
            return f"names a file that is not there: {match['file']}"
        text = file.read_text()
        for test in match["tests"].split(", "):
            if not is_test(*test.split("."), text):
                return f"names a test that {match['file']} has not: {test}"
    return None


def main():
    readme, tests = map(pathlib.Path, sys.argv[1:3])
    rows = list(rows_of(readme.read_text()))
    print(f"1..{len(rows)}")
    for number, (line, cells) in enumerate(rows, 1):
        fault = fault_of(cells, tests)
        print(f"{'not ok' if fault else 'ok'} {number} - {' '.join(cells[:2])}")
        if fault:
            print(f"{readme}:{line}: the row {fault}", file=sys.stderr)
    return 0 if rows else "conformance.py: there is no row"


if __name__ == "__main__":
    sys.exit(main())
