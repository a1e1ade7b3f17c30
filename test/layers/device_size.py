#!/usr/bin/env python3
"""Checks that the small devices stay small: at most 40 lines of code each.

usage: device_size.py FOLDER     FOLDER holds portico/; one TAP line for each device

What is counted: the lines from `class X` to the brace that closes it, both included, that hold
anything beside comments and white space. What the class takes from elsewhere is not counted: base
classes, structures beside it, the `template` line above it.
"""

import pathlib
import re
import sys

import layers

MOST = 40

# Each device, and the header that it stands in.
DEVICES = {
    "SimpleSerial": "devices/simple_serial.hpp",
    "SimpleDisk": "devices/simple_disk.hpp",
    "BlockDevice": "devices/block_device.hpp",
    "PvPanic": "devices/pvpanic.hpp",
}


def lines_of(name, text):
    """How many lines of code the class has; nothing if it is not there, or has no end."""
    code = layers.code_of(text)
    head = re.search(rf"^class {name}\b[^;{{]*{{", code, re.MULTILINE)
    if not head:
        return None
    depth = 1
    for brace in re.finditer(r"[{}]", code[head.end():]):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            body = code[head.start():head.end() + brace.end()]
            return sum(1 for line in body.split("\n") if line.strip())
    return None


def fault_of(name, text):
    """What is wrong with a device, or nothing."""
    lines = lines_of(name, text)
    if lines is None:
        return f"there is no class {name}"
    if lines > MOST:
        return f"{lines} lines of code, and {MOST} are the most"
    return None


def main():
    root = pathlib.Path(sys.argv[1]) / "portico"
    print(f"1..{len(DEVICES)}")
    failed = False
    for number, (name, header) in enumerate(DEVICES.items(), 1):
        text = (root / header).read_text()
        fault = fault_of(name, text)
        failed = failed or fault is not None
        print(f"{'not ok' if fault else 'ok'} {number} - {name}, "
              f"{fault or f'{lines_of(name, text)} lines'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
