#!/usr/bin/env python3
"""Lists what <linux/kvm.h> defines: its ioctls and structures, one macro call each.

usage: names.py COMPILER...     preprocesses the header with that command and writes, for each,

  NUMBER(KVM_RUN)               an ioctl whose argument, if any, is a type that this machine has
  STRUCTURE(kvm_regs)           a structure
"""

import re
import subprocess
import sys


def main():
    header = subprocess.run([*sys.argv[1:], "-E", "-dD", "-x", "c", "-"], check=True, text=True,
                            input="#include <linux/kvm.h>\n", capture_output=True).stdout
    header = header.replace("\\\n", " ")
    structures = dict.fromkeys(re.findall(r"^\s*struct\s+(kvm_\w+)\s*\{", header, re.MULTILINE))
    for name, body in re.findall(r"^#define (KVM_\w+)\s+(_IO\w*\(.*\))", header, re.MULTILINE):
        if set(re.findall(r"struct\s+(\w+)", body)) <= set(structures):
            print(f"NUMBER({name})")
    for name in structures:
        print(f"STRUCTURE({name})")


if __name__ == "__main__":
    main()
