#!/usr/bin/env python3
"""exit_cost against a program whose counts are known by construction.

usage: test_exit_cost.py EXIT_COST KNOWN
"""
import json
import subprocess
import sys
import unittest

EXIT_COST, KNOWN = sys.argv[1:3]


def run(mode, *options):
    return subprocess.run([EXIT_COST, *options, KNOWN, mode], capture_output=True, text=True,
                          timeout=60)


def count(mode, *options):
    """The distinct counts and the system calls of one run, and the whole result."""
    done = run(mode, "--json", "--skip", "5", *options)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert len(result["exits"]) == 1, result
    kind = result["exits"][0]
    return {int(n): times for n, times in kind["distinct"].items()}, kind["system_calls"], result


class ExitCost(unittest.TestCase):
    def test_plain_loop(self):
        distinct, calls, result = count("plain", "--count", "50")
        self.assertEqual(distinct, {16: 50})
        self.assertEqual(calls, {})
        self.assertEqual(result["samples"], [[16, 0]] * 50)

    def test_failed_kvm_run_is_named(self):
        _, _, result = count("plain", "--count", "1")
        self.assertEqual(result["exits"][0]["exit"], "error: Bad file descriptor")

    def test_system_calls_and_repeated_strings(self):
        distinct, calls, result = count("mixed", "--count", "30")
        self.assertEqual(distinct, {16: 10, 18: 10, 20: 10})
        self.assertEqual(calls, {"getpid": 10})
        kind = result["exits"][0]
        self.assertEqual((kind["min"], kind["median"], kind["max"]), (16, 18, 20))

    def test_skip_is_exact(self):
        # The three steps of a turn come in order, so that each further exit skipped shifts them by one.
        orders = [count("mixed", "--count", "3", "--skip", str(3 + n))[2]["samples"]
                  for n in range(3)]
        turn = [[16, 0], [18, 1], [20, 0]]
        first = turn.index(orders[0][0])
        for n, samples in enumerate(orders):
            self.assertEqual(samples, [turn[(first + n + k) % 3] for k in range(3)])

    def test_signal_handlers_are_counted(self):
        distinct, calls, _ = count("signal", "--count", "20")
        self.assertEqual(distinct, {26: 20})
        self.assertEqual(calls, {"kill": 20, "rt_sigreturn": 20})

    def test_libc_ioctl_is_recognised(self):
        distinct, calls, _ = count("libc", "--count", "20")
        self.assertEqual(len(distinct), 1)
        self.assertGreater(min(distinct), 4)
        self.assertEqual(calls, {})

    def test_threads(self):
        self.assertEqual(count("threads", "--count", "20", "--thread", "first")[0], {16: 20})
        self.assertEqual(count("threads", "--count", "20", "--thread", "1")[0], {19: 20})
        distinct, _, result = count("threads", "--count", "3000", "--thread", "all")
        self.assertEqual(set(distinct), {16, 19})
        self.assertEqual(len(result["threads"]), 2)

    def test_child_process(self):
        self.assertEqual(count("fork", "--count", "20")[0], {16: 20})

    def test_program_that_ends_early(self):
        distinct, _, _ = count("plain", "--count", "1000", "--skip", "1960")
        # Of 2000 returns the last is followed by no further KVM_RUN.
        self.assertEqual(distinct, {16: 39})

    def test_only_filters_by_name(self):
        self.assertEqual(count("plain", "--count", "5", "--only", "Bad file")[0], {16: 5})
        done = run("plain", "--only", "out 0xe9")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nothing counted", done.stderr)
        self.assertIn("--only out 0xe9", done.stderr)

    def test_path_names_the_code(self):
        _, _, result = count("plain", "--count", "2", "--path")
        path = result["exits"][0]["path"]
        self.assertEqual(len(path), 16)
        self.assertTrue(all(place.startswith("known+0x") for place in path), path)

    def test_let_finish(self):
        done = run("plain", "--count", "2", "--let-finish")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("2 exits counted", done.stdout)

    def test_program_without_kvm_run(self):
        done = run("none")
        self.assertEqual(done.returncode, 1)
        self.assertIn("exit status 3; 0 threads called KVM_RUN", done.stderr)

    def test_bad_command_lines(self):
        for arguments, text in [([], "PROGRAM is missing"),
                                (["--count", "none", KNOWN], "--count"),
                                (["--count", "0", KNOWN], "--count"),
                                (["--frobnicate", KNOWN], "--frobnicate"),
                                (["/nonexistent/program"], "cannot run /nonexistent/program")]:
            done = subprocess.run([EXIT_COST, *arguments], capture_output=True, text=True,
                                  timeout=60)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(text, done.stderr)
            self.assertEqual(done.stdout, "")


if __name__ == "__main__":
    probe = run("plain", "--count", "1")
    if "may not trace" in probe.stderr:
        print("skipped: " + probe.stderr.strip())
        sys.exit(77)
    unittest.main(argv=[sys.argv[0]], verbosity=2)
