"""What compiling costs: headers, the umbrella against what it includes, maps of many entries."""
import concurrent.futures
import os
import shutil
import statistics
import tempfile
from pathlib import Path

import subjects
from compiler import Compiler, code_bytes, run

SIZES = [4, 8, 16, 32, 64, 128, 256]
QUICK_SIZES = [4, 256]
JUDGED = ("what the umbrella includes", "the umbrella")


def compilers(root):
    found = []
    for name in ("g++", *(f"clang++-{version}" for version in (19, 20, 21, 22, 18))):
        if shutil.which(name) and not (found and name.startswith("clang") and found[-1].is_clang):
            found.append(Compiler([name], root))
    return found


def rounds_of(compiler, sources, rounds, *options):
    """Medians over rounds in which all sources take turns."""
    costs = {name: [] for name in sources}
    for number in range(rounds):
        order = list(sources) if number % 2 == 0 else list(reversed(list(sources)))
        for name in order:
            costs[name].append(compiler.cost(sources[name], *options))
    return {name: {"seconds": statistics.median(one["seconds"] for one in all_),
                   "all_seconds": [one["seconds"] for one in all_],
                   "peak_kib": max(one["peak_kib"] for one in all_), "code": all_[0].get("code")}
            for name, all_ in costs.items()}


def measure(root, bare_console, hello, quick, progress):
    """All of it as one dictionary, by compiler."""
    result = {}
    rounds = 3 if quick else 9
    for compiler in compilers(root):
        command = compiler.command[0]
        foreign = subjects.foreign_headers(root, compiler.command)
        heads = {"`<variant>`": subjects.include("variant"), "`<tuple>`": subjects.include("tuple"),
                 "`<gsl/span>`": subjects.include("gsl/span"),
                 "what the umbrella includes": subjects.include(*foreign),
                 "the same without GSL": subjects.include(
                     *(name for name in foreign if not name.startswith("gsl/"))),
                 "the umbrella": subjects.include(subjects.UMBRELLA),
                 "a whole monitor": Path(hello).read_text(encoding="utf-8")}
        progress(f"{command}: the umbrella and what it includes")
        own = result[command] = {
            "version": compiler.version, "identity": compiler.identity(), "foreign": foreign,
            "heads": dict.fromkeys(heads), "maps": {}, "headers": {}}
        judged = {name: heads[name] for name in JUDGED}
        others = {name: source for name, source in heads.items() if name not in JUDGED}
        own["heads"].update(rounds_of(compiler, judged, rounds, "-O2"))
        own["heads"].update(rounds_of(compiler, others, 1 if quick else 3, "-O2"))
        for size in QUICK_SIZES if quick else SIZES:
            progress(f"{command}: a map of {size} entries")
            own["maps"][size] = rounds_of(
                compiler, {"type": subjects.map_source(size, accesses=False),
                           "accesses": subjects.map_source(size)}, 1 if quick else 3, "-O2")
        if compiler.is_clang:
            progress(f"{command}: template instantiations")
            for name in JUDGED if quick else heads:
                own["heads"][name]["instantiations"] = \
                    sum(compiler.instantiations(heads[name]).values())
            for size, both in own["maps"].items():
                for name, one in both.items() if not quick else ():
                    one["instantiations"] = sum(compiler.instantiations(
                        subjects.map_source(size, name == "accesses")).values())
        if not quick:
            headers = subjects.public_headers(root)
            for number, header in enumerate(headers, 1):
                progress(f"{command}: header {number} of {len(headers)}")
                own["headers"][header] = rounds_of(
                    compiler, {"": subjects.include(header)}, 1, "-fsyntax-only")[""]
            if compiler.is_clang:
                progress(f"{command}: template instantiations of each header")
                # Counts, which do not mind company.
                with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                    for header, found in zip(headers, pool.map(
                            compiler.instantiations, map(subjects.include, headers))):
                        own["headers"][header]["instantiations"] = sum(found.values())
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "hello"
            compiler.build(heads["a whole monitor"], program, "-O2", "-s", "-pthread")
            own["binary"] = {"file": program.stat().st_size, "code": code_bytes(program)}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "bare"
        run(["gcc", "-O2", "-s", "-pthread", bare_console, "-o", program])
        result["bare C"] = {"file": program.stat().st_size, "code": code_bytes(program)}
    return result
