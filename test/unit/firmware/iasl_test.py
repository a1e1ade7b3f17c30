#!/usr/bin/env python3
"""Has ACPI's own compiler read the tables that we make, and compares what it finds.

usage: iasl_test.py PROGRAM     PROGRAM writes tables of two boards into a folder; one TAP line each

The DSDT is disassembled, and what comes out is compiled again, which has to give the same bytes.
Skipped where iasl (Debian: acpica-tools) is not installed.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

# What has to stand in the disassembled text, with white space made one space.
EXPECTED = {
    "full_dsdt": [
        'Device (C001) { Name (_HID, "ACPI0007"',
        'Name (_HID, EisaId ("PNP0501")',
        "IO (Decode16, 0x03F8, 0x03F8, 0x01, 0x08, )",
        "Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive, ,, ) { 0x00000004, }",
        'Name (_HID, EisaId ("PNP0B00")',
        "IO (Decode16, 0x0060, 0x0060, 0x01, 0x01, ) IO (Decode16, 0x0064, 0x0064, 0x01, 0x01, )",
        'Name (_HID, "LNRO0005") Name (_UID, Zero)',
        "Memory32Fixed (ReadWrite, 0xD0000000, 0x00001000, ) "
        "Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive, ,, ) { 0x00000005, }",
        'Name (_HID, "LNRO0005") Name (_UID, One)',
        "QWordMemory (ResourceConsumer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite, "
        "0x0000000000000000, 0x0000001000000000, 0x0000001000000FFF, 0x0000000000000000, "
        "0x0000000000001000,",
        "Name (_S5, Package (0x04) { 0x05, 0x05, Zero, Zero })",
    ],
    "full_facp": [
        "PM1A Event Block Address : 00000600",
        "PM1A Control Block Address : 00000604",
        "PM Timer Block Address : 00000608",
        "Reset Register Supported (V2) : 1",
        "Value to cause reset : 01",
        "Hardware Reduced (V5) : 0",
    ],
    "full_apic": ["[Interrupt Source Override]", "[I/O APIC]", "[Local APIC NMI]"],
    "small_dsdt": ['Name (_HID, EisaId ("PNP0501")'],
    "small_facp": ["Hardware Reduced (V5) : 1", "CMOS RTC Not Present (V5) : 1"],
    "small_apic": ["[Processor Local APIC]"],
}


def text_of(path):
    """A disassembled table without comments and with single spaces."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", text)


def fault_of(folder, name):
    """What iasl does not like about a table, or nothing."""
    said = subprocess.run(["iasl", "-d", f"{name}.dat"], cwd=folder, capture_output=True, text=True)
    listing = folder / f"{name}.dsl"
    if said.returncode or not listing.exists():
        return said.stderr + said.stdout
    if re.search(r"error|invalid|incorrect checksum|warning", said.stderr, re.IGNORECASE):
        return said.stderr
    text = text_of(listing)
    for wanted in EXPECTED[name]:
        if wanted not in text:
            return f"{wanted!r} is not in:\n{text}"
    if not name.endswith("dsdt"):
        return None
    said = subprocess.run(["iasl", "-oa", "-p", "again", f"{name}.dsl"], cwd=folder,
                          capture_output=True, text=True)
    if said.returncode or "0 Errors, 0 Warnings" not in said.stdout:
        return said.stdout + said.stderr
    # The compiler writes its own name and version into the header, and the sum follows from that.
    ours, theirs = (folder / f"{name}.dat").read_bytes(), (folder / "again.aml").read_bytes()
    same = ours[36:] == theirs[36:] and ours[:9] == theirs[:9]
    return None if same else "compiled again, it has other bytes"


def main():
    if not shutil.which("iasl"):
        print("1..0 # SKIP iasl is not installed")
        return
    print(f"1..{len(EXPECTED)}")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], folder], check=True)
        for number, name in enumerate(EXPECTED, 1):
            fault = fault_of(pathlib.Path(folder), name)
            print(f"{'not ok' if fault else 'ok'} {number} - {name}")
            if fault:
                print(fault, file=sys.stderr)


if __name__ == "__main__":
    main()
