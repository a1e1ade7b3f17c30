# SPDX-License-Identifier: MIT
# Copyright (c) Portico contributors
"""The backtrace of a program that crashed inside, made by a debugger outside.

Both sides see one file system, so the program and its libraries are the same files; reading their
debug information natively takes a second, and a minute in the laboratory.
"""

import os
import pathlib
import shutil
import subprocess

from . import LaboratoryError
from .packages import is_complete

SECONDS = 120

LONGEST_ARGUMENTS = 24   # of a template, in a function's name


def backtraces(cores, folder, packages):
    """For each file that `core` left, the test it came from and a text."""
    for core in sorted(cores.iterdir()) if cores.is_dir() else []:
        test, process, path = core.name.split(' ', 2)
        program = path.replace('!', '/')
        yield test, f'--- backtrace of {program}, process {process}\n' + \
            backtrace(program, core, folder, packages)
        core.unlink()


def backtrace(program, core, folder, packages):
    try:
        gdb, environment = find_gdb(folder, packages)
        done = subprocess.run(
            [gdb, '-batch', '-nx', '-iex', 'set debuginfod enabled off', '-iex', 'set auto-load off',
             '-ex', 'set print frame-arguments scalars', '-ex', 'set style enabled off',
             '-ex', 'thread apply all backtrace 40', program, str(core)],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=SECONDS)
    except LaboratoryError as error:
        return f'no debugger: {error}\n'
    except subprocess.TimeoutExpired:
        return f'the debugger did not end in {SECONDS} s\n'
    lines = done.stdout.decode(errors='replace').splitlines()
    return ''.join(f'{shortened(line)}\n' for line in lines)


def shortened(line):
    """A line of a backtrace with long template arguments as <...>: a machine's type fills pages."""
    text, start, depth = '', 0, 0
    for i, character in enumerate(line):
        if character == '<':
            start = i if depth == 0 else start
            depth += 1
        elif character == '>' and depth > 0 and line[i - 1] != '-':
            depth -= 1
            if depth == 0:
                text += line[start:i + 1] if i - start <= LONGEST_ARGUMENTS else '<...>'
        elif depth == 0:
            text += character
    return text if depth == 0 else line


def find_gdb(folder, packages):
    """The system's gdb or the package's, unpacked, and the environment it needs."""
    environment = dict(os.environ)
    root = pathlib.Path(folder) / 'gdb'
    system = shutil.which('gdb')
    if system and not is_complete(root):
        return system, environment
    if not is_complete(root):
        packages.unpack(packages.missing('gdb-minimal'), root)
    environment['LD_LIBRARY_PATH'] = ':'.join(
        str(root / place / 'x86_64-linux-gnu') for place in ('lib', 'usr/lib'))
    return str(root / 'usr/bin/gdb'), environment
