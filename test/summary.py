#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) Portico contributors
"""What the tests gave, place by place: failures with their text, each skip with its reason.

  summary.py [--lab FOLDER]... [FOLDER...]

FOLDER is a build folder where `meson test` ran; with --lab, one whose tests ran in the laboratory. The
last line is `N passed, N failed, N skipped` over all places; the exit status is 0 if none failed.

Both places leave what Meson leaves: testlog.json, a line for each program with its result and output,
and testlog.junit.xml, with the single tests of GoogleTest programs. Each is needed: the second does not
tell a program that ran out of time from one that passed (Meson 1.0), the first has no single tests.
"""

import argparse
import json
import pathlib
import re
import sys
import xml.etree.ElementTree

LINES_OF_OUTPUT = 60

PASSED, FAILED, SKIPPED = 'passed', 'failed', 'skipped'

OUTCOMES = {'OK': PASSED, 'EXPECTEDFAIL': PASSED, 'SKIP': SKIPPED}   # anything else is a failure

WHY_FAILED = {'TIMEOUT': 'ran out of time', 'UNEXPECTEDPASS': 'passed, but was expected to fail',
              'INTERRUPT': 'was interrupted'}


class Case:
    """One test: its outcome, and why in case it failed (some lines) or was skipped (one line)."""

    def __init__(self, name, outcome, why=''):
        self.name = name
        self.outcome = outcome
        self.why = why


class Place:
    """The results of one build folder, natively or in the laboratory."""

    def __init__(self, title, logs):
        self.title = title
        try:
            programs = read(logs)
        except OSError as error:
            programs = [[Case('all', FAILED, f'no results: {error.filename}: {error.strerror}')]]
        self.programs = len(programs)
        self.cases = [case for cases in programs for case in cases]

    def count(self, outcome):
        return sum(case.outcome == outcome for case in self.cases)


def native(folder):
    return Place(f'native, {name_of(folder)}', pathlib.Path(folder) / 'meson-logs')


def laboratory(folder):
    return Place(f'laboratory, {name_of(folder)}', laboratory_logs(folder))


def laboratory_logs(folder):
    """Where the laboratory puts the results of a build folder's tests."""
    return pathlib.Path(folder) / 'meson-logs' / 'laboratory'


def name_of(folder):
    folder = pathlib.Path(folder).resolve()
    try:
        return str(folder.relative_to(pathlib.Path.cwd()))
    except ValueError:
        return folder.name


def read(logs):
    """The cases of each program, out of a folder with testlog.json and testlog.junit.xml."""
    programs = [json.loads(line) for line in (logs / 'testlog.json').read_text().splitlines() if line]
    suites = {program['name']: [] for program in programs}
    if (logs / 'testlog.junit.xml').is_file():
        for suite in xml.etree.ElementTree.parse(logs / 'testlog.junit.xml').getroot():
            owner = owner_of(suite.get('name', ''), suites)
            if owner is not None:
                suites[owner].append(suite)
    return [cases_of_program(program, suites[program['name']]) for program in programs]


def owner_of(suite, programs):
    """Meson calls a GoogleTest suite PROJECT.PROGRAM.SUITE; PROGRAM may hold dots itself."""
    owners = [name for name in programs
              if suite.startswith(f'{re.split("[: ]", name)[0]}.{name}.')]
    return max(owners, key=len, default=None)


def cases_of_program(program, suites):
    name = short(program['name'])
    outcome = OUTCOMES.get(program['result'], FAILED)
    if not suites and '[ RUN      ] ' in (program.get('stdout') or ''):
        return cases_of_broken_run(program, name, outcome)
    if not suites:
        if outcome == PASSED and '[==========] Running 0 tests' in (program.get('stdout') or ''):
            # The first of several parts has a test if there is one; a later part may have none.
            return [] if is_later_part(name) else [Case(name, FAILED, 'no test ran')]
        return [Case(name, outcome, why_program(program, outcome))]
    cases = [case_of_google_test(name, case) for suite in suites for case in suite.iter('testcase')]
    if outcome == FAILED and not any(case.outcome == FAILED for case in cases):
        # All its tests passed, and then it crashed, leaked or returned something else.
        cases.append(Case(name, FAILED, why_program(program, outcome)))
    return cases


def is_later_part(name):
    """Whether it is what the laboratory calls "NAME 2/2": a part of a program's tests."""
    part = re.search(r' (\d+)/\d+$', name)
    return part is not None and int(part.group(1)) > 1


