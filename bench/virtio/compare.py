#!/usr/bin/env python3
"""One guest's virtio requests on QEMU's microvm machine and on a monitor of ours, in turns.

usage: compare.py [--bench FOLDER] [--quick] [--only block,net] [--json FILE] [--folder FOLDER]
       compare.py --runs 1 --machines portico|qemu        whether all is done and right, no figures

For each request: processor time of the process, exits, and how many in a second, each case on both
machines in alternating order, several generations of processes. FOLDER is where the disk's file
stands (default: the place for temporary files); cards need privileges for taps. Every request's
data are looked at, by the guest: a wrong one ends it all. README.md says more.
"""
import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

import judge
from machines import Case, Failed, Hung, Machine, ours, qemu, QEMU
from tables import markdown, number

ROOT = Path(__file__).resolve().parent.parent.parent
MIB = 1 << 20
DISK_BYTES = 128 * MIB
# The largest segments' worth below what Linux lets a card have at once: 45 of 1,448 bytes.
LARGE_FRAME = 54 + 45 * 1448
# So long a run takes about a tenth of a second where a request takes 100 us.
BLOCK = [Case("4 KiB random read, depth 1", "r", 4096, 1, 600),
         Case("4 KiB random read, depth 32", "r", 4096, 32, 1200),
         Case("1 MiB sequential read, depth 1", "R", MIB, 1, 256),
         Case("1 MiB sequential read, depth 32", "R", MIB, 32, 320)]
BLOCK_WRITES = [Case("4 KiB random write, depth 1", "w", 4096, 1, 600),
                Case("4 KiB random write, depth 32", "w", 4096, 32, 1200),
                Case("1 MiB sequential write, depth 1", "W", MIB, 1, 128),
                Case("1 MiB sequential write, depth 32", "W", MIB, 32, 160)]
NET = [Case("64 B there and back, depth 1", "n", 64, 1, 600),
       Case("64 B there and back, depth 32", "n", 64, 32, 1600),
       Case("64 KiB there and back, depth 1", "n", LARGE_FRAME, 1, 600),
       Case("64 KiB there and back, depth 32", "n", LARGE_FRAME, 32, 1200)]

# How QEMU is told to do its best; the first is what it did best with where this was written.
SETTINGS = [{"irqchip": chip, "aio": aio, "cache": cache, "iothread": thread}
            for aio, cache, chips in (("io_uring", "writeback", ("split", "on")),
                                      ("threads", "writeback", ("split", "on")),
                                      ("native", "none", ("split",)),
                                      ("io_uring", "none", ("split",)))
            for chip in chips for thread in (False, True)]
SETTINGS += [{**setting, "ioeventfd": False} for setting in SETTINGS[:4] if not setting["iothread"]]
CARD_SETTINGS = [{"irqchip": chip, "ioeventfd": on} for chip in ("split", "on") for on in (True, False)]

# What it is compared with has the device on the vCPU's thread: there an answer that comes at once
# needs neither a wake-up nor an interrupt. With Offload it is shown beside.
OURS = "portico"
APART = "portico, thread of its own"
METRICS = {"exits": "exits for a request, ours / QEMU, at most 1",
           "cpu": "processor time for a request, ours / QEMU, at most 1",
           "rate": "requests in a second, ours / QEMU, at least 1"}


def setting_text(setting):
    text = f"kernel-irqchip={setting['irqchip']}"
    if "aio" in setting:
        text += f", aio={setting['aio']}, cache={setting['cache']}"
        text += ", iothread" if setting["iothread"] else ", no iothread"
    if not setting.get("ioeventfd", True):
        text += ", no ioeventfd"
    return text


# --- What the devices stand on

