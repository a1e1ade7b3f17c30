#!/usr/bin/env python3
"""Runs the benchmarks of a release build and prints their tables in Markdown.

usage: run.py [--build FOLDER] [--quick] [--only exit_cost,start,memory,dispatch,instructions]

Everything measured goes to FOLDER/bench/report/bench.json as well, the tables to report.md beside it.
"""
import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import memory

SIZES = [1, 2, 4, 8, 11, 12, 16, 32, 64, 128, 256]
CONTENDERS = {
    "portico": "Portico",
    "switch": "`switch` by hand",
    "visit": "`std::visit`",
    "function_table": "function table",
    "port_array": "port array",
    "sorted_vector": "sorted vector",
    "ordered_map": "ordered map",
    "locked": "locked map",
    "portico:dense": "Portico, dense",
    "switch:dense": "`switch`, dense",
}
PATTERNS = {"random": "uniformly random ports of the map",
            "same": "one port over and over",
            "miss": "ports that nobody claims, uniformly random"}


def say(text):
    print("== " + text, file=sys.stderr, flush=True)


def output(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          check=False, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(str(word) for word in command)}\n"
                           f"ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |",
             "| --- |" + " ---: |" * (len(head) - 1)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def verdict(value, limit):
    return f"at most {limit:g}: " + ("holds" if value <= limit else "**missed**")


