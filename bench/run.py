#!/usr/bin/env python3
"""Runs the benchmarks of a release build, and writes a report with tables, raw data and plots.

usage: run.py [--build FOLDER] [--report FOLDER] [--quick] [--only SECTION,...] [--exits FILE]

SECTIONs: exits, exit_cost, virtio, start, memory, lifecycle, dispatch, instructions, compile. The report (by
default build/bench/report/) holds report.md, figures.csv, bench.json with every single figure,
google_benchmark.json as Google Benchmark wrote it, and plots as SVG and PNG.
"""
import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent / "compile"))
sys.path.insert(1, str(Path(__file__).resolve().parent / "virtio"))

import compare as virtio_compare
import compile_cost
import exits_report
import judge
import machine
import memory
import plots
from tables import markdown, number, write_csv

ROOT = Path(__file__).resolve().parent.parent
SIZES = [1, 2, 4, 8, 11, 12, 16, 32, 64, 128, 256]
QUICK_SIZES = [1, 4, 16, 64, 256]
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
PATTERNS = {"same": "one port over and over",
            "random": "uniformly random ports of the map",
            "miss": "ports that nobody claims, uniformly random"}
NEEDS_KVM = ("exits", "exit_cost", "virtio", "start", "memory", "lifecycle")


def output(*command, seconds=600, **more):
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=seconds,
                              **more)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{' '.join(words)}\nhad not ended after {seconds} s") from error
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}\nended with {done.returncode}: "
                           f"{done.stderr.strip()[-400:]}")
    return done.stdout


class Progress:
    """What is being measured, and for how long: one line that is kept up on a terminal."""

    def __init__(self, steps, stream=sys.stderr):
        self.steps = steps
        self.step = 0
        self.stream = stream
        self.start = time.monotonic()
        self.text = ""
        self.live = stream.isatty()
        self.ended = threading.Event()
        if self.live:
            threading.Thread(target=self._keep_up, daemon=True).start()

    def next(self, text):
        self.step += 1
        self.say(text)

    def say(self, text):
        self.text = text
        if self.live:
            self._draw()
        else:
            print(f"== [{self.step}/{self.steps}] {self._clock()} {text}", file=self.stream,
                  flush=True)

    def end(self):
        self.ended.set()
        if self.live:
            print("\r\033[K", end="", file=self.stream, flush=True)

    def _clock(self):
        seconds = int(time.monotonic() - self.start)
        return f"{seconds // 60}:{seconds % 60:02}"

    def _draw(self):
        width = 20
        done = width * max(self.step - 1, 0) // max(self.steps, 1)
        print(f"\r\033[K[{'#' * done}{'.' * (width - done)}] {self.step}/{self.steps} "
              f"{self._clock()} {self.text}", end="", file=self.stream, flush=True)

    def _keep_up(self):
        while not self.ended.wait(1):
            self._draw()