def make_disk(path):
    """A file in which each sector's first and last words tell its number."""
    with open(path, "wb") as file:
        for megabyte in range(DISK_BYTES // MIB):
            block = bytearray(MIB)
            for index in range(MIB // 512):
                sector = megabyte * (MIB // 512) + index
                word = ((sector * 2654435761 + 1) & 0xFFFFFFFF).to_bytes(4, "little")
                block[512 * index:512 * index + 4] = block[512 * index + 508:512 * index + 512] = word
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


class Taps:
    """Interfaces whose every packet comes straight back, in the kernel."""

    def __init__(self, count):
        self.names = [f"pvb{os.getpid() % 10**6}{letter}" for letter in "abc"[:count]]
        self.made = []

    def __enter__(self):
        try:
            for name in self.names:
                self._run("ip", "tuntap", "add", name, "mode", "tap", "vnet_hdr")
                self.made.append(name)
                Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1", "ascii")
                self._run("ip", "link", "set", name, "up")
                self._run("tc", "qdisc", "add", "dev", name, "clsact")
                self._run("tc", "filter", "add", "dev", name, "ingress", "u32", "match", "u32", "0",
                          "0", "action", "mirred", "egress", "redirect", "dev", name)
        except BaseException:
            self.__exit__()
            raise
        return self.names

    def __exit__(self, *_):
        for name in self.made:
            subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True)

    @staticmethod
    def _run(*words):
        try:
            done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=20)
        except OSError as error:
            raise Unavailable(f"{words[0]}: {error.strerror}") from error
        if done.returncode != 0:
            raise Unavailable(f"{' '.join(words)}: {done.stderr.strip()}")


class Unavailable(RuntimeError):
    """This host does not have it, or does not give it to us."""


# --- Taking turns

class Comparison:
    """Contenders by name; for each, what makes its command out of what the device stands on."""

    def __init__(self, contenders, places):
        self.contenders = contenders
        self.places = places
        self.samples = {}  # (case, contender) -> generations of lists of figures
        self.khz = 0
        self.hung = []

    def generation(self, cases, rounds, number_of_it):
        """All cases; anew if a machine is lost, which is told: not every KVM keeps all interrupts."""
        for _ in range(3):
            try:
                for key, figures in self._generation(cases, rounds, number_of_it).items():
                    self.samples.setdefault(key, []).append(figures)
                return
            except Hung as error:
                print(error, file=sys.stderr)
                self.hung.append(str(error))
        raise Failed(f"lost three times: {self.hung[-1]}")

    def _generation(self, cases, rounds, number_of_it):
        samples = {}
        names = list(self.contenders)
        if number_of_it % 2:
            names.reverse()
        machines = {}
        try:
            for at, name in enumerate(names):
                place = self.places[at % len(self.places)]
                machines[name] = Machine(self.contenders[name](place))
            for case in cases:
                found = {name: [] for name in names}
                for turn in range(rounds + 1):
                    # Nobody always runs behind the same one.
                    first = (number_of_it + turn) % len(names)
                    order = names[first:] + names[:first]
                    for name in order if turn % 2 else order[::-1]:
                        # The first warms caches and queues up.
                        count = case.count if turn else max(2 * case.depth, case.count // 8)
                        one = machines[name].run(case, count, 1 + number_of_it * 100 + turn)
                        if turn:
                            found[name].append(one)
                for name, figures in found.items():
                    samples[case.name, name] = figures
            self.khz = max([self.khz, *(one.tsc_khz() for one in machines.values())])
            return samples
        finally:
            for machine in machines.values():
                machine.__exit__()

    def medians(self, case, contender, metric):
        """One figure for each generation."""
        return [statistics.median(metric(one) for one in figures)
                for figures in self.samples[case.name, contender]]


def exits_of(samples, in_kernel):
    """What counts as an exit here: a function of a contender's name and a run's figures, and words.
    `in_kernel` has the names of those whose doorbells are ioeventfds."""
    figures = [one for generations in samples.values() for runs in generations for one in runs]
    if all(one.get("exits") for one in figures):
        return lambda name, one: one["exits"], "all exits, by KVM's trace event `kvm_exit`"
    if all("user_exits" in one for one in figures):
        # Else a doorbell is an exit to the monitor.
        return (lambda name, one: one["user_exits"] + (name in in_kernel) * one["notifications"],
                "exits to the monitor, by KVM's trace event `kvm_userspace_exit`, and doorbells that "
                "KVM serves, by the guest's count")
    return (lambda name, one: one["notifications"] + one["interrupts"],
            "doorbells and interrupts by the guest's count: each of both is an exit at least")


def choose(settings, command, place, cases, passes=3):
    """The setting with which QEMU serves most requests, and what each came to."""
    found = {}  # setting -> case -> cycles
    for turn in range(passes):
        for at, setting in enumerate(settings if turn % 2 else settings[::-1]):
            name = setting_text(setting)
            if found.get(name, 0) is None:
                continue
            print(f"QEMU's settings: pass {turn + 1} of {passes}, {at + 1} of {len(settings)}",
                  file=sys.stderr)
            try:
                with Machine(command(setting, place)) as machine:
                    for case in cases:
                        machine.run(case, max(case.count // 4, 2 * case.depth), 3)
                        found.setdefault(name, {}).setdefault(case.name, []).extend(
                            machine.run(case, case.count // 2, 4 + again)["cycles"]
                            for again in range(2))
            except Failed as error:
                print(f"QEMU with {name}: {error}", file=sys.stderr)
                found[name] = None
    # What disturbs a run makes it longer, so the second best of a case's runs stands for it.
    rates = {setting_text(setting): math.exp(-statistics.mean(
        math.log(sorted(cycles)[1]) for cycles in found[setting_text(setting)].values()))
             for setting in settings if found[setting_text(setting)]}
    if not rates:
        raise Unavailable(f"{QEMU} runs the guest in none of its settings")
    best = max(rates, key=rates.get)
    return (next(one for one in settings if setting_text(one) == best),
            [(name, rate / rates[best]) for name, rate in rates.items()])


def compare(kind, options, image, places, cases):
    """One device's cases; the record of all that was found."""
    monitor = options.bench / "virtio_monitor"
    device = {"block": "disk", "net": "net"}[kind]
    settings = SETTINGS if kind == "block" else CARD_SETTINGS
    command = lambda setting, place: qemu(image, device, place, **setting)
    setting, tried = settings[0], []
    if not options.quick:
        setting, tried = choose(settings, command, places[0],
                                [case for case in cases if case.kind not in "wW"])
    contenders = {OURS: lambda place: ours(monitor, image, device, place, on_vcpu=True),
                  "qemu": lambda place: command(setting, place)}
    if not options.quick:
        contenders[APART] = lambda place: ours(monitor, image, device, place, on_vcpu=False)
    comparison = Comparison(contenders, places)
    generations, rounds = (6, 1) if options.quick else (8, 4)
    for at in range(generations):
        print(f"{kind}: generation {at + 1} of {generations}", file=sys.stderr)
        comparison.generation(cases, rounds, at)
    exits, exits_text = exits_of(
        comparison.samples, {APART} | ({"qemu"} if setting.get("ioeventfd", True) else set()))
    record = {"kind": kind, "qemu": setting_text(setting), "tried": tried, "exits": exits_text,
              "generations": generations, "rounds": rounds, "khz": comparison.khz, "hung": comparison.hung, "cases": []}
    for case in cases:
        one = {"name": case.name, "bytes": case.bytes, "depth": case.depth, "figures": {},
               "ratios": {}, "guest": {}}
        for name in contenders:
            one["figures"][name] = {
                "exits": comparison.medians(case, name,
                                            lambda found, name=name: exits(name, found)),
                "cpu": comparison.medians(case, name, lambda found: found["cpu"]),
                "rate": comparison.medians(case, name,
                                           lambda found: comparison.khz * 1e3 / found["cycles"])}
            one["guest"][name] = {what: statistics.median(comparison.medians(
                case, name, lambda found, what=what: found[what]))
                                  for what in ("notifications", "interrupts")}
        for metric in METRICS:
            ratio = judge.ratio_interval(one["figures"][OURS][metric],
                                         one["figures"]["qemu"][metric])
            test = judge.at_least if metric == "rate" else judge.at_most
            one["ratios"][metric] = {"ratio": ratio[0], "low": ratio[1], "high": ratio[2],
                                     "verdict": test(*ratio, 1)}
        record["cases"].append(one)
    return record


# --- Reports

def sections(records):
    """Markdown."""
    text = []
    for record in records:
        if "missing" in record:
            text.append(f"### {record['kind'].capitalize()}\n\nNot measured: {record['missing']}.\n")
            continue
        text.append(f"### {record['kind'].capitalize()}\n")
        text.append("Portico has the device on the vCPU's thread. "
                    f"QEMU with {record['qemu']}"
                    f"{', the best of ' + str(len(record['tried'])) + ' settings' if record['tried'] else ''}"
                    f". Medians of {record['generations']} generations of processes, {record['rounds']} "
                    f"{'run' if record['rounds'] == 1 else 'runs'} of each; exits are {record['exits']}.\n")
        if record.get("hung"):
            text.append("Generations begun anew since nothing was heard of a machine any more: "
                        f"{len(record['hung'])} (`bench.json` says of which).\n")
        names = list(record["cases"][0]["figures"])
        rows = []
        for case in record["cases"]:
            for name in names:
                found = {metric: statistics.median(values)
                         for metric, values in case["figures"][name].items()}
                guest = case["guest"][name]
                rows.append([case["name"], name, number(found["rate"]), number(found["cpu"], 1),
                             f"{found['exits']:.3f}", f"{guest['notifications']:.3f}",
                             f"{guest['interrupts']:.3f}"])
        text.append(markdown(["request", "by", "in a second", "CPU, µs", "exits", "doorbells",
                              "interrupts"], rows))
        rows = []
        for case in record["cases"]:
            for metric, what in METRICS.items():
                one = case["ratios"][metric]
                rows.append([case["name"], what, f"{one['ratio']:.3f}",
                             f"{one['low']:.3f} to {one['high']:.3f}", one["verdict"]])
        text.append(markdown(["request", "claim", "ratio", "95 % interval", "this run"], rows))
        if record["tried"]:
            text.append("QEMU's settings, by requests in a second over all reads, of the best one's:\n")
            text.append(markdown(["setting", "of the best"],
                                 [[name, f"{rate:.2f}"] for name, rate in record["tried"]]))
    return text


def claims(records):
    """(what, measured, verdict) for each device and metric: the worst case stands for it."""
    order = [judge.HOLDS, judge.OPEN, judge.MISSED]
    for record in records:
        for metric, what in METRICS.items():
            cases = [(case["ratios"][metric], case["name"]) for case in record.get("cases", [])]
            if not cases:
                continue
            away = (lambda one: -one["ratio"]) if metric == "rate" else (lambda one: one["ratio"])
            worst, name = max(cases, key=lambda one: (order.index(one[0]["verdict"]), away(one[0])))
            good = sum(one["verdict"] == judge.HOLDS for one, _ in cases)
            yield (f"{record['kind']}: {what}",
                   f"holds in {good} of {len(cases)}; worst, {name}: {worst['ratio']:.2f} "
                   f"({worst['low']:.2f} to {worst['high']:.2f})", worst["verdict"])


def csv_rows(records):
    for record in records:
        for case in record.get("cases", []):
            for name, metrics in case["figures"].items():
                for metric, unit in (("rate", "1/s"), ("cpu", "us"), ("exits", "exits")):
                    values = metrics[metric]
                    yield {"section": "virtio", "name": f"{record['kind']}: {case['name']}, {metric}",
                           "variant": name, "unit": unit, "count": len(values),
                           "value": statistics.median(values), "min": min(values)}
            for metric, one in case["ratios"].items():
                yield {"section": "virtio", "name": f"{record['kind']}: {case['name']}, {metric}",
                       "variant": "portico / qemu", "unit": "ratio", "value": one["ratio"],
                       "low": one["low"], "high": one["high"], "note": one["verdict"]}


# --- Whether all is right, without figures

def verify(options, image, kinds, machine):
    """Runs each case once and shortly: the guest looks at all that it gets."""
    monitor = options.bench / "virtio_monitor"
    for kind, (device, place, cases) in kinds.items():
        commands = {"portico": [ours(monitor, image, device, place, on_vcpu)
                                for on_vcpu in (False, True)],
                    "qemu": [qemu(image, device, place, irqchip="split")]}[machine]
        for command in commands:
            with Machine(command) as one:
                for case in cases:
                    for turn in range(options.runs):
                        found = one.run(case, 3 * case.depth + 5, 1 + turn)
                        if found["notifications"] > 1:
                            raise Failed(f"{case.name}: {found['notifications']} doorbells a request")
        print(f"{kind}: {len(cases)} cases, {len(commands)} machines, all data right")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bench", type=Path, default=ROOT / "build" / "release" / "bench",
                            help="where virtio_monitor and virtio.img are")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()),
                        help="for the disk's file")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="block,net")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=0, help="no figures: each case so often, shortly")
    parser.add_argument("--machines", choices=("portico", "qemu"), default="portico")
    options = parser.parse_args()
    options.bench = options.bench.resolve()
    return options


