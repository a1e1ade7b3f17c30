"""Two machines that run one guest: QEMU's microvm and a monitor of ours; what each request cost."""
import ctypes
import os
import re
import select
import struct
import subprocess
import time
from pathlib import Path

QEMU = "qemu-system-x86_64"
EVENTS = {"exits": "kvm_exit", "user_exits": "kvm_userspace_exit"}


class Failed(RuntimeError):
    """A machine that did not do what it was to do; never a figure."""


def processor_time(process):
    """Seconds that all threads of a process have had so far, those that have ended included."""
    # CPUCLOCK_SCHED of a process, as clock_getcpuclockid(3) makes it.
    return time.clock_gettime((~process << 3) | 2)


class Hung(Failed):
    """A machine of which nothing was heard any more."""


def event_number(name):
    """Of one of KVM's trace events; None where they cannot be read, as without privileges."""
    for folder in ("/sys/kernel/tracing", "/sys/kernel/debug/tracing"):
        try:
            return int(Path(folder, "events/kvm", name, "id").read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
    return None


class EventCounter:
    """How often a trace event came in any thread of a process, by perf_event_open(2)."""

    def __init__(self, process, number):
        self.descriptors = []
        # struct perf_event_attr, its first version: a trace event, new threads counted too.
        attributes = struct.pack("IIQQQQQ4x4xQ", 2, 64, number, 0, 0, 0, 1 << 1, 0)
        libc = ctypes.CDLL(None, use_errno=True)
        for thread in os.listdir(f"/proc/{process}/task"):
            found = libc.syscall(298, attributes, int(thread), -1, -1, 8)
            if found < 0:
                number = ctypes.get_errno()
                self.close()
                raise OSError(number, "perf_event_open")
            self.descriptors.append(found)

    def read(self):
        return sum(struct.unpack("Q", os.read(one, 8))[0] for one in self.descriptors)

    def close(self):
        for one in self.descriptors:
            os.close(one)
        self.descriptors = []


class Machine:
    """One process with the guest in it, which waits for cases on its serial port."""

    def __init__(self, command, seconds=20):
        self.command = [str(word) for word in command]
        self.limit = seconds
        self.text = b""
        self.errors = b""
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        for stream in (self.process.stdout, self.process.stderr):
            os.set_blocking(stream.fileno(), False)
        self.counters = {}
        try:
            self.await_line("portico virtio bench")
        except Failed:
            self.__exit__()
            raise
        for name, event in EVENTS.items():
            number = event_number(event)
            try:
                if number is not None:
                    self.counters[name] = EventCounter(self.process.pid, number)
            except OSError:
                pass  # there is the guest's own count

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Ends it, however it is."""
        for counter in self.counters.values():
            counter.close()
        self.process.kill()
        self.process.communicate()

    def fail(self, text, kind=Failed):
        self._read(0)
        raise kind(f"{' '.join(self.command)}: {text}; {self.text[-200:]!r} "
                   f"{self.errors[-400:]!r}")

    def _read(self, seconds):
        ready, _, _ = select.select([self.process.stdout, self.process.stderr], [], [], seconds)
        for stream in ready:
            part = stream.read() or b""
            if stream is self.process.stdout:
                self.text += part
                if not part and self.process.poll() is not None:
                    raise Failed(f"{' '.join(self.command)} ended with {self.process.returncode}: "
                                 f"{self.errors[-400:]!r}")
            else:
                self.errors += part

    def await_line(self, start):
        """The next line, which must begin so."""
        end = time.monotonic() + self.limit
        while b"\n" not in self.text:
            if time.monotonic() > end:
                self.fail(f"nothing came for {self.limit} s; waited for {start!r}", Hung)
            self._read(0.5)
        line, _, self.text = self.text.partition(b"\n")
        line = line.decode(errors="replace").strip("\r\0")
        if not line.startswith(start):
            self.fail(f"it said {line!r}, not {start!r}")
        return line

    def say(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def count(self):
        """Processor time and events so far."""
        return {"cpu": processor_time(self.process.pid),
                **{name: counter.read() for name, counter in self.counters.items()}}

    def run(self, case, count, seed):
        """Figures of one run, for each request; raises Failed if the guest found an error."""
        self.say(f"{case.kind} {case.bytes} {case.depth} {count} {seed}\n")
        self.await_line("ready")
        before = self.count()
        self.say("g")
        self.await_line("ready")
        after = self.count()
        self.say("g")
        words = self.await_line("done").split()
        requests, notifications, interrupts, errors = (int(word) for word in words[1:5])
        if requests != count or errors:
            self.fail(f"{case.kind} {case.bytes}, depth {case.depth}: {errors} errors in {requests} "
                      f"requests of {count}")
        found = {name: (after[name] - before[name]) / count for name in after}
        found["cpu"] *= 1e6
        found |= {"cycles": int(words[5], 16) / count, "notifications": notifications / count,
                  "interrupts": interrupts / count}
        return found

    def tsc_khz(self):
        """What our monitor says of its time stamp counter."""
        self._read(0)
        found = re.search(rb"tsc_khz (\d+)", self.errors)
        return int(found.group(1)) if found else 0


class Case:
    """Requests of one kind and size, so many at once."""

    def __init__(self, name, kind, size, depth, count):
        self.name, self.kind, self.bytes, self.depth, self.count = name, kind, size, depth, count


def ours(monitor, image, device, what, on_vcpu):
    return [monitor, image, device, what, *(["vcpu"] if on_vcpu else [])]


def qemu(image, device, what, irqchip="split", aio="io_uring", cache="writeback", iothread=False,
         ioeventfd=True):
    # PVM cannot hide what this hides; without it, QEMU 7.2 aborts there.
    on_pvm = Path("/sys/module/kvm_pvm").exists()
    command = [QEMU, "-M", "microvm,rtc=off,pit=off,pic=off,isa-serial=on,ioapic2=off",
               "-accel", f"kvm,kernel-irqchip={irqchip}",
               "-cpu", "host,-arch-capabilities" if on_pvm else "host", "-m", "64", "-nodefaults",
               "-no-user-config", "-display", "none", "-serial", "stdio", "-kernel", image,
               "-global", "virtio-mmio.force-legacy=false",
               "-global", f"virtio-mmio.ioeventfd={'on' if ioeventfd else 'off'}"]
    if device == "disk":
        thread = ",iothread=io" if iothread else ""
        command += [*(["-object", "iothread,id=io"] if iothread else []), "-drive",
                    f"file={what},format=raw,if=none,id=disk,aio={aio},cache={cache}",
                    "-device", f"virtio-blk-device,drive=disk{thread}"]
    else:
        command += ["-netdev", f"tap,id=net,ifname={what},script=no,downscript=no,vhost=off",
                    "-device", "virtio-net-device,netdev=net,mac=02:00:00:00:00:01"]
    return command