def cases_of_broken_run(program, name, outcome):
    """The single tests of a GoogleTest program that left no XML, as it crashed or was ended."""
    cases = []
    for part in program['stdout'].split('[ RUN      ] ')[1:]:
        test, _, output = part.partition('\n')
        ended = re.search(r'\[ +(OK|FAILED|SKIPPED) +\] ' + re.escape(test), output)
        why = output[:ended.start()].rstrip() if ended else ''
        if not ended:
            own = {**program, 'stdout': output}
            cases.append(Case(f'{name}: {test}', FAILED, why_program(own, FAILED)))
        elif ended[1] == 'OK':
            cases.append(Case(f'{name}: {test}', PASSED))
        elif ended[1] == 'FAILED':
            cases.append(Case(f'{name}: {test}', FAILED, why))
        else:
            cases.append(Case(f'{name}: {test}', SKIPPED, reason_of_skip(why)))
    if outcome == FAILED and not any(case.outcome == FAILED for case in cases):
        cases.append(Case(name, FAILED, why_program(program, FAILED)))
    return cases


def short(program):
    """"portico:kvm+long / vcpu" without what is the same everywhere."""
    return program.split(':', 1)[-1]


def why_program(program, outcome):
    output = (program.get('stdout') or '').rstrip('\n').splitlines()
    errors = (program.get('stderr') or '').rstrip('\n').splitlines()
    if outcome == SKIPPED:
        said = [line.strip() for line in output + errors if line.strip()]
        return said[-1] if said else 'gave no reason'
    if outcome != FAILED:
        return ''
    why = WHY_FAILED.get(program['result'])
    if why is None:
        status = program.get('returncode')
        if status is None:
            why = 'did not end'
        else:
            why = f'killed by signal {-status}' if status < 0 else f'exit status {status}'
    return '\n'.join([why] + last(output) + last(errors))


def last(lines):
    if len(lines) <= LINES_OF_OUTPUT:
        return lines
    return [f'... {len(lines) - LINES_OF_OUTPUT} lines more'] + lines[-LINES_OF_OUTPUT:]


def case_of_google_test(program, case):
    name = f'{program}: {case.get("classname")}.{case.get("name")}'
    failures = case.findall('failure') + case.findall('error')
    if failures:
        return Case(name, FAILED, '\n'.join(text_of(failure) for failure in failures))
    skipped = case.find('skipped')
    if skipped is not None:
        return Case(name, SKIPPED, reason_of_skip(text_of(skipped)))
    if case.get('status') == 'notrun':
        return Case(name, SKIPPED, 'disabled in its source')
    return Case(name, PASSED)


def reason_of_skip(text):
    """GoogleTest's text is "FILE:LINE" or "FILE:LINE: Skipped", then what the test said."""
    said = re.sub(r'^\S+:\d+(: Skipped)?\n', '', text.strip())
    return ' '.join(said.split('\n')) or 'gave no reason'


def text_of(element):
    return (element.text or element.get('message') or '').strip()


def report(places, out=sys.stdout):
    """Prints it all; gives whether every test passed or was skipped."""
    for outcome, label in ((SKIPPED, 'skipped'), (FAILED, 'FAILED')):
        for place in places:
            for case in place.cases:
                if case.outcome == outcome:
                    why = case.why.split('\n')
                    print(f'{label} ({place.title}) {case.name}: {why[0]}', file=out)
                    for line in why[1:]:
                        print(f'    {line}', file=out)
    for place in places:
        print(f'{place.title}: {place.programs} programs: {counts([place])}', file=out)
    print(counts(places), file=out)
    return not any(place.count(FAILED) for place in places)


def counts(places):
    return ', '.join(f'{sum(place.count(outcome) for place in places)} {outcome}'
                     for outcome in (PASSED, FAILED, SKIPPED))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('folders', nargs='*', metavar='FOLDER', help='a build folder')
    parser.add_argument('--lab', action='append', default=[], metavar='FOLDER',
                        help='a build folder whose tests ran in the laboratory')
    options = parser.parse_args()
    if not options.folders and not options.lab:
        parser.error('no folder given')
    places = [native(folder) for folder in options.folders]
    places += [laboratory(folder) for folder in options.lab]
    return 0 if report(places) else 1


if __name__ == '__main__':
    sys.exit(main())
