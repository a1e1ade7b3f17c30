#!/usr/bin/env python3
"""What the report says about figures: intervals, claims, what is missing, CSV, counts held to a record."""
import io
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(1, str(HERE / "compile"))

sys.path.insert(1, str(HERE / "virtio"))

import check
import compare
import exits_report
import judge
import machine
import plots
import run
import subjects
from compiler import without_arguments
from tables import COLUMNS, markdown, number, read_csv, write_csv


def figure(name, ring, p50, group="exits", variant=None, **more):
    return {"group": group, "name": name, "ring": ring, "variant": variant, "unit": "ns", "count": 100,
            "p50": p50, "p99": 2 * p50, "p999": 3 * p50, "min": p50 / 2, "mean": p50,
            "exits_per_op": 1, "empty_loop_ns": 1, "histogram": [[p50, 90], [2 * p50, 10]], "note": "",
            **more}


def ratio(difference, low, high, variant="portico", versus="bare", **more):
    return {"group": "framework", "name": "out 1 byte", "ring": 0, "variant": variant,
            "versus": versus, "ratio": 1 + difference / 1000, "low": 1 + low / 1000,
            "high": 1 + high / 1000, "difference_ns": difference, "difference_low": low,
            "difference_high": high, "samples": 50, **more}


BARE = figure("out 1 byte", 0, 1000.0, "framework", "bare")


class Judge(unittest.TestCase):
    def test_interval_decides(self):
        self.assertEqual(judge.at_most(1.0, 0.9, 1.1, 1.5), judge.HOLDS)
        self.assertEqual(judge.at_most(1.0, 0.9, 1.5, 1.5), judge.HOLDS)
        self.assertEqual(judge.at_most(1.4, 1.3, 1.6, 1.5), judge.OPEN)
        self.assertEqual(judge.at_most(1.7, 1.6, 1.8, 1.5), judge.MISSED)
        self.assertEqual(judge.at_least(6, 5.5, 7, 5), judge.HOLDS)
        self.assertEqual(judge.at_least(5.5, 4.9, 7, 5), judge.OPEN)
        self.assertEqual(judge.at_least(4, 3, 4.9, 5), judge.MISSED)

    def test_ratio_of_what_differs(self):
        above = [200 + i % 7 for i in range(60)]
        below = [100 + i % 5 for i in range(60)]
        value, low, high = judge.ratio_interval(above, below)
        self.assertTrue(1.9 < low <= value <= high < 2.1, (low, value, high))
        self.assertEqual((value, low, high), judge.ratio_interval(above, below))

    def test_a_disturbance_of_both_cancels_in_pairs(self):
        disturbed = [100 + 50 * (i % 10) for i in range(50)]
        value, low, high = judge.ratio_interval(disturbed, disturbed)
        self.assertEqual((value, low, high), (1, 1, 1))
        _, low, high = judge.ratio_interval(disturbed, disturbed, paired=False)
        self.assertTrue(low < 1 < high)

    def test_lists_of_two_lengths(self):
        value, low, high = judge.ratio_interval([10.0] * 5, [5.0] * 9, paired=False)
        self.assertEqual((value, low, high), (2, 2, 2))

    def test_framework_has_one_percent_or_50_ns(self):
        self.assertEqual(judge.framework_adds(ratio(20, 10, 49), 1000), (50, judge.HOLDS))
        self.assertEqual(judge.framework_adds(ratio(20, 10, 51), 1000), (50, judge.OPEN))
        self.assertEqual(judge.framework_adds(ratio(60, 51, 70), 1000), (50, judge.MISSED))
        self.assertEqual(judge.framework_adds(ratio(60, 51, 70), 8000), (80, judge.HOLDS))

    def test_more_is_more_than_nothing(self):
        self.assertEqual(judge.costs_more(ratio(30, 10, 50)), judge.HOLDS)
        self.assertEqual(judge.costs_more(ratio(30, -1, 50)), judge.OPEN)
        self.assertEqual(judge.costs_more(ratio(-30, -50, -1)), judge.MISSED)


