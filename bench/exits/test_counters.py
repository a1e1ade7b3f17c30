#!/usr/bin/env python3
"""No figure may come from a loop that did not run: guests that cheat must be found out.

usage: test_counters.py EXITS IMAGE
"""
import subprocess
import sys
import tempfile
from pathlib import Path

OUT = bytes.fromhex("ee")           # outb %al, %dx
STORE = bytes.fromhex("668907")     # movw %ax, (%rdi)
ADD = bytes.fromhex("4901c1")       # addq %rax, %r9
DEC = bytes.fromhex("49ffc8")       # decq %r8
NOPS = {1: b"\x90", 3: b"\x0f\x1f\x00"}

# A loop, the instruction that it loses, and a figure that it is for.
CHEATS = [("out1", OUT, "exits: out 1 byte, ring 0"),
          ("out1", ADD, "exits: out 1 byte, ring 3"),
          ("out1", OUT, "exits: out 1 byte, coalesced, ring 0"),
          ("store2", STORE, "exits: MMIO store 2 bytes, ioeventfd, ring 0"),
          ("out1", ADD, "framework: out 1 byte, ring 0")]


def loop_address(image, name):
    for place in range(0, len(image), 32):
        if image[place:place + 24].rstrip(b"\0") == name.encode():
            return int.from_bytes(image[place + 24:place + 32], "little")
    raise SystemExit(f"the image has no loop {name}")


def run(program, folder, figure):
    done = subprocess.run([program, "--images", folder, "--runs", "20", "--seconds", "0.01",
                           "--only", figure], capture_output=True, text=True, timeout=60,
                          check=False)
    if done.returncode == 77:
        print(done.stdout.strip().splitlines()[-1])
        sys.exit(77)
    return done


def main():
    program, path = sys.argv[1:]
    image = Path(path).read_bytes()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for name, lost, figure in CHEATS:
            start = loop_address(image, name)
            place = image.index(lost, start, start + 16)
            cheating = image[:place] + NOPS[len(lost)] + image[place + len(lost):]
            for content, expected in ((image, 0), (cheating, 1)):
                (Path(folder) / "exits.img").write_bytes(content)
                done = run(program, folder, figure)
                wrong = done.returncode != expected or ("WRONG" in done.stdout) != bool(expected)
                failed |= wrong
                print(f"{'not ok' if wrong else 'ok'}: {figure}, "
                      f"{'without an instruction' if expected else 'complete'}: "
                      f"status {done.returncode}")
                if wrong:
                    print(done.stdout + done.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