class Bench:
    def __init__(self, build, report, quick, progress, exits_file=None):
        self.bench = build / "bench"
        self.build = build
        self.report = report
        self.hypervisor = build / "examples" / "mini_hypervisor"
        self.quick = quick
        self.progress = progress
        self.exits_file = exits_file
        self.result = {}
        self.text = []
        self.csv = []
        self.claims = []
        self.round_trips = []

    def add(self, *text):
        self.text += text

    def claim(self, what, measured, verdict):
        self.claims.append([what, measured, verdict])

    def plot(self, draw, *arguments, **more):
        if plots.available():
            self.add(draw(self.report, *arguments, **more))

    def ours(self, image, count=1):
        return [self.hypervisor, "-m", "8", "-p", "2", "-g", *[self.bench / image] * count]

    def bare(self, image, count=1):
        several = ["-n", str(count)] if count > 1 else []
        return [self.bench / "bare_console", *several, self.bench / image]

    # --- Machine ---

    def machine(self):
        commands = json.loads((self.build / "compile_commands.json").read_text(encoding="utf-8"))
        words = next(one["command"].split() for one in commands if "dispatch" in one["file"])
        facts = machine.facts(next(word for word in words if "ccache" not in word))
        self.result["machine"] = facts
        self.add("## The machine\n", machine.markdown(facts))

    # --- Exits, in time ---

    def exits(self):
        program = self.bench / "exits"
        if self.exits_file:
            records = json.loads(Path(self.exits_file).read_text(encoding="utf-8"))
        elif not program.exists():
            self.add("## What an exit costs\n", "Not measured: `bench/exits` is not built.\n")
            return
        else:
            file = self.report / "exits.json"
            output(program, "--json", file, *(["--quick"] if self.quick else []))
            records = json.loads(file.read_text(encoding="utf-8"))
        self.result["exits"] = records
        (self.report / "histograms").mkdir(exist_ok=True)
        self.add(*exits_report.sections(records, self.report if plots.available() else None))
        self.claims += exits_report.claims(records)
        self.round_trips = exits_report.main_rows(records)
        self.csv += exits_report.csv_rows(records)

    # --- Exits, counted ---

    def exit_cost(self):
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
        self.add("## Instructions from one KVM_RUN to the next\n",
                 "User space only, one byte to port 0xE9, counted by single-stepping "
                 "(`bench/exit_cost`). Belongs to compiler and C library, not to the machine.\n")
        for name, command, skip, several in programs:
            try:
                # The program writes its bytes to the same standard output: the JSON is the last line on.
                text = output(self.bench / "exit_cost", "--json", "--only", "out 0xe9", "--timeout",
                              "60", "--skip", skip, "--count", several, *command)
                found = json.loads(text[text.index('{"program"'):])
            except (RuntimeError, ValueError) as error:
                self.add(f"{name}: not counted: {error}\n")
                continue
            kind = found["exits"][0]
            alone = sum(1 for _, calls in found["samples"] if calls == 0)
            calls = ", ".join(f"{call} {times}" for call, times in kind["system_calls"].items())
            base = base or kind["median"]
            self.result.setdefault("exit_cost", {})[name] = kind
            self.csv.append({"section": "exit_cost", "name": "out 0xE9 1 byte", "variant": name,
                             "unit": "instructions", "value": kind["median"], "min": kind["min"]})
            rows.append([name, kind["median"], kind["min"], kind["max"],
                         f"{kind['median'] / base:.2f}",
                         f"{alone} of {len(found['samples'])}", calls or "none"])
        self.add(markdown(["program", "median", "min", "max", "ratio", "exits without a system call",
                           "system calls"], rows))
        if len(rows) > 1 and rows[1][0] == "`mini_hypervisor`":
            ratio = float(rows[1][4])
            self.claim("instructions from one KVM_RUN to the next: ours / bare C, at most 1.2",
                       f"{rows[1][1]} / {rows[0][1]} = {ratio:.2f}", judge.at_most(ratio, ratio, ratio, 1.2))

    # --- Virtio requests ---

    def virtio(self):
        self.add("## What a virtio request costs, beside QEMU\n",
                 "One guest on QEMU's microvm machine and on a monitor of ours "
                 "([`bench/virtio`](../../../bench/virtio)), each case on all in alternating order. "
                 "Processor time is of the whole process, that of its guest included.\n")
        if not shutil.which("qemu-system-x86_64"):
            self.add("Not measured: QEMU is not here.\n")
            return
        file = self.report / "virtio.json"
        output(sys.executable, ROOT / "bench" / "virtio" / "compare.py", "--bench", self.bench,
               "--json", file, *(["--quick"] if self.quick else []), seconds=900)
        records = json.loads(file.read_text(encoding="utf-8"))
        self.result["virtio"] = records
        self.add(*virtio_compare.sections(records))
        self.csv += virtio_compare.csv_rows(records)
        for what, measured, verdict in virtio_compare.claims(records):
            self.claim(what, measured, verdict)

    # --- Start ---

    def start(self):
        runs = 40 if self.quick else 300
        found = json.loads(output(self.bench / "start", "--json", "--runs", runs,
                                  "--", *self.ours("first_byte.img"),
                                  "--", *self.bare("first_byte.img")))
        self.result["start"] = found
        rows = []
        for name, one in zip(["`mini_hypervisor`", "bare C"], found["commands"]):
            rows.append([name, *[number(one[key]) for key in ("median_us", "p10_us", "p90_us",
                                                              "end_median_us", "peak_kib")]])
            self.csv.append({"section": "start", "name": "exec to first byte", "variant": name,
                             "unit": "us", "count": runs, "value": one["median_us"]})
        low, high = found["interval"]
        self.add("## From exec to the guest's first byte on the terminal\n",
                 f"{runs} runs of each, alternating; the interval is a bootstrap over pairs of runs.\n",
                 markdown(["program", "median, µs", "p10", "p90", "to its end",
                           "resident at most, KiB"], rows),
                 f"Ratio of the medians {found['ratio']:.2f}, 95 % interval {low:.2f} to {high:.2f}.\n")
        self.claim("exec to first byte: ours / bare C, at most 1.5",
                   f"{found['ratio']:.2f} ({low:.2f} to {high:.2f})",
                   judge.at_most(found["ratio"], low, high, 1.5))

    # --- Memory ---

    def memory(self):
        rows = []
        for count in (1, 100) if self.quick else (1, 10, 100, 1000):
            rounds = 1 if self.quick or count == 1000 else 3
            programs = {"`mini_hypervisor`": self.ours("wait.img", count),
                        "bare C": self.bare("wait.img", count)}
            found = {name: [] for name in programs}
            for _ in range(rounds):
                for name, command in programs.items():
                    self.progress.say(f"memory of {count} machines alive: {name}")
                    found[name].append(
                        memory.measure([str(word) for word in command], count, guest_pages=1))
            for name, all_rounds in found.items():
                self.result.setdefault("memory", []).append(
                    {"program": name, "rounds": all_rounds})
                one = {key: statistics.median_low([r[key] for r in all_rounds])
                       for key in all_rounds[0]}
                self.csv.append({"section": "memory", "name": "resident beyond guest RAM",
                                 "variant": name, "parameter": count, "unit": "KiB",
                                 "value": one["beyond_guest"], "count": rounds})
                rows.append([name, count, number(one["beyond_guest"]),
                             f"{one['beyond_guest'] / count:.1f}", number(one["page_tables"]),
                             f"{one['kernel'] / count:.0f}" if count >= 100 else "",
                             one["threads"], one["descriptors"]])
                if count == 1 and name == "`mini_hypervisor`":
                    mib = one["beyond_guest"] / 1024
                    self.claim("resident beyond guest RAM, one machine, at most 4 MiB",
                               f"{mib:.2f} MiB", judge.at_most(mib, mib, mib, 4))
        self.add("## Memory with machines alive, a thread each\n",
                 "KiB, guest RAM not counted. Threads include KVM's own, one for each machine on newer "
                 "kernels. \"Kernel\" is by how much less of this machine's memory was free: rough.\n",
                 markdown(["program", "machines", "resident", "per machine", "its page tables",
                           "kernel, per machine (rough)", "threads", "descriptors"], rows))

    # --- Life of a machine ---

    def lifecycle(self):
        rounds, alive = (80, "1,10,100") if self.quick else (600, "1,10,100,1000")
        found = json.loads(output(self.bench / "lifecycle", "--rounds", rounds, "--alive", alive))
        self.result["lifecycle"] = found
        self.add("## The life of one machine\n",
                 "2 MiB of RAM, one device, long mode; µs, Portico and bare ioctls in C in alternating "
                 f"order in one process, {rounds} rounds. All from just before `/dev/kvm` is opened, but "
                 "\"destroyed\", which is from the end of the run. The first instruction is a store that "
                 "another thread waits for, in rounds of their own. Guest and host agree on what was "
                 "stored and written, or there are no figures.\n")
        rows = []
        for key, text in (("created", "created"), ("first_instruction", "first instruction"),
                          ("first_exit", "first exit"), ("destroyed", "destroyed")):
            ours, bare = found["lives"]["portico"][key], found["lives"]["bare"][key]
            ratio, low, high = judge.ratio_interval(ours, bare)
            rows.append([text, *[number(statistics.quantiles(values, n=10)[at] / 1000)
                                 for values in (ours, bare) for at in (4, 0, 8)],
                         f"{ratio:.2f}", f"{low:.2f} to {high:.2f}"])
            for name, values in (("portico", ours), ("bare", bare)):
                self.csv.append({"section": "lifecycle", "name": text, "variant": name, "unit": "ns",
                                 "count": len(values), "value": statistics.median(values),
                                 "p50": statistics.median(values), "min": min(values),
                                 "mean": statistics.mean(values)})
        self.add(markdown(["until", "Portico, median", "p10", "p90", "bare C, median", "p10", "p90",
                           "ratio", "95 % interval"], rows))
        rows = []
        for one in found["alive"]:
            count = one["count"]
            rows.append([{"portico": "Portico", "bare": "bare C"}[one["who"]], count,
                         "a thread each" if one["threads_each"] else "one thread",
                         number((one["create_ns"] + one["run_ns"]) / count / 1000),
                         number(one["destroy_ns"] / count / 1000),
                         number((one["create_ns"] + one["run_ns"] + one["destroy_ns"]) / 1e6),
                         number(one["resident_kib"] / count, 1), one["threads"]])
            for key in ("create_ns", "run_ns", "destroy_ns", "resident_kib"):
                self.csv.append({"section": "alive", "name": key, "variant": one["who"],
                                 "parameter": f"{count}, {'threads' if one['threads_each'] else 'one thread'}",
                                 "unit": key.rsplit("_", maxsplit=1)[1], "value": one[key]})
        self.add("### Many alive in one process\n",
                 "Each line once, in a process of its own. \"To first exit\" is making all and running "
                 "each to its end, through the number of machines. Resident memory is what it grew by, "
                 "guest pages included (three or so each).\n",
                 markdown(["machines by", "alive", "run on", "to first exit, µs each",
                           "destroy, µs each", "all together, ms", "resident, KiB each",
                           "threads"], rows))

    # --- Dispatch ---

    def dispatch(self):
        repetitions = 9 if self.quick else 25
        sizes = QUICK_SIZES if self.quick else SIZES
        pattern = "|".join(str(size) for size in sizes)
        file = self.report / "google_benchmark.json"
        output(self.bench / "dispatch", "--benchmark_min_time=0.003",
               f"--benchmark_repetitions={repetitions}",
               "--benchmark_enable_random_interleaving=true",
               f"--benchmark_filter=/({pattern})/", f"--benchmark_out={file}",
               "--benchmark_out_format=json")
        raw = json.loads(file.read_text(encoding="utf-8"))
        times = {}
        for run in raw["benchmarks"]:
            if run["run_type"] == "iteration":
                contender, size, pattern = run["name"].split("/")[:3]
                times.setdefault((contender, int(size), pattern), []).append(
                    1e9 / run["items_per_second"])
        self.result["dispatch"] = [
            {"contender": contender, "entries": size, "pattern": pattern, "ns": values}
            for (contender, size, pattern), values in times.items()]
        for (contender, size, pattern), values in times.items():
            self.csv.append({"section": "dispatch", "name": pattern, "variant": contender,
                             "parameter": size, "unit": "ns", "count": len(values),
                             "value": statistics.median(values), "min": min(values)})
        medians = {key: statistics.median(values) for key, values in times.items()}
        self.add("## Dispatch alone\n",
                 f"ns for one access, median of {repetitions} repetitions in random order; each is passes "
                 "over 65,536 accesses made beforehand, the loop included (0.4 ns). Every contender's "
                 "devices must have got what a plain loop says.\n")
        self.dispatch_tables(medians, "{:.1f}", "ns", "dispatch")
        self.dispatch_limits(times)

    def dispatch_tables(self, values, form, unit, name):
        present = [size for size in SIZES if ("portico", size, "random") in values]
        contenders = [one for one in CONTENDERS if (one, present[0], "random") in values]
        others = sorted({key[0] for key in values} - set(CONTENDERS))
        for pattern, meaning in PATTERNS.items():
            self.add(f"{meaning.capitalize()}:\n",
                     markdown(["entries", *[CONTENDERS.get(one, one) for one in contenders + others]],
                              [[size, *[form.format(values[one, size, pattern])
                                        if (one, size, pattern) in values else ""
                                        for one in contenders + others]] for size in present]))
            self.plot(plots.lines, f"{name}_{pattern}", f"Dispatch: {meaning}", "entries", unit,
                      {CONTENDERS.get(one, one).replace("`", ""):
                       [(size, values[one, size, pattern]) for size in present
                        if (one, size, pattern) in values]
                       for one in contenders + others}, log_x=True, log_y=True)

    def dispatch_limits(self, times):
        present = [size for size in SIZES if ("portico", size, "random") in times]

        def compare(above, below):
            return judge.ratio_interval(times[above], times[below], paired=False)

        def claim(what, measured, limit, test=judge.at_most):
            value, low, high = measured
            self.claim(what, f"{value:.2f} ({low:.2f} to {high:.2f})", test(*measured, limit))

        ours = "portico"
        claim("one port, 256 entries / 4, at most 1.5",
              compare((ours, 256, "same"), (ours, 4, "same")), 1.5)
        claim("random, 64 entries / 4, at most 2",
              compare((ours, 64, "random"), (ours, 4, "random")), 2)
        claim("random, 256 entries / 4, at most 3",
              compare((ours, 256, "random"), (ours, 4, "random")), 3)
        rows = []
        verdicts = []
        for size in present:
            found = compare((ours, size, "miss"), (ours, size, "random"))
            # A map of one entry has nothing random about it: both are the bare loop.
            verdict = judge.at_most(*found, 1.05)
            verdicts.append((verdict, size))
            rows.append([size, f"{found[0]:.2f} ({found[1]:.2f} to {found[2]:.2f})", verdict])
        self.add("Misses against hits at random ports (no dearer: at most 1.05, which is what two runs of "
                 "one loop differ by):\n", markdown(["entries", "miss / hit", "no dearer"], rows))
        self.claim("misses no dearer than hits at random ports, at any size",
                   self.by_size(verdicts), self.worst(verdicts))
        rows = []
        for pattern in PATTERNS:
            verdicts = []
            for size in present:
                found = compare(("locked", size, pattern), (ours, size, pattern))
                verdict = judge.at_least(*found, 5)
                verdicts.append((verdict, size))
                rows.append([pattern, size, f"{found[0]:.1f} ({found[1]:.1f} to {found[2]:.1f})", verdict])
            self.claim(f"at least 5 times below the locked map, {PATTERNS[pattern]}",
                       self.by_size(verdicts), self.worst(verdicts))
        self.add("The locked map against Portico:\n",
                 markdown(["pattern", "entries", "locked / Portico", "at least 5"], rows),
                 "At random ports both pay for mispredicted branches, which no lock adds to and no "
                 "dispatcher without a branch per device avoids; the instructions below show what is "
                 "left without them.\n")
        for kind, words in (("", ""), (":dense", " over consecutive ports")):
            found = max((compare((ours + kind, size, "random"), ("switch" + kind, size, "random")) +
                         (size,) for size in present if size >= 4 and
                         ("switch" + kind, size, "random") in times),
                        key=lambda one: one[0], default=None)
            if found:
                self.claim(f"random{words}, Portico / `switch` by hand, worst size of 4 and more "
                           f"({found[3]}), at most 1.1", f"{found[0]:.2f} ({found[1]:.2f} to "
                           f"{found[2]:.2f})", judge.at_most(*found[:3], 1.1))

    @staticmethod
    def worst(verdicts):
        order = [judge.HOLDS, judge.OPEN, judge.MISSED]
        return max((verdict for verdict, _ in verdicts), key=order.index)

    @staticmethod
    def by_size(verdicts):
        texts = []
        for verdict in (judge.HOLDS, judge.OPEN, judge.MISSED):
            sizes = [str(size) for own, size in verdicts if own == verdict]
            if sizes:
                what = {judge.HOLDS: "holds", judge.OPEN: "open", judge.MISSED: "missed"}[verdict]
                texts.append(f"{what} with {', '.join(sizes)} entries")
        return "; ".join(texts)

    # --- Dispatch, counted ---

    def instructions(self):
        self.add("## Dispatch alone, counted\n")
        if not shutil.which("valgrind"):
            self.add("Not counted: valgrind is not here.\n")
            return
        accesses = 512 if self.quick else 2048
        counts = {}
        names = {"Portico": "portico", "Switch": "switch", "Visit": "visit",
                 "FunctionTable": "function_table", "PortArray": "port_array",
                 "SortedVector": "sorted_vector", "OrderedMap": "ordered_map", "Locked": "locked"}
        for pattern in PATTERNS:
            self.progress.say(f"dispatch alone: counting instructions, {PATTERNS[pattern]}")
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "callgrind.out"
                output("valgrind", "--tool=callgrind", f"--callgrind-out-file={file}",
                       self.bench / "dispatch", "--count", pattern, accesses)
                text = output("callgrind_annotate", "--threshold=100", "--inclusive=yes", file)
            for count, name, size, layout in re.findall(
                    r"^ *([\d,]+) .*?:void dispatch::pass<dispatch::(\w+)<(\d+)u?l?, "
                    r"\(dispatch::Layout\)(\d)> ?>", text, re.MULTILINE):
                key = names.get(name, name) + (":dense" if layout == "1" else "")
                counts[key, int(size), pattern] = int(count.replace(",", "")) / accesses
        self.result["instructions"] = [
            {"contender": contender, "entries": size, "pattern": pattern, "instructions": value}
            for (contender, size, pattern), value in counts.items()]
        self.csv += [{"section": "instructions", "name": pattern, "variant": contender,
                      "parameter": size, "unit": "instructions", "value": value}
                     for (contender, size, pattern), value in counts.items()]
        self.add(f"Instructions for one access by callgrind, {accesses} accesses, the loop's four "
                 "included: the same on every machine with this compiler and C library.\n")
        self.dispatch_tables(counts, "{:.1f}", "instructions", "instructions")
        present = [size for size in SIZES if ("portico", size, "random") in counts]
        verdicts = [(judge.at_least(ratio, ratio, ratio, 5), size) for size in present
                    for ratio in [min(counts["locked", size, pattern] /
                                      counts["portico", size, pattern] for pattern in PATTERNS)]]
        self.claim("at least 5 times fewer instructions than the locked map, any pattern",
                   self.by_size(verdicts), self.worst(verdicts))
        verdicts = [(judge.at_most(ratio, ratio, ratio, 1), size) for size in present
                    for ratio in [counts["portico", size, "miss"] / counts["portico", size, "random"]]]
        self.claim("a miss executes no more instructions than a hit", self.by_size(verdicts),
                   self.worst(verdicts))

    # --- Compiling ---

    def compile(self):
        found = compile_cost.measure(
            ROOT / "include", ROOT / "bench" / "bare" / "bare_console.c",
            ROOT / "examples" / "hello" / "main.cpp", self.quick,
            lambda text: self.progress.say(f"compile time: {text}"))
        self.result["compile"] = found
        self.add("## Compiling\n",
                 "CPU seconds of the compiler alone, no cache, medians of runs in alternating order; peak "
                 "memory of the compiler; machine code and constants of the object; with clang, how many "
                 "classes and functions were instantiated (`-ftime-trace`). -O2, headers alone "
                 "`-fsyntax-only`.\n")
        growth = {}
        for name, one in found.items():
            if name == "bare C":
                continue
            heads = one["heads"]
            self.add(f"### {one['version']}\n",
                     markdown(["including", "seconds", "peak memory, MiB", "instantiations"],
                              [[head, f"{cost['seconds']:.2f}", number(cost["peak_kib"] / 1024, 0),
                                number(cost.get("instantiations"), 0)]
                               for head, cost in heads.items()]))
            ratio = judge.ratio_interval(heads["the umbrella"]["all_seconds"],
                                         heads["what the umbrella includes"]["all_seconds"])
            self.add("The umbrella includes, of what is not Portico's: " +
                     ", ".join(f"`<{head}>`" for head in one["foreign"]) + ".\n")
            self.claim(f"{name}: umbrella / the standard and system headers that it includes, at most 1.5",
                       f"{ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})", judge.at_most(*ratio, 1.5))
            rows = []
            for size, both in one["maps"].items():
                rows.append([size, *[text for kind in ("type", "accesses") for text in (
                    f"{both[kind]['seconds']:.2f}", number(both[kind]["peak_kib"] / 1024, 0),
                    number(both[kind].get("instantiations"), 0))], number(both["accesses"]["code"], 0)])
            self.add("Maps of so many entries, the type alone and with the code for both directions:\n",
                     markdown(["entries", "type: seconds", "MiB", "instantiations",
                               "with accesses: seconds", "MiB", "instantiations", "code, bytes"], rows))
            sizes = list(one["maps"])
            for kind, text in (("type", "type alone"), ("accesses", "with accesses both ways")):
                more = [one["maps"][sizes[-1]][kind]["all_seconds"][i] -
                        one["maps"][sizes[0]][kind]["all_seconds"][i]
                        for i in range(len(one["maps"][sizes[0]][kind]["all_seconds"]))]
                value = statistics.median(more)
                self.claim(f"{name}: {sizes[-1]} entries over {sizes[0]}, {text}, at most 1.5 s",
                           f"{value:.2f} s ({min(more):.2f} to {max(more):.2f})",
                           judge.at_most(value, min(more), max(more), 1.5))
                growth[f"{name}, {text}"] = [(size, both[kind]["seconds"])
                                             for size, both in one["maps"].items()]
            if one["headers"]:
                self.add("Each public header alone:\n",
                         markdown(["header", "seconds", "peak memory, MiB", "instantiations"],
                                  [[f"`{head}`", f"{cost['seconds']:.2f}",
                                    number(cost["peak_kib"] / 1024, 0),
                                    number(cost.get("instantiations"), 0)]
                                   for head, cost in one["headers"].items()]))
            for group in ("heads", "headers"):
                self.csv += [{"section": "compile", "name": head.replace("`", ""), "variant": name,
                              "unit": "s", "value": cost["seconds"],
                              "note": f"peak {cost['peak_kib']} KiB"} for head, cost in one[group].items()]
            self.csv += [{"section": "compile", "name": f"map, {kind}", "variant": name,
                          "parameter": size, "unit": "s", "value": both[kind]["seconds"],
                          "note": f"peak {both[kind]['peak_kib']} KiB"}
                         for size, both in one["maps"].items() for kind in both]
        self.plot(plots.lines, "compile_maps", "Compiling a map", "entries", "seconds", growth,
                  log_x=True)
        self.add("A whole monitor (`examples/hello`), linked dynamically, -O2 and stripped:\n",
                 markdown(["program", "file, bytes", "code and constants"],
                          [[f"`hello` by {name}" if name != "bare C" else "`bare_console` in C",
                            number(one.get("binary", one)["file"], 0),
                            number(one.get("binary", one)["code"], 0)]
                           for name, one in found.items()]))

    # --- All of it ---

    def main_table(self):
        text = []
        if self.round_trips:
            text += ["| round trip, ns | ring 0, p50 | p99 | ring 3, p50 | p99 |\n"
                     "| --- | ---: | ---: | ---: | ---: |\n" +
                     "".join("| " + " | ".join(row) + " |\n" for row in self.round_trips)]
        if self.claims:
            text.append("| claim | measured (95 % interval) | this run |\n| --- | --- | --- |\n" +
                        "".join("| " + " | ".join(row) + " |\n" for row in self.claims))
        return "\n".join(text)

    def write(self, unfinished):
        facts = self.text[:2]
        head = ["# Portico: what was measured\n",
                f"By `./dev bench{' --quick' if self.quick else ''}`, {time.strftime('%Y-%m-%d')}. What "
                "the figures mean, and what they cannot tell, is in `bench/README.md`. Every single "
                "figure: `figures.csv`, `bench.json`, `google_benchmark.json`.\n",
                *facts, "## In short\n", self.main_table(),
                "Where \"not supported by this run's interval\" stands, the 95 % interval reaches to both "
                "sides of the limit: this run shows neither that the claim holds nor that it does not.\n",
                *unfinished]
        if not plots.available():
            head.append("There are no plots: gnuplot is not here.\n")
        (self.report / "report.md").write_text("\n".join(head + self.text[2:]), encoding="utf-8")
        (self.report / "bench.json").write_text(json.dumps(self.result, indent=1), encoding="utf-8")
        (self.report / "figures.csv").write_text(write_csv(self.csv), encoding="utf-8")