class Exits(unittest.TestCase):
    def test_tables_are_by_ring(self):
        records = [figure("out 1 byte", 0, 8000.0), figure("out 1 byte", 3, 24000.0),
                   figure("hlt", None, 7000.0)]
        text = "\n".join(exits_report.sections(records, None))
        for wanted in ("Guest ring 0", "Guest ring 3", "8,000", "24,000", "not applicable"):
            self.assertIn(wanted, text)

    def test_what_is_missing_has_its_errno(self):
        records = [{"group": "exits", "name": "hypercall", "ring": 0, "missing": "KVM_ENABLE_CAP",
                    "errno": "EINVAL"}]
        text = "\n".join(exits_report.sections(records, None))
        self.assertIn("| hypercall | 0 | KVM_ENABLE_CAP | EINVAL |", text)
        self.assertEqual(exits_report.main_rows(records), [])
        self.assertEqual([row["note"] for row in exits_report.csv_rows(records)],
                         ["missing: KVM_ENABLE_CAP (EINVAL)"])

    def test_no_records_no_sections(self):
        self.assertEqual(exits_report.sections([], None), [])
        self.assertEqual(exits_report.claims([]), [])

    def test_the_worst_kind_of_exit_stands(self):
        records = [BARE, ratio(1, -1, 3), {**BARE, "name": "in 1 byte"},
                   ratio(60, 40, 80, name="in 1 byte")]
        (claim, measured, verdict), = exits_report.claims(records)
        self.assertEqual(verdict, judge.OPEN)
        self.assertIn("in 1 byte", measured)
        self.assertNotIn("out 1 byte", measured)
        self.assertIn("bare", claim)

    def test_a_claim_without_support_gets_a_sentence(self):
        self.assertEqual(exits_report.open_sentences([BARE, ratio(1, -1, 3)]), "")
        text = exits_report.open_sentences([BARE, ratio(30, -5, 60, variant="baseline")])
        self.assertIn("not supported by this run's interval: -5.00 to 60.0 ns", text)
        self.assertIn("refuted", exits_report.open_sentences([BARE, ratio(70, 60, 90)]))

    def test_what_claims_nothing_is_not_judged(self):
        self.assertEqual(exits_report.claims([ratio(5, 1, 9, variant="bare again"),
                                              ratio(5, 1, 9, group="qemu", versus="qemu")]), [])

    def test_ports_against_mmio_leaves_gaps(self):
        labels, series = exits_report.pio_against_mmio([figure("out 4 bytes", 0, 8000.0)])
        self.assertEqual(labels[0], "write")
        self.assertEqual(series["port, ring 0"][:2], [8000.0, None])
        self.assertEqual(series["MMIO, ring 0"][0], None)
        self.assertNotIn("port, ring 3", series)


class Virtio(unittest.TestCase):
    @staticmethod
    def record(**changed):
        good = {metric: {"ratio": 1.0, "low": 1.0, "high": 1.0, "verdict": judge.HOLDS}
                for metric in compare.METRICS}
        figures = {metric: [1.0, 2.0, 4.0] for metric in compare.METRICS}
        case = {"name": "4 KiB", "bytes": 4096, "depth": 1, "ratios": good,
                "figures": {"portico": figures, "qemu": figures},
                "guest": {name: {"notifications": 1, "interrupts": 0.5}
                          for name in ("portico", "qemu")}}
        worse = {**case, "name": "1 MiB", "ratios": {**good, **changed}}
        return {"kind": "block", "qemu": "aio=threads", "tried": [("aio=threads", 1.0)],
                "exits": "all", "generations": 3, "rounds": 1, "khz": 1, "cases": [case, worse]}

    def test_the_worst_case_stands(self):
        low = {"ratio": 0.9, "low": 0.85, "high": 0.95, "verdict": judge.MISSED}
        found = {what: (text, verdict)
                 for what, text, verdict in compare.claims([self.record(rate=low)])}
        self.assertEqual(len(found), 3)
        text, verdict = found["block: requests in a second, ours / QEMU, at least 1"]
        self.assertEqual(verdict, judge.MISSED)
        self.assertIn("1 of 2", text)
        self.assertIn("1 MiB", text)
        self.assertEqual(found["block: exits for a request, ours / QEMU, at most 1"][1],
                         judge.HOLDS)

    def test_sections_have_all_cases(self):
        text = "\n".join(compare.sections([self.record(), {"kind": "net", "missing": "no tap"}]))
        for wanted in ("4 KiB", "1 MiB", "aio=threads", "Not measured: no tap"):
            self.assertIn(wanted, text)
        rows = list(compare.csv_rows([self.record()]))
        self.assertEqual(len(rows), 2 * (2 * 3 + 3))
        write_csv(rows)

    def test_exits_are_what_can_be_counted(self):
        one = {"cpu": 1, "cycles": 1, "notifications": 1, "interrupts": 0.5}
        for more, apart, ours in (({"exits": 7, "user_exits": 3}, 7, 7),
                                  ({"exits": 0, "user_exits": 3}, 4, 3),
                                  ({"user_exits": 3}, 4, 3), ({}, 1.5, 1.5)):
            figures = {**one, **more}
            exits, text = compare.exits_of({("case", "who"): [[figures]]}, {compare.APART})
            self.assertEqual((exits(compare.APART, figures), exits(compare.OURS, figures)),
                             (apart, ours), text)


