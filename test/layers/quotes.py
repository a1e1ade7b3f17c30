#!/usr/bin/env python3
"""Checks that C and C++ code in the project's Markdown files stands in files that are built.

usage: quotes.py FOLDER     one TAP line for each block of code

A block is preceded by a line that names its file:

    <!-- file: examples/hello/main.cpp -->

and its lines stand there in one piece, or in several, with a line `// ...` between them. How far
they are indented does not matter, nor does a mark `// HERE`.
"""

import pathlib
import re
import subprocess
import sys

BLOCK = re.compile(r"(?:^<!-- file: (?P<file>\S+) -->\n)?^```(?:cpp|c\+\+|c)\n(?P<code>.*?)^```$",
                   re.MULTILINE | re.DOTALL)


def normal(text):
    """The lines of a text, without what may differ: common indentation, marks, trailing space."""
    lines = [re.sub(r"\s*// HERE$", "", line).rstrip() for line in text.strip("\n").split("\n")]
    indent = min((len(line) - len(line.lstrip()) for line in lines if line), default=0)
    return [line[indent:] for line in lines]


def stands_in(piece, lines):
    """Whether a piece's lines are somewhere among these, all indented alike."""
    return any(normal("\n".join(lines[i:i + len(piece)])) == piece
               for i in range(len(lines) - len(piece) + 1))


def fault_of(block, root):
    """What is wrong with a block of code, or nothing."""
    if not block["file"]:
        return "no line <!-- file: ... --> before it says where this code is built"
    file = root / block["file"]
    if not file.is_file():
        return f"{block['file']} is not there"
    lines = file.read_text().split("\n")
    for piece in re.split(r"^ *// \.\.\.\n", block["code"], flags=re.MULTILINE):
        if not stands_in(normal(piece), lines):
            return f"{block['file']} does not hold:\n{piece}"
    return None


def documents(root):
    names = subprocess.run(["git", "-C", root, "ls-files", "-z", "*.md"], capture_output=True,
                           text=True).stdout.split("\0")
    found = [root / name for name in names if name]
    return found or [file for file in root.glob("**/*.md") if "build" not in file.parts]


def main():
    root = pathlib.Path(sys.argv[1])
    blocks = [(document, block) for document in documents(root)
              for block in BLOCK.finditer(document.read_text())]
    print(f"1..{len(blocks)}")
    for number, (document, block) in enumerate(blocks, 1):
        line = document.read_text()[:block.start("code")].count("\n")
        fault = fault_of(block, root)
        where = f"{document.relative_to(root)}:{line}"
        print(f"{'not ok' if fault else 'ok'} {number} - {where}")
        if fault:
            print(f"{where}: {fault}", file=sys.stderr)


if __name__ == "__main__":
    main()