class Bench:
    def __init__(self, build, quick):
        self.bench = build / "bench"
        self.hypervisor = build / "examples" / "mini_hypervisor"
        self.quick = quick
        self.result = {}
        self.text = []

    def add(self, text):
        self.text.append(text)
        print(text, flush=True)

    def ours(self, image, count=1):
        return [self.hypervisor, "-m", "8", "-p", "2", "-g", *[self.bench / image] * count]

    def bare(self, image, count=1):
        several = ["-n", str(count)] if count > 1 else []
        return [self.bench / "bare_console", *several, self.bench / image]

    # --- Machine ---

    def machine(self):
        def first(path, default="unknown"):
            try:
                return Path(path).read_text(encoding="ascii").strip()
            except OSError:
                return default

        cpu = re.search(r"model name\s*: (.*)", first("/proc/cpuinfo"))
        modules = sorted(path.name for path in Path("/sys/module").glob("kvm*"))
        commands = json.loads(
            (self.bench.parent / "compile_commands.json").read_text(encoding="utf-8"))
        words = next(one["command"].split() for one in commands if "dispatch" in one["file"])
        compiler = next(word for word in words if "ccache" not in word)
        version = output(compiler, "--version").splitlines()[0]
        self.result["machine"] = {
            "cpu": cpu.group(1) if cpu else "unknown", "cpus": os.cpu_count(),
            "kernel": platform.release(), "kvm": modules, "compiler": version,
            "libc": " ".join(platform.libc_ver()), "load": os.getloadavg()}
        facts = self.result["machine"]
        self.add(f"{facts['cpu']}, {facts['cpus']} CPUs, Linux {facts['kernel']}, "
                 f"{' '.join(modules) or 'no KVM'}, {version}, {facts['libc']}; load at the start "
                 f"{facts['load'][0]:.1f}\n")

    # --- What an exit costs ---

    def exit_cost(self):
        say("what an exit costs: single-stepping")
        count = 100 if self.quick else 1000
        programs = [("bare C, `ioctl` and `putchar`", self.bare("stream.img"), 100, count),
                    ("`mini_hypervisor`", self.ours("stream.img"), 100, count)]
        if shutil.which("qemu-system-x86_64"):
            programs.append(("QEMU, machine microvm", [
                "qemu-system-x86_64", "-M", "microvm,rtc=off,pit=off,pic=off,x-option-roms=off",
                "-accel", "kvm", "-cpu", "host,-arch-capabilities", "-m", "64", "-nodefaults",
                "-no-user-config", "-display", "none", "-bios", self.bench / "reset.img",
                "-chardev", "file,path=/dev/null,id=console", "-device",
                "isa-debugcon,iobase=0xe9,chardev=console"], 100, 20))
        rows = []
        base = None
        for name, command, skip, number in programs:
            try:
                # The program writes its bytes to the same standard output: the JSON is the last line on.
                text = output(self.bench / "exit_cost", "--json", "--only", "out 0xe9", "--timeout",
                              "60", "--skip", skip, "--count", number, *command)
                found = json.loads(text[text.index('{"program"'):])
            except (RuntimeError, ValueError) as error:
                self.add(f"{name}: not counted: {error}\n")
                continue
            kind = found["exits"][0]
            alone = sum(1 for _, calls in found["samples"] if calls == 0)
            calls = ", ".join(f"{call} {times}" for call, times in kind["system_calls"].items())
            base = base or kind["median"]
            self.result.setdefault("exit_cost", {})[name] = kind
            rows.append([name, kind["median"], kind["min"], kind["max"],
                         f"{kind['median'] / base:.2f}",
                         f"{alone} of {len(found['samples'])}", calls or "none"])
        self.add("### User-space instructions from one KVM_RUN to the next, one byte to port 0xE9\n")
        self.add(table(["program", "median", "min", "max", "ratio", "exits without a system call",
                        "system calls"], rows))
        if len(rows) > 1:
            self.add(f"Ours against bare C: {rows[1][4]} ({verdict(float(rows[1][4]), 1.2)})\n")

    # --- Start ---

    def start(self):
        say("start: exec to the first byte on the terminal")
        runs = 40 if self.quick else 300
        found = json.loads(output(self.bench / "start", "--json", "--runs", runs,
                                  "--", *self.ours("first_byte.img"),
                                  "--", *self.bare("first_byte.img")))
        self.result["start"] = found
        rows = [[name, f"{one['median_us']:.0f}", f"{one['p10_us']:.0f}", f"{one['p90_us']:.0f}",
                 f"{one['end_median_us']:.0f}", one["peak_kib"]]
                for name, one in zip(["`mini_hypervisor`", "bare C"], found["commands"])]
        self.add(f"### From exec to the first byte on the terminal, {runs} runs of each, alternating\n")
        self.add(table(["program", "median, µs", "p10", "p90", "to its end", "resident at most, KiB"],
                       rows))
        low, high = found["interval"]
        self.add(f"Ratio of the medians {found['ratio']:.2f}, 95 % interval {low:.2f} to {high:.2f} "
                 f"({verdict(found['ratio'], 1.5)}"
                 f"{', not certain: too busy a machine' if low <= 1.5 < high else ''})\n")

    # --- Memory ---

    def memory(self):
        say("memory of one and of many machines alive")
        many = 100 if self.quick else 500
        rows = []
        for count in (1, many):
            rounds = 1 if count == 1 or self.quick else 3
            programs = {"`mini_hypervisor`": self.ours("wait.img", count),
                        "bare C": self.bare("wait.img", count)}
            found = {name: [] for name in programs}
            for _ in range(rounds):
                for name, command in programs.items():
                    found[name].append(
                        memory.measure([str(word) for word in command], count, guest_pages=1))
            for name, all_rounds in found.items():
                self.result.setdefault("memory", []).append(
                    {"program": name, "rounds": all_rounds})
                one = {key: statistics.median_low([r[key] for r in all_rounds])
                       for key in all_rounds[0]}
                rows.append([name, count, one["beyond_guest"],
                             f"{one['beyond_guest'] / count:.1f}", one["page_tables"],
                             f"{one['kernel'] / count:.0f}" if rounds > 1 else "",
                             one["threads"], one["descriptors"]])
        self.add("### Memory with machines alive, KiB (guest RAM not counted)\n")
        self.add(table(["program", "machines", "resident", "per machine", "its page tables",
                        "kernel, per machine (rough)", "threads", "descriptors"], rows))
        self.add(f"Resident beyond guest RAM with one machine: {rows[0][2] / 1024:.2f} MiB "
                 f"({verdict(rows[0][2] / 1024, 4)})\n")

    # --- Dispatch ---

    def dispatch(self):
        say("dispatch alone: time")
        repetitions = 5 if self.quick else 25
        sizes = "|".join(str(size) for size in ([1, 4, 16, 64, 256] if self.quick else SIZES))
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            output(self.bench / "dispatch", "--benchmark_min_time=0.003",
                   f"--benchmark_repetitions={repetitions}",
                   "--benchmark_enable_random_interleaving=true",
                   f"--benchmark_filter=/({sizes})/", f"--benchmark_out={file.name}",
                   "--benchmark_out_format=json")
            raw = json.load(file)
        times = {}
        for run in raw["benchmarks"]:
            if run["run_type"] == "iteration":
                contender, size, pattern = run["name"].split("/")[:3]
                times.setdefault((contender, int(size), pattern), []).append(
                    1e9 / run["items_per_second"])
        medians = {key: statistics.median(values) for key, values in times.items()}
        self.result["dispatch"] = [
            {"contender": contender, "entries": size, "pattern": pattern, "ns": values}
            for (contender, size, pattern), values in times.items()]
        self.add(f"### Dispatch alone, ns per access, median of {repetitions} passes in random order\n")
        self.tables(medians, "{:.1f}")
        self.limits(medians)

    def tables(self, values, form):
        present = [size for size in SIZES if ("portico", size, "random") in values]
        for pattern, meaning in PATTERNS.items():
            self.add(f"{meaning}:\n")
            self.add(table(["entries", *CONTENDERS.values()],
                           [[size, *[form.format(values[contender, size, pattern])
                                     for contender in CONTENDERS]] for size in present]))

    def limits(self, ns):
        present = [size for size in SIZES if ("portico", size, "random") in ns]
        rows = []

        def row(what, value, limit):
            rows.append([what, f"{value:.2f}", verdict(value, limit)])

        for size in present:
            if 4 <= size <= 16:
                for kind, words in (("", ""), (":dense", " over consecutive ports")):
                    row(f"{size} entries, random{words}: Portico / `switch`",
                        ns["portico" + kind, size, "random"] / ns["switch" + kind, size, "random"],
                        1.1)
        for size, limit in ((64, 2), (256, 3)):
            row(f"random: Portico with {size} entries / with 4",
                ns["portico", size, "random"] / ns["portico", 4, "random"], limit)
        row("one port: Portico with 256 entries / with 4",
            ns["portico", 256, "same"] / ns["portico", 4, "same"], 1.5)
        row("random, most unfavourable size: Portico / ordered map of virtual devices",
            max(ns["portico", size, "random"] / ns["ordered_map", size, "random"]
                for size in present), 1)
        row("one port, most unfavourable size: Portico / ordered map of virtual devices",
            max(ns["portico", size, "same"] / ns["ordered_map", size, "same"]
                for size in present), 1)
        row("most unfavourable size: Portico missing / hitting, random",
            max(ns["portico", size, "miss"] / ns["portico", size, "random"] for size in present), 1)
        row("one port, most unfavourable size: Portico / locked map",
            max(ns["portico", size, "same"] / ns["locked", size, "same"] for size in present), 0.2)
        self.result["limits"] = rows
        self.add(table(["limit", "measured", ""], rows))

    def instructions(self):
        if not shutil.which("valgrind"):
            self.add("Instructions for each dispatch: not counted, valgrind is not here\n")
            return
        say("dispatch alone: instructions, counted by callgrind")
        accesses = 1024
        counts = {}
        names = {"Portico": "portico", "Switch": "switch", "Visit": "visit",
                 "FunctionTable": "function_table", "PortArray": "port_array",
                 "SortedVector": "sorted_vector", "OrderedMap": "ordered_map", "Locked": "locked"}
        for pattern in PATTERNS:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "callgrind.out"
                output("valgrind", "--tool=callgrind", f"--callgrind-out-file={file}",
                       self.bench / "dispatch", "--count", pattern, accesses)
                text = output("callgrind_annotate", "--threshold=100", "--inclusive=yes", file)
            for count, name, size, layout in re.findall(
                    r"^ *([\d,]+) .*?:void dispatch::pass<dispatch::(\w+)<(\d+)u?l?, "
                    r"\(dispatch::Layout\)(\d)> ?>", text, re.MULTILINE):
                key = names[name] + (":dense" if layout == "1" else "")
                counts[key, int(size), pattern] = int(count.replace(",", "")) / accesses
        self.result["instructions"] = [
            {"contender": contender, "entries": size, "pattern": pattern, "instructions": value}
            for (contender, size, pattern), value in counts.items()]
        self.add("### Dispatch alone, instructions per access, the loop's four included\n")
        self.tables(counts, "{:.1f}")


