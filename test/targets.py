#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Copyright (c) Portico contributors
"""What has to be built for the tests of some suites, and what no test needs.

usage: targets.py FOLDER SUITE...   FOLDER is a build folder; one line for each target of Ninja
"""

import json
import pathlib
import sys


def targets(folder, suites):
    def description(of):
        return json.loads((folder / 'meson-info' / f'intro-{of}.json').read_text())
    needed, others = set(), set()
    for test in description('tests'):
        is_wanted = any(suite.partition(':')[2] in suites for suite in test['suite'])
        (needed if is_wanted else others).update(test['depends'])
    return [str(pathlib.Path(file).relative_to(folder))
            for target in description('targets')
            if target['id'] in needed or target['build_by_default'] and target['id'] not in others
            for file in target['filename']]


if __name__ == '__main__':
    print('\n'.join(targets(pathlib.Path(sys.argv[1]).resolve(), set(sys.argv[2:]))))
