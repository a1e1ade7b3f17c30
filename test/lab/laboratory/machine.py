# SPDX-License-Identifier: MIT
# Copyright (c) Portico contributors
"""One boot of the laboratory: QEMU with TCG, watched from start to end.

QEMU is our child and dies with us, whatever ends us. Everything of one boot is in a run folder of its
own, which is removed afterwards. What the guest says comes over three virtio serial ports, each one
end of a socket pair: `status` (a word on a line, see init), `output` and `error` (of a command).
"""

import ctypes
import os
import pathlib
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time

from . import LaboratoryError
from .packages import is_complete

# The whole laboratory is interpreted, and the machine may be busy: these are for what is stuck.
SECONDS_TO_BOOT = 120
SECONDS_WITHOUT_A_SIGN = 90
CONSOLE_LINES = 50

# An earlier one forgets at VMRUN that the guest stands behind STI (the interrupt shadow in its VMCB).
OLDEST_EMULATOR = 9, 1
DAY = 24 * 60 * 60   # seconds

PR_SET_PDEATHSIG = 1


class Stuck(LaboratoryError):
    """The guest did not do in time what was expected; the text ends with the console's last lines."""


class Machine:
    def __init__(self, folder, images, qemu, options):
        self.run = pathlib.Path(folder) / f'run-{os.getpid()}'
        self.images = images
        self.qemu = qemu
        self.options = options
        self.process = None
        self.ports = {}

    def __enter__(self):
        shutil.rmtree(self.run, ignore_errors=True)
        (self.run / 'tests').mkdir(parents=True)
        self._write('path', f'{self.run}\n')
        return self

    def __exit__(self, *_):
        self.kill()
        if self.options.keep_log:
            keep = self.run.parent / 'console.log'
            shutil.copyfile(self.run / 'console', keep)
            print(f'laboratory: the console is in {keep}', file=sys.stderr)
        shutil.rmtree(self.run, ignore_errors=True)

    def start(self, job, environment, terminal=False):
        """Boots; what is to be done must be in the run folder already."""
        self._write('job', f'{job}\n')
        self._write('environment', ''.join(f'{name}={value}\n' for name, value in environment.items()))
        arguments, ends = self._arguments(terminal)
        self.began = self.last_sign = time.monotonic()
        libc = ctypes.CDLL(None)
        parent = os.getpid()

        def die_with_us():
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        with open(self.run / 'qemu', 'wb') as errors:
            self.process = subprocess.Popen(
                arguments, pass_fds=[end.fileno() for end in ends], stderr=errors,
                stdin=None if terminal else subprocess.DEVNULL,
                stdout=None if terminal else errors,
                start_new_session=not terminal, preexec_fn=die_with_us)
        for end in ends:
            end.close()

    def events(self, limit):
        """Yields (seconds since the start, word, arguments) for each status line, and ('output' or
        'error', bytes) likewise; ends when the guest has powered off. `limit` is a function that gives
        what is being done and how many seconds are left for it, or nothing.
        """
        selector = selectors.DefaultSelector()
        for name, port in self.ports.items():
            port.setblocking(False)
            selector.register(port, selectors.EVENT_READ, name)
        pending = b''
        is_up = False
        exit_seen = False
        while selector.get_map():
            for key, _ in selector.select(timeout=0.5):
                try:
                    data = key.fileobj.recv(65536)
                except ConnectionResetError:
                    data = b''
                if not data:
                    selector.unregister(key.fileobj)
                    continue
                self.last_sign = time.monotonic()
                if key.data != 'status':
                    yield self.seconds(), key.data, data
                    continue
                *lines, pending = (pending + data).split(b'\n')
                for line in lines:
                    word, *arguments = line.decode(errors='replace').split()
                    is_up = is_up or word == 'up'
                    exit_seen = exit_seen or word == 'exit'
                    yield self.seconds(), word, arguments
            self._check_time(is_up, limit)
            yield self.seconds(), 'tick', []
        self.process.wait(timeout=10)
        if not exit_seen:
            raise Stuck(self._report('the guest ended by itself' if is_up else 'it did not boot'))

    def seconds(self):
        return time.monotonic() - self.began

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for port in self.ports.values():
            port.close()

    def _check_time(self, is_up, limit):
        if self.options.gdb:
            return   # a stopped machine is not a stuck one
        silence = time.monotonic() - self.last_sign
        if not is_up and self.seconds() > SECONDS_TO_BOOT:
            raise Stuck(self._report(f'it did not boot in {SECONDS_TO_BOOT} s'))
        if is_up and silence > SECONDS_WITHOUT_A_SIGN:
            raise Stuck(self._report(f'no sign of life for {SECONDS_WITHOUT_A_SIGN} s'))
        over = limit()
        if over:
            raise Stuck(self._report(over))

    def _report(self, what):
        console = self._read('console')
        lines = [line.rstrip() for line in console.splitlines()][-CONSOLE_LINES:]
        text = [what]
        errors = self._read('qemu').strip()
        if errors:
            text += ['QEMU said:', errors]
        text += [f'the last lines of its console ({len(console.splitlines())} in all):'] if lines else \
                ['its console is empty']
        return '\n  '.join(text + lines)

    def _arguments(self, terminal):
        options = self.options
        ends = []
        ports = []
        for name in ('status', 'output', 'error'):
            ours, theirs = socket.socketpair()
            self.ports[name] = ours
            ends.append(theirs)
            ports += ['-chardev', f'socket,id={name},fd={theirs.fileno()}',
                      '-device', f'virtserialport,chardev={name},name={name}']
        if terminal:
            # Ctrl-C and Ctrl-Z belong to the shell inside.
            ports += ['-chardev', 'stdio,id=terminal,signal=off',
                      '-device', 'virtconsole,chardev=terminal']
        # One thread, however many CPUs: with a thread for each, QEMU 7.2 corrupts the kernel's memory
        # within minutes when guests run on two of them.
        # Without MCE in the host's CR4, which KVM would put into the guest's: QEMU from 9.1 on lets the
        # guest see that one.
        line = ['console=ttyS0', 'loglevel=5', 'panic=-1', 'oops=panic', 'mitigations=off', 'mce=off',
                *options.append]
        arguments = [
            str(self.qemu), '-accel', 'tcg,thread=single', '-machine', 'q35', '-cpu', 'max,-la57',
            '-smp', str(options.cpus), '-m', f'{options.memory}M',
            '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot',
            '-kernel', str(self.images.kernel_image), '-initrd', str(self.images.initrd),
            '-append', ' '.join(line),
            '-serial', f'file:{comma(self.run / "console")}',
            '-fsdev', 'local,id=host,path=/,security_model=none,readonly=on,multidevs=remap',
            '-device', 'virtio-9p-pci,fsdev=host,mount_tag=host',
            '-fsdev', f'local,id=run,path={comma(self.run)},security_model=none',
            '-device', 'virtio-9p-pci,fsdev=run,mount_tag=run',
            '-device', 'virtio-serial-pci', *ports]
        if options.gdb:
            arguments += ['-gdb', f'tcp:127.0.0.1:{options.gdb}', '-S']
        return arguments, ends

    def _write(self, name, content):
        (self.run / name).write_text(content)

    def _read(self, name):
        try:
            text = (self.run / name).read_text(errors='replace')
        except OSError:
            return ''
        return re.sub(r'\x1B\[[0-9;?]*[A-Za-z]|\r', '', text)