def main():
    parser = argparse.ArgumentParser(description="Runs the benchmarks and prints their tables.")
    parser.add_argument("--build", type=Path, help="build folder (default: build/release)",
                        default=Path(__file__).resolve().parent.parent / "build" / "release")
    parser.add_argument("--quick", action="store_true", help="fewer runs and sizes")
    sections = ["exit_cost", "start", "memory", "dispatch", "instructions"]
    parser.add_argument("--only", help="comma-separated: " + ", ".join(sections))
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else sections
    unknown = set(wanted) - set(sections)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}: {', '.join(sections)}")
    bench = Bench(options.build.resolve(), options.quick)
    for path in (bench.bench / "exit_cost", bench.bench / "dispatch", bench.hypervisor):
        if not path.exists():
            sys.exit(f"run.py: {path} is missing: build it first (./dev bench does)")
    bench.machine()
    failed = False
    for section in wanted:
        if section in ("exit_cost", "start", "memory") and not os.access("/dev/kvm", os.R_OK | os.W_OK):
            bench.add(f"{section}: not measured, /dev/kvm cannot be opened here\n")
            continue
        try:
            getattr(bench, section)()
        except (RuntimeError, OSError) as error:
            failed = True
            bench.add(f"{section}: failed: {error}\n")
    report = bench.bench / "report"
    report.mkdir(exist_ok=True)
    (report / "bench.json").write_text(json.dumps(bench.result, indent=1), encoding="utf-8")
    (report / "report.md").write_text("\n".join(bench.text), encoding="utf-8")
    say(f"written to {report}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
