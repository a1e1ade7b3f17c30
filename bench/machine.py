"""The machine that was measured: what has to stand beside any figure."""
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path


def first(path, default="unknown"):
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return default


def version_of(*command):
    if not shutil.which(command[0]):
        return None
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    lines = (done.stdout or done.stderr).splitlines()
    return lines[0].strip() if lines else None


def vendor_module():
    """What runs below /dev/kvm, with its parameters: the difference between two machines' figures."""
    found = {}
    for module in sorted(Path("/sys/module").glob("kvm*")):
        parameters = {path.name: first(path) for path in sorted(module.glob("parameters/*"))}
        found[module.name] = {name: value for name, value in parameters.items()
                              if value not in ("unknown", "")}
    return found


def ranges(numbers):
    """0-1,4: as taskset writes it."""
    parts = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def facts(compiler):
    text = first("/proc/cpuinfo", "")
    model = re.search(r"model name\s*: (.*)", text)
    microcode = re.search(r"microcode\s*: (.*)", text)
    hypervisor = " hypervisor" in text
    governors = {first(path) for path in
                 Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")}
    mitigations = {path.name: first(path) for path in
                   sorted(Path("/sys/devices/system/cpu/vulnerabilities").glob("*"))}
    return {
        "cpu": model.group(1) if model else "unknown",
        "microcode": microcode.group(1) if microcode else "unknown",
        "virtualised": hypervisor,
        "cpus": os.cpu_count(),
        "smt": first("/sys/devices/system/cpu/smt/control"),
        "kernel": platform.release(),
        "command_line": first("/proc/cmdline"),
        "kvm": vendor_module(),
        "mitigations": mitigations,
        "governor": ", ".join(sorted(governors)) or "no cpufreq here (the host of this machine decides)",
        "pinned_to": ranges(os.sched_getaffinity(0)),
        "isolated": first("/sys/devices/system/cpu/isolated", "") or "none",
        "clocksource": first("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "compiler": version_of(compiler, "--version"),
        "clang": next((version for version in (version_of(f"clang++-{n}", "--version")
                                               for n in (19, 20, 21, 22, 18)) if version), None),
        "valgrind": version_of("valgrind", "--version"),
        "gnuplot": version_of("gnuplot", "--version"),
        "qemu": version_of("qemu-system-x86_64", "--version"),
        "libc": " ".join(platform.libc_ver()),
        "load": os.getloadavg(),
    }


def markdown(facts_):
    modules = "; ".join(
        name + (" (" + ", ".join(f"{key}={value}" for key, value in parameters.items()) + ")"
                if parameters and name != "kvm" else "")
        for name, parameters in facts_["kvm"].items()) or "no KVM"
    mitigations = "; ".join(f"{name}: {text}" for name, text in facts_["mitigations"].items()
                            if text != "Not affected")
    rows = [
        ("CPU", f"{facts_['cpu']}, microcode {facts_['microcode']}, {facts_['cpus']} CPUs, "
                f"SMT {facts_['smt']}" +
                (", itself a virtual machine" if facts_["virtualised"] else "")),
        ("kernel", f"Linux {facts_['kernel']}"),
        ("KVM's modules", modules),
        ("mitigations", mitigations or "none needed"),
        ("governor", facts_["governor"]),
        ("pinning", f"allowed CPUs {facts_['pinned_to']}, isolated: {facts_['isolated']}"),
        ("clock", facts_["clocksource"]),
        ("compilers", ", ".join(text for text in (facts_["compiler"], facts_["clang"]) if text)),
        ("libraries and tools", ", ".join(text for text in (
            facts_["libc"], facts_["valgrind"], facts_["gnuplot"], facts_["qemu"]) if text)),
        ("load before the run", f"{facts_['load'][0]:.1f}"),
    ]
    return "| | |\n| --- | --- |\n" + "".join(f"| {name} | {text} |\n" for name, text in rows)
