# SPDX-License-Identifier: MIT
# Copyright (c) Portico contributors
"""Which tests run in the laboratory, and what comes of them.

The tests are those of a build folder, as Meson has them, programs built outside; nothing is built
inside. Results are left as Meson leaves them, in meson-logs/laboratory, for test/summary.py.
"""

import fnmatch
import json
import pathlib
import shlex
import xml.etree.ElementTree

from . import LaboratoryError

SUITES = ['kvm', 'abi']

SECONDS_TO_SPLIT = 120

# Status with which coreutils' timeout says that the time was over, and that SIGABRT was not enough.
TIME_IS_OVER = (124, 137)


class Test:
    """A test as Meson describes it, and what is known about its run."""

    def __init__(self, description, number, multiplier, shard=0, shards=1):
        self.project, _, suite = description['suite'][0].partition(':')
        self.suites = {name.partition(':')[2] for name in description['suite']} or {suite}
        self.name = description['name']
        self.command = description['cmd']
        self.environment = description['env']
        self.folder = description['workdir']
        self.protocol = description['protocol']
        self.limit = int(description['timeout'] * multiplier)
        self.key = f'{number:03}.{shard}'
        self.is_parallel = description['is_parallel']
        self.shard, self.shards = shard, shards
        self.result = None
        self.status = None
        self.seconds = 0.0
        self.output = self.errors = ''
        self.cases = None   # the XML of a GoogleTest program

    def full_name(self):
        """As Meson writes it: "portico:kvm+abi / name"."""
        part = f' {self.shard + 1}/{self.shards}' if self.shards > 1 else ''
        return f'{self.project}:{"+".join(sorted(self.suites))} / {self.name}{part}'

    def script(self, build, results):
        lines = [f'cd {shlex.quote(self.folder or str(build))} || exit']
        lines += [f'export {name}={shlex.quote(value)}' for name, value in self.environment.items()]
        if self.protocol == 'gtest':
            lines.append(f'export GTEST_OUTPUT=xml:{shlex.quote(str(results / self.key))}.xml')
            lines.append(f'export GTEST_SHARD_INDEX={self.shard} GTEST_TOTAL_SHARDS={self.shards}')
        lines.append('exec ' + ' '.join(shlex.quote(word) for word in self.command))
        return '\n'.join(lines) + '\n'

    def finish(self, results, status, seconds):
        """Takes the results of a run that ended with this status, as a shell gives it."""
        self.status = status if status < 128 else 128 - status
        self.seconds = seconds
        if status in TIME_IS_OVER and seconds >= self.limit:
            self.result = 'TIMEOUT'
        else:
            self.result = {0: 'OK', 77: 'SKIP', 99: 'ERROR'}.get(status, 'FAIL')
        self._collect(results)

    def give_up(self, results, result, why, seconds=0.0):
        """Takes what there is of a test that did not come to its end."""
        self.result = result
        self.seconds = seconds
        self._collect(results)
        self.errors += f'{why}\n'

    def _collect(self, results):
        def read(kind):
            path = results / f'{self.key}.{kind}'
            return path.read_text(errors='replace') if path.is_file() else ''
        self.output, self.errors = read('out'), read('err')
        try:
            self.cases = xml.etree.ElementTree.fromstring(read('xml')) if read('xml') else None
        except xml.etree.ElementTree.ParseError:
            self.cases = None


def select(build, suites, patterns, multiplier, longest, jobs):
    """The tests of a build folder that are in one of the suites and fit one of the patterns, the ones
    with the longest time limit last.

    Without suites, those of SUITES that are not in the suite `long`. No test may take more than
    `longest` seconds, or there would be no time left to ask where it hangs. A GoogleTest program with
    a limit of some minutes is split into as many as run at once.
    """
    description = pathlib.Path(build) / 'meson-info' / 'intro-tests.json'
    if not description.is_file():
        raise LaboratoryError(f'{build} is no build folder: run ./dev build first')
    tests = []
    for number, entry in enumerate(json.loads(description.read_text())):
        is_split = (entry['protocol'] == 'gtest' and entry['is_parallel']
                    and entry['timeout'] >= SECONDS_TO_SPLIT)
        shards = jobs if is_split else 1
        for shard in range(shards):
            test = Test(entry, number, multiplier, shard, shards)
            test.limit = min(test.limit, int(longest))
            if is_wanted(test, suites, patterns):
                tests.append(test)
    for test in tests:
        if not pathlib.Path(test.command[0]).exists():
            raise LaboratoryError(f'{test.command[0]} is not built: run ./dev build first')
    return sorted(tests, key=lambda test: test.limit)


def is_wanted(test, suites, patterns):
    if not test.suites & set(suites or SUITES):
        return False
    if 'long' in test.suites and not suites or 'lab' in test.suites:   # no laboratory inside itself
        return False
    return not patterns or any(fnmatch.fnmatch(test.name, pattern) for pattern in patterns)


def write(tests, folder):
    """Leaves the results as Meson would: testlog.json and testlog.junit.xml."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / 'testlog.json', 'w', encoding='utf-8') as log:
        for test in tests:
            json.dump({'name': test.full_name(), 'result': test.result, 'returncode': test.status,
                       'duration': test.seconds, 'command': test.command,
                       'stdout': test.output, 'stderr': test.errors}, log)
            log.write('\n')
    root = xml.etree.ElementTree.Element('testsuites')
    for test in tests:
        if test.cases is not None:
            for suite in test.cases.iter('testsuite'):
                suite.set('name', f'{test.project}.{test.full_name()}.{suite.get("name")}')
                root.append(suite)
            continue
        suite = xml.etree.ElementTree.SubElement(root, 'testsuite', name=test.project, tests='1')
        case = xml.etree.ElementTree.SubElement(suite, 'testcase', name=test.full_name(),
                                                classname=test.project, time=str(test.seconds))
        if test.result == 'SKIP':
            xml.etree.ElementTree.SubElement(case, 'skipped')
        elif test.result != 'OK':
            xml.etree.ElementTree.SubElement(case, 'failure', message=test.result)
        for name, text in (('system-out', test.output), ('system-err', test.errors)):
            xml.etree.ElementTree.SubElement(case, name).text = printable(text)
    xml.etree.ElementTree.ElementTree(root).write(folder / 'testlog.junit.xml', encoding='utf-8',
                                                  xml_declaration=True)


def printable(text):
    """Without the characters that XML cannot hold."""
    return ''.join(c if c >= ' ' or c in '\n\t' else '?' for c in text)