def comma(path):
    """QEMU's options are separated by commas; one in a value is doubled."""
    return str(path).replace(',', ',,')


def find_qemu(folder, packages):
    """QEMU by its path: the system's, or the package's, unpacked with all that it depends on.

    Either way folder/bin/qemu-system-x86_64 starts it: tests in the laboratory use that, too, and
    those that compare devices.
    """
    start = folder / 'bin/qemu-system-x86_64'
    system = shutil.which('qemu-system-x86_64')
    if system and not is_complete(folder / 'qemu'):
        write_program(start, f'exec {quoted(system)} "$@"\n')
    else:
        unpack_qemu(folder / 'qemu', packages, start)
    return start


def find_emulator(folder, packages, say):
    """The QEMU that boots the laboratory, by its path: that of find_qemu, unless it is too old; then
    one from Debian's backports.
    """
    qemu = find_qemu(folder, packages)
    if version_of(qemu) >= OLDEST_EMULATOR:
        return qemu
    start = folder / 'bin/emulator'
    failed = folder / '.no-emulator'   # not to be tried again at each start
    if failed.is_file() and time.time() - failed.stat().st_mtime < DAY:
        return qemu
    try:
        unpack_qemu(folder / 'emulator', packages.backports(), start)
    except LaboratoryError as error:
        say(f'{error}\nThis QEMU has to do, which is older than '
            f'{".".join(map(str, OLDEST_EMULATOR))}: a guest that halts may sleep for ever')
        failed.touch()
        return qemu
    return start


def unpack_qemu(root, packages, start):
    """Fetches QEMU and all that it depends on, unless that is done, and makes a script to start it."""
    if not is_complete(root):
        packages.unpack(packages.missing('qemu-system-x86'), root)
    libraries = ':'.join(str(root / place / 'x86_64-linux-gnu') for place in ('lib', 'usr/lib'))
    data = ' '.join(f'-L {quoted(str(root / "usr/share" / place))}' for place in ('qemu', 'seabios'))
    write_program(start, f'export LD_LIBRARY_PATH={quoted(libraries)}\n'
                         f'exec {quoted(str(root / "usr/bin/qemu-system-x86_64"))} {data} "$@"\n')


def version_of(qemu):
    try:
        text = subprocess.run([qemu, '--version'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              text=True, check=False).stdout
    except OSError as error:
        raise LaboratoryError(f'{qemu} does not start: {error.strerror}') from error
    found = re.search(r'version (\d+)\.(\d+)', text)
    if not found:
        raise LaboratoryError(f'{qemu} does not say its version')
    return int(found.group(1)), int(found.group(2))


def write_program(path, text):
    script = '#!/bin/sh\n' + text
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text() != script:
        path.write_text(script)
        path.chmod(0o755)


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"