class Tables(unittest.TestCase):
    def test_csv_comes_back(self):
        rows = [{"section": "exits", "name": "a \"b\", c", "unit": "ns", "value": 1.5, "count": 3},
                {"section": "x", "name": "y", "low": None, "note": "line\nbreak"}]
        back = read_csv(write_csv(rows))
        self.assertEqual(back[0], {"section": "exits", "name": 'a "b", c', "unit": "ns", "value": 1.5,
                                   "count": 3.0})
        self.assertEqual(back[1], {"section": "x", "name": "y", "note": "line\nbreak"})

    def test_every_record_has_its_columns(self):
        rows = list(exits_report.csv_rows([BARE, ratio(1, -1, 3), figure("out", 0, 9.0)]))
        self.assertEqual(len(rows), 4)
        for row in rows:
            self.assertLessEqual(set(row), set(COLUMNS))
        write_csv(rows)

    def test_numbers(self):
        self.assertEqual([number(value) for value in (1234.5, 12.34, 1.234, None)],
                         ["1,234", "12.3", "1.23", ""])
        self.assertIn("a \\| b", markdown(["x"], [["a | b"]]))

    def test_cpus_as_ranges(self):
        self.assertEqual(machine.ranges({0, 1, 2, 5}), "0-2,5")


class Driver(unittest.TestCase):
    def test_progress_says_where_it_is(self):
        stream = io.StringIO()
        progress = run.Progress(3, stream)
        progress.next("one")
        progress.say("still one")
        progress.next("two")
        progress.end()
        self.assertIn("[1/3]", stream.getvalue())
        self.assertIn("[2/3] 0:00 two", stream.getvalue())

    def test_verdicts_by_size(self):
        verdicts = [(judge.HOLDS, 1), (judge.MISSED, 4), (judge.HOLDS, 64)]
        self.assertEqual(run.Bench.by_size(verdicts),
                         "holds with 1, 64 entries; missed with 4 entries")
        self.assertEqual(run.Bench.worst(verdicts), judge.MISSED)

    def test_dispatch_claims_follow_the_times(self):
        times = {}
        for size in run.QUICK_SIZES:
            for pattern in run.PATTERNS:
                random = pattern == "random" and size > 1
                times["portico", size, pattern] = [10.0 if random else 2.0] * 5
                times["switch", size, pattern] = [10.0] * 5
                times["locked", size, pattern] = [40.0] * 5
        with tempfile.TemporaryDirectory() as folder:
            bench = run.Bench(Path(folder), Path(folder), True, run.Progress(1, io.StringIO()))
            bench.dispatch_limits(times)
        verdicts = {what: (measured, verdict) for what, measured, verdict in bench.claims}
        self.assertEqual(verdicts["one port, 256 entries / 4, at most 1.5"][1], judge.HOLDS)
        self.assertEqual(
            verdicts["at least 5 times below the locked map, uniformly random ports of the map"],
            ("holds with 1 entries; missed with 4, 16, 64, 256 entries", judge.MISSED))
        self.assertEqual(verdicts["misses no dearer than hits at random ports, at any size"][1],
                         judge.HOLDS)

    def test_a_report_of_records_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder)
            (report / "records.json").write_text(
                '[{"group": "exits", "name": "cpuid", "ring": 3, "missing": "x", "errno": "EIO"}]')
            bench = run.Bench(report, report, True, run.Progress(1, io.StringIO()),
                              report / "records.json")
            bench.exits()
            bench.write([])
            self.assertIn("EIO", (report / "report.md").read_text())
            self.assertEqual(read_csv((report / "figures.csv").read_text())[0]["name"], "cpuid")

    @unittest.skipUnless(plots.available(), "gnuplot is not here")
    def test_plots_are_drawn(self):
        with tempfile.TemporaryDirectory() as folder:
            plots.lines(Path(folder), "a", "Title \"x\"", "x", "y", {"one": [(1, 2.0), (4, 3.0)]}, log_x=True)
            plots.bars(Path(folder), "b", "Bars", "ns", ["p", "q"], {"one": [1.0, None]})
            plots.histograms(Path(folder), "c", "H", "ns", {"one": [[0, 5], [100, 2], [200, 0]]})
            for name in ("a.svg", "a.png", "b.svg", "c.png"):
                self.assertGreater((Path(folder) / name).stat().st_size, 500, name)


class Counts(unittest.TestCase):
    def test_three_percent(self):
        grown, shrunk, unknown, missing = check.judge(
            {"same": 100, "just": 103, "more": 104, "fewer": 90, "new": 1},
            {"same": 100, "just": 100, "more": 100, "fewer": 100, "gone": 5})
        self.assertEqual((grown, shrunk, unknown, missing), (["more"], ["fewer"], ["new"], ["gone"]))

    def test_template_names(self):
        self.assertEqual(without_arguments("std::vector<std::pair<int, char>>::push_back"),
                         "std::vector::push_back")

    def test_maps_have_ascending_ports(self):
        places = subjects.ports(256)
        self.assertEqual(places[0], 0x20)
        self.assertTrue(all(1 <= b - a <= 63 for a, b in zip(places, places[1:])))
        self.assertEqual(subjects.map_source(16).count("portico::Port<"), 16)


if __name__ == "__main__":
    unittest.main(verbosity=2)
