# SPDX-License-Identifier: MIT
# Copyright (c) Portico contributors
"""Debian packages, downloaded and checked by apt and unpacked into a folder: never installed, no root.

Everything is fetched once: a folder with the file `.complete` in it is finished. Where the system's
package lists are missing or out of date, apt fetches lists of its own into the laboratory's folder,
checked against the system's keys as always. So it does for Debian's backports, which no system has to
know.
"""

import os
import pathlib
import platform
import re
import shutil
import subprocess
import tarfile

from . import LaboratoryError

APT_FAILED = ('{}: {}\n'
              'the laboratory needs the network once, for packages from where /etc/apt says; '
              'later runs use what is in {}')


DEBIAN = 'http://deb.debian.org/debian'


def is_complete(folder):
    return (folder / '.complete').is_file()


def mark_complete(folder):
    (folder / '.complete').touch()


def remove(path):
    """Removes a folder, even one with files inside folders without write permission."""
    if path.is_dir():
        for root, _, _ in os.walk(path):
            os.chmod(root, 0o755)
        shutil.rmtree(path)


def extract(archive, into, keep):
    """Unpacks the files of a package whose paths, such as boot/config, are to be kept."""
    with subprocess.Popen(['dpkg-deb', '--fsys-tarfile', archive], stdout=subprocess.PIPE) as unpacker, \
            tarfile.open(fileobj=unpacker.stdout, mode='r|') as tar:
        for member in tar:
            path = member.name.removeprefix('./')
            if member.isfile() and keep(path):
                (into / path).parent.mkdir(parents=True, exist_ok=True)
                (into / path).write_bytes(tar.extractfile(member).read())


class Packages:
    def __init__(self, folder, say, release=None):
        """`folder` holds everything apt makes; `say` is called with a line of text now and then.

        `release` is one more of Debian's releases, whose packages come first.
        """
        self.folder = pathlib.Path(folder)
        self.say = say
        self.release = release
        self.own_lists = []   # apt options, once the system's own lists have turned out useless

    def backports(self):
        """The same, but what Debian has newer versions of for this release comes in those."""
        try:
            system = platform.freedesktop_os_release()
        except OSError:
            system = {}
        if system.get('ID') != 'debian' or 'VERSION_CODENAME' not in system:
            raise LaboratoryError('only a released Debian has backports')
        codename = system['VERSION_CODENAME']
        return Packages(self.folder, self.say, f'{codename}-backports')

    def unpack(self, names, into, keep=None):
        """Fetches the packages named and unpacks them all into one folder, unless that is done.

        `keep` is a function that tells the paths of the files that are wanted; by default, all are.
        """
        into = pathlib.Path(into)
        if is_complete(into):
            return into
        remove(into)
        into.mkdir(parents=True)
        for archive in self._fetch(names, into.name):
            if keep:
                extract(archive, into, keep)
            else:
                subprocess.run(['dpkg-deb', '--extract', archive, into], check=True)
            archive.unlink()
        mark_complete(into)
        return into

    def dependency(self, name, pattern):
        """The dependency of a package whose name matches a pattern: what a meta package stands for."""
        def ask():
            text = self._apt('apt-cache', 'depends', name)
            found = re.search(r'Depends: (' + pattern + r')$', text, re.MULTILINE)
            if not found:
                raise LaboratoryError(f'apt knows no {name} package here; this needs Debian for amd64')
            return found.group(1)
        return self._with_fresh_lists(ask)

    def missing(self, name):
        """The packages that apt would have to install for `name`, with all that it depends on.

        With a release of our own, those too that the system has in a version too old for that.
        """
        new = r'^Inst (\S+) (?:\[\S+\] )?\(' if self.release else r'^Inst (\S+) \('

        def ask():
            text = self._apt('apt-get', '--simulate', '--no-install-recommends', 'install', name)
            # "Inst NAME (VERSION ..." is new; "Inst NAME [OLD] (NEW ..." is an update of what is there.
            names = re.findall(new, text, re.MULTILINE)
            if not names:
                raise LaboratoryError(f'{name} is installed, but its program is not in PATH')
            return names
        return self._with_fresh_lists(ask)

    def closure(self, name):
        """The package and all that it depends on."""
        def ask():
            text = self._apt('apt-cache', 'depends', '--recurse', '--no-recommends', '--no-suggests',
                             '--no-conflicts', '--no-breaks', '--no-replaces', '--no-enhances', name)
            # A package that exists stands at the beginning of a line, and a virtual one in brackets.
            return re.findall(r'^([a-z0-9][a-z0-9+.-]*)$', text, re.MULTILINE)
        return self._with_fresh_lists(ask)

    def _fetch(self, names, what):
        folder = self.folder / 'archives'
        folder.mkdir(parents=True, exist_ok=True)

        def download():
            for old in folder.glob('*.deb'):
                old.unlink()
            self.say('fetching ' + (names[0] if len(names) == 1 else f'{len(names)} packages for {what}'))
            # apt checks each file against the signed lists before it gets its name.
            self._apt('apt-get', '--quiet', 'download', *names, cwd=folder)
            return sorted(folder.glob('*.deb'))

        archives = self._with_fresh_lists(download)
        if len(archives) != len(names):
            raise LaboratoryError(f'apt delivered {len(archives)} of the {len(names)} packages: '
                                  + ', '.join(names))
        return archives

    def _with_fresh_lists(self, action):
        if self.own_lists or not self.release:
            try:
                return action()
            except LaboratoryError:
                if self.own_lists:
                    raise
        self._fetch_lists()
        return action()

    def _fetch_lists(self):
        state = self.folder / ('apt-' + self.release if self.release else 'apt')
        for part in ('lists/partial', 'cache/archives/partial'):
            (state / part).mkdir(parents=True, exist_ok=True)
        own_lists = ['-o', f'Dir::State::lists={state}/lists', '-o', f'Dir::Cache={state}/cache',
                     '-o', 'APT::Update::Error-Mode=any',
                     '-o', 'APT::Update::Post-Invoke=', '-o', 'APT::Update::Post-Invoke-Success=']
        if self.release:
            # Beside the system's own: those in sources.list.d stay, those in sources.list are copied.
            system = pathlib.Path('/etc/apt/sources.list')
            more = f'deb {DEBIAN} {self.release} main\n'
            (state / 'sources.list').write_text(
                (system.read_text(encoding='utf-8') if system.is_file() else '') + more)
            own_lists += ['-o', f'Dir::Etc::SourceList={state}/sources.list',
                          '-o', f'APT::Default-Release={self.release}']
        self.say('fetching package lists' + (f' of {self.release}' if self.release else ''))
        self.own_lists = own_lists
        self._apt('apt-get', '--quiet', 'update')

    def _apt(self, program, *arguments, cwd=None):
        if not shutil.which(program):
            raise LaboratoryError(f'{program} is missing; the laboratory needs Debian or a relative')
        # As root, apt would fetch as a user who may not be able to write here.
        options = ['-o', 'APT::Sandbox::User=root', '-o', 'Acquire::Retries=2', *self.own_lists]
        done = subprocess.run([program, *options, *arguments], cwd=cwd, text=True,
                              env={**os.environ, 'LC_ALL': 'C'}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            errors = re.findall(r'^E: (.*)', done.stderr, re.MULTILINE)
            why = '; '.join(errors) or f'status {done.returncode}'
            raise LaboratoryError(APT_FAILED.format(program, why, self.folder))
        return done.stdout