def skip(reason):
    """77 is a test that was skipped, unless it was sent here to run."""
    print(f"requires {reason}")
    required = os.environ.get("PORTICO_REQUIRE_KVM", "") not in ("", "0") and "kvm" in reason
    sys.exit(1 if required else 77)


def main():
    options = parse()
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        skip("kvm: /dev/kvm cannot be opened")
    if not shutil.which(QEMU) and not (options.runs and options.machines == "portico"):
        skip(f"{QEMU}, which is not installed")
    image = options.bench / "virtio.img"
    wanted = options.only.split(",")
    writes = [] if options.quick and not options.runs else BLOCK_WRITES
    records = []
    with tempfile.TemporaryDirectory(prefix="portico-virtio-", dir=options.folder) as folder:
        if "block" in wanted:
            disk = Path(folder) / "disk"
            make_disk(disk)
            if options.runs:
                verify(options, image, {"block": ("disk", disk, BLOCK + writes)}, options.machines)
            else:
                records.append(compare("block", options, image, [disk], BLOCK + writes))
        if "net" in wanted:
            try:
                with Taps(1 if options.runs else 3) as taps:
                    if options.runs:
                        verify(options, image, {"net": ("net", taps[0], NET)}, options.machines)
                    else:
                        records.append(compare("net", options, image, taps, NET))
            except Unavailable as error:
                print(f"net: not here: {error}", file=sys.stderr)
                records.append({"kind": "net", "missing": str(error)})
    if options.json:
        options.json.write_text(json.dumps(records, indent=1), encoding="utf-8")
    if not options.runs:
        print("\n".join(sections(records)))
        print(markdown(["claim", "measured (95 % interval)", "this run"], list(claims(records))))


if __name__ == "__main__":
    main()
