#!/usr/bin/env python3
"""Tests of ./dev itself: what it says to a wrong call, and how it installs what is missing.

It runs in a folder of its own, where compilers, Meson, Ninja and apt are scripts that write down
how they were called; what it looks for in /usr/include is there, as the build needed it.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent

# What the script uses of the system, beside what stands in for it here.
REAL = ["bash", "cat", "cp", "dirname", "env", "head", "mkdir", "nproc", "readlink", "rm", "sed",
        "sort"]

FAKE = {
    "g++": 'echo "${FAKE_GCC:-12.2.0}"',
    "clang++-19": "exit 0",
    "cmake": "exit 0",
    "pkg-config": "exit 0",
    "objdump": "exit 0",
    "ninja": 'echo "ninja $*" >>"$LOG"',
    "meson": 'if [ "$1" = --version ]; then echo "${FAKE_MESON:-1.0.1}"; exit 0; fi\n'
             'echo "CXX=$CXX meson $*" >>"$LOG"; mkdir -p "$2"; : >"$2/build.ninja"',
    "apt-cache": "exit 0",
    "sudo": 'echo "sudo" >>"$LOG"; exec "$@"',
    # Installing a package makes the command of its name come out of the store.
    "apt-get": 'echo "apt-get $*" >>"$LOG"\n'
               'for word; do case $word in ninja-build) word=ninja;; esac\n'
               '[ ! -e "$STORE/$word" ] || cp "$STORE/$word" "$BIN"; done',
}


class Dev(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.bin = self.root / "bin"
        self.store = self.root / "store"
        self.tree = self.root / "tree"
        for path in (self.bin, self.store, self.tree):
            path.mkdir()
        shutil.copy(SOURCE / "dev", self.tree)
        for name in REAL:
            (self.bin / name).symlink_to(shutil.which(name))
        for name, text in FAKE.items():
            (self.bin / name).write_text(f"#!{shutil.which('bash')}\n{text}\n")
            (self.bin / name).chmod(0o755)
        self.environment = {"PATH": str(self.bin), "BIN": str(self.bin), "STORE": str(self.store),
                            "LOG": str(self.root / "log")}

    def run_dev(self, *arguments, **environment):
        result = subprocess.run([self.tree / "dev", *arguments], capture_output=True, text=True,
                                env=self.environment | environment, cwd=self.root)
        self.said = result.stdout
        self.warned = result.stderr
        return result.returncode

    def calls(self):
        log = self.root / "log"
        return log.read_text().splitlines() if log.exists() else []

    def not_installed(self, name):
        shutil.move(self.bin / name, self.store / name)

    def test_help(self):
        for arguments in ([], ["help"], ["--help"], ["-h"]):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.run_dev(*arguments), 0)
                self.assertIn("usage: ./dev VERB", self.said)
                self.assertEqual(self.calls(), [])

    def test_a_wrong_call_is_status_2_and_one_line(self):
        for arguments, text in ((["tset"], "no verb 'tset'"), (["test", "--fast"], "'--fast'"),
                                (["build", "gcc"], "no variant 'gcc'"), (["demo", "x"], "demo"),
                                (["fuzz", "all", "long"], "'long'")):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.run_dev(*arguments), 2)
                self.assertIn(text, self.warned)
                self.assertEqual(len(self.warned.splitlines()), 1, self.warned)
                self.assertEqual(self.said, "")
                self.assertEqual(self.calls(), [])

    def test_nothing_is_installed_where_nothing_is_missing(self):
        self.assertEqual(self.run_dev("build"), 0, self.warned)
        self.assertEqual([call for call in self.calls() if "apt" in call], [])
        self.assertIn("CXX=g++ meson setup build -Dcpp_args=-g1", self.calls())

    def test_what_is_missing_is_installed_and_named(self):
        self.not_installed("meson")
        self.not_installed("ninja")
        self.assertEqual(self.run_dev("build"), 0, self.warned)
        self.assertIn("installing: meson ninja-build", self.warned)
        calls = [call for call in self.calls() if call != "sudo"]
        self.assertRegex(calls[0], "^apt-get update")
        self.assertRegex(calls[1], "^apt-get install .*--no-install-recommends meson ninja-build$")
        self.assertEqual("sudo" in self.calls(), os.geteuid() != 0)

    def test_the_compilers_of_a_variant(self):
        self.assertEqual(self.run_dev("build", "clang", "tsan"), 0, self.warned)
        setups = [call for call in self.calls() if "setup" in call]
        self.assertEqual(len(setups), 2)
        self.assertIn("CXX=clang++-19 meson setup build/clang", setups[0])
        self.assertIn("-Db_sanitize=thread", setups[1])

    def test_an_installation_that_fails_is_said(self):
        self.not_installed("meson")
        (self.bin / "apt-get").write_text(f"#!{shutil.which('bash')}\n[ \"$1\" = update ]\n")
        self.assertEqual(self.run_dev("build"), 1)
        self.assertIn("apt could not install meson", self.warned)

    def test_a_machine_without_apt(self):
        self.not_installed("meson")
        (self.bin / "apt-get").unlink()
        self.assertEqual(self.run_dev("build"), 1)
        self.assertIn("has to be installed by hand", self.warned)
        # All of it: nothing else will say what is missing.
        for name in ("g++", "clang", "meson", "ninja", "cmake", "pkg-config", "binutils",
                     "python3", "git", "Linux' headers", "GSL", "GoogleTest", "Google Benchmark",
                     "CLI11", "nlohmann-json", "gnuplot", "valgrind", "clang-tidy",
                     "clang-format"):
            self.assertIn(name, self.warned)

    def test_old_tools_are_named(self):
        self.assertEqual(self.run_dev("build", FAKE_MESON="0.61.2"), 1)
        self.assertIn("meson 0.61.2 is too old", self.warned)
        self.assertEqual(self.run_dev("build", FAKE_GCC="11.4.0"), 1)
        self.assertIn("g++ 11.4.0 is too old", self.warned)

    def test_what_fails_to_configure_is_shown(self):
        with open(self.bin / "meson", "a") as meson:
            meson.write("echo 'ERROR: no such dependency'; exit 1\n")
        self.assertEqual(self.run_dev("build"), 1)
        self.assertIn("no such dependency", self.warned)

    def test_clean_removes_the_build(self):
        self.run_dev("build")
        self.assertTrue((self.tree / "build").exists())
        self.assertEqual(self.run_dev("clean"), 0)
        self.assertFalse((self.tree / "build").exists())


if __name__ == "__main__":
    unittest.main()
