#!/usr/bin/env python3
"""Holds instruction and instantiation counts against bench/compile/record.json.

usage: check.py [--update] INCLUDE    PORTICO_CXX names the compiler

A count that has grown by more than 3 % fails until the record is changed with it (--update). Counts
belong to a compiler and its libraries: for others than those recorded there is nothing to hold
against, which is a skip.
"""
import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import subjects
from compiler import Compiler, executed_instructions, static_instructions

RECORD = Path(__file__).with_name("record.json")
GROWTH = 1.03
ENTRIES = 64
ACCESSES = 4096
SKIPPED = 77


def counts_of(compiler):
    """Each count that is recorded, and what to look at if it has grown."""
    counts, templates = {}, {}
    if compiler.is_clang:
        for name, source in (("umbrella", subjects.include(subjects.UMBRELLA)),
                             (f"map of {ENTRIES}", subjects.map_source(ENTRIES))):
            found = compiler.instantiations(source)
            counts[f"instantiations, {name}"] = sum(found.values())
            templates[f"instantiations, {name}"] = found
    with tempfile.TemporaryDirectory() as folder:
        code, program = Path(folder) / "map.o", Path(folder) / "map"
        compiler.build(subjects.map_source(ENTRIES), code, "-O2", "-c")
        counts[f"instructions in the code, map of {ENTRIES}"] = static_instructions(code)
        if shutil.which("valgrind"):
            compiler.build(subjects.map_program(ENTRIES, ACCESSES), program, "-O2")
            for pattern in ("same", "random", "miss"):
                counts[f"instructions executed, map of {ENTRIES}, {ACCESSES} accesses, {pattern}"] = \
                    executed_instructions(program, "dispatch_pass", pattern)
    return counts, templates


def judge(counts, recorded):
    """What has grown too much, what has shrunk as much, and what has no record or no count."""
    grown, shrunk, unknown, missing = [], [], [], []
    for name, count in counts.items():
        if name not in recorded:
            unknown.append(name)
        elif count > recorded[name] * GROWTH:
            grown.append(name)
        elif count * GROWTH < recorded[name]:
            shrunk.append(name)
    missing = [name for name in recorded if name not in counts]
    return grown, shrunk, unknown, missing


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--update", action="store_true", help="write the counts into the record")
    parser.add_argument("include", type=Path)
    options = parser.parse_args()
    compiler = Compiler([word for word in os.environ["PORTICO_CXX"].split() if "ccache" not in word],
                        options.include.resolve())
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    identity = compiler.identity()
    recorded = record.get(identity)
    if recorded is None and not options.update:
        print(f"no counts are recorded for {identity}")
        sys.exit(SKIPPED)
    counts, templates = counts_of(compiler)
    if options.update:
        record[identity] = {**(recorded or {}), **counts}
        RECORD.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    grown, shrunk, unknown, missing = judge(counts, recorded or {})
    for name, count in counts.items():
        before = (recorded or {}).get(name)
        print(f"{count:>9} {name}" + (f" (recorded: {before}, {count / before - 1:+.1%})" if before
                                      else " (not recorded)"))
    for name in shrunk:
        print(f"fewer than recorded: {name}. --update keeps it that way.")
    for name in missing:
        print(f"not counted, as valgrind is not here: {name}")
    if options.update:
        return
    for name in unknown:
        print(f"not in the record: {name}. To fix this: --update.")
    for name in grown:
        print(f"more than 3 % above the record: {name}. To fix this: make it fewer, or say why in the "
              "commit that changes the record (--update).")
        for template, count in templates.get(name, {}).most_common(15):
            print(f"{count:>9} {template}")
    sys.exit(1 if grown or unknown else 0)


if __name__ == "__main__":
    main()