SECTIONS = {
    "exits": "what an exit costs, in time",
    "exit_cost": "what an exit costs: single-stepping",
    "virtio": "virtio requests beside QEMU",
    "start": "start: exec to the first byte on the terminal",
    "memory": "memory of one and of many machines alive",
    "lifecycle": "life of a machine",
    "dispatch": "dispatch alone: time",
    "instructions": "dispatch alone: instructions, counted by callgrind",
    "compile": "compile time",
}


def allow_descriptors():
    """A thousand machines have some thousand descriptors; what is started inherits this."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", type=Path, help="build folder (default: build/release)",
                        default=ROOT / "build" / "release")
    parser.add_argument("--report", type=Path, help="where the report goes (default: build/bench/report)",
                        default=ROOT / "build" / "bench" / "report")
    parser.add_argument("--quick", action="store_true", help="fewer runs and sizes: within 3 minutes")
    parser.add_argument("--only", help="comma-separated: " + ", ".join(SECTIONS))
    parser.add_argument("--exits", type=Path, help="take the records of bench/exits from a file")
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else list(SECTIONS)
    if unknown := set(wanted) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}: {', '.join(SECTIONS)}")
    progress = Progress(len(wanted))
    report = options.report.resolve()
    shutil.rmtree(report, ignore_errors=True)
    report.mkdir(parents=True)
    bench = Bench(options.build.resolve(), report, options.quick, progress, options.exits)
    for path in (bench.bench / "exit_cost", bench.bench / "dispatch", bench.hypervisor):
        if not path.exists():
            sys.exit(f"run.py: {path} is missing: build it first (./dev bench does)")
    allow_descriptors()
    bench.machine()
    left_out = [name for name in SECTIONS if name not in wanted]
    unfinished = [f"Left out: {', '.join(left_out)}.\n"] if left_out else []
    no_kvm = not os.access("/dev/kvm", os.R_OK | os.W_OK)
    for section in wanted:
        progress.next(SECTIONS[section])
        if section in NEEDS_KVM and no_kvm and not (section == "exits" and options.exits):
            unfinished.append(f"{section}: not measured, /dev/kvm cannot be opened here.\n")
            continue
        try:
            getattr(bench, section)()
        except (RuntimeError, OSError) as error:
            unfinished.append(f"{section}: failed: {error}\n")
    progress.end()
    bench.write(unfinished)
    print(bench.main_table())
    print("\n".join(unfinished), end="")
    print(f"== {report}/report.md", file=sys.stderr)
    sys.exit(1 if any(": failed: " in text for text in unfinished) else 0)


if __name__ == "__main__":
    main()
