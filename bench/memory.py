#!/usr/bin/env python3
"""Resident and kernel memory of a program that keeps COUNT virtual machines alive.

usage: memory.py --count N --guest-pages P -- COMMAND...

The command runs COUNT guests that each print one line and then wait for input (bench/guests/wait.S). When all have
printed, the memory is read; then the input ends, and the program must end with status 0.
"""
import argparse
import json
import os
import pty
import select
import subprocess
import sys
import time


def memory_fields(path):
    fields = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            name, _, value = line.partition(":")
            if value.strip().endswith("kB"):
                fields[name] = int(value.split()[0])
    return fields


def kernel_kib():
    """What of the machine's memory is neither free, nor cache, nor of a process: the kernel's, all of it."""
    m = memory_fields("/proc/meminfo")
    return (m["MemTotal"] - m["MemFree"] - m["Buffers"] - m["Cached"] - m["SwapCached"] -
            m["AnonPages"] - m.get("SReclaimable", 0))


def settled_kernel_kib(seconds=10):
    """The same, once what earlier programs left behind has been given back: the kernel takes its time."""
    end = time.monotonic() + seconds
    values = [kernel_kib()]
    while time.monotonic() < end:
        time.sleep(0.2)
        values.append(kernel_kib())
        if len(values) > 4 and max(values[-4:]) - min(values[-4:]) < 2048:
            break
    return values[-1]


def end_input(main, process, seconds):
    """Tells whoever reads the terminal, one after the other, that nothing more will come."""
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        try:
            # In cooked mode an end of input reaches one reader only.
            os.write(main, b"\x04")
            while select.select([main], [], [], 0)[0]:
                os.read(main, 65536)
        except OSError:  # EIO: nobody has the terminal open any more
            break
        time.sleep(0.001)
    process.wait(timeout=seconds)


def measure(command, count, guest_pages, seconds=120):
    """Runs `command` with COUNT waiting guests and reads its memory, in KiB."""
    before = settled_kernel_kib()
    main, side = pty.openpty()
    process = subprocess.Popen(command, stdin=side, stdout=side, close_fds=True,
                               start_new_session=True)
    os.close(side)
    lines = 0
    text = b""
    end = time.monotonic() + seconds
    try:
        while lines < count:
            if not select.select([main], [], [], max(0, end - time.monotonic()))[0]:
                raise RuntimeError(f"{lines} of {count} guests had started after {seconds} s")
            text += os.read(main, 65536)
            lines = text.count(b"\n")
        time.sleep(0.3)  # the last guest's `in` after its line
        folder = f"/proc/{process.pid}"
        rollup = memory_fields(folder + "/smaps_rollup")
        status = memory_fields(folder + "/status")
        kernel = kernel_kib() - before
        with open(folder + "/status", encoding="ascii") as file:
            threads = next(int(line.split()[1]) for line in file if line.startswith("Threads:"))
        descriptors = len(os.listdir(folder + "/fd"))
        end_input(main, process, seconds)
        if process.poll() != 0:
            raise RuntimeError(f"{command[0]} ended with {process.poll()}")
    except OSError as error:
        raise RuntimeError(f"{command[0]}: {error}; its output: {text[-300:]!r}") from error
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(main)
    guest = guest_pages * 4 * count
    resident = status["RssAnon"] + status["RssFile"] + status.get("RssShmem", 0)
    return {"count": count, "resident": resident, "guest": guest, "beyond_guest": resident - guest,
            "huge": rollup.get("AnonHugePages", 0), "page_tables": status["VmPTE"],
            "kernel": kernel, "threads": threads, "descriptors": descriptors}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, required=True, help="guests that COMMAND runs")
    parser.add_argument("--guest-pages", type=int, default=1,
                        help="pages of guest RAM that each guest touches (default 1: its image)")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    try:
        print(json.dumps(measure(options.command, options.count, options.guest_pages), indent=1))
    except (RuntimeError, OSError) as error:
        sys.exit(f"memory.py: {error}")


if __name__ == "__main__":
    main()
