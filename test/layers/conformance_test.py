#!/usr/bin/env python3
"""Shows that conformance.py finds a test that is not there, and takes one that is."""

import pathlib
import tempfile
import unittest

import conformance

TEXT = """# Title

| section | the device | tests |
| --- | --- | --- |
| 2.1 | does | unit/a_test.cpp: Suite.one, Suite.two; unit/b_test.py: Case.three |
| 2.2 | does not | unit/a_test.cpp: Suite.gone |

| header | what |
| --- | --- |
| a | no row of a conformance table |
"""

SOURCES = {
    "unit/a_test.cpp": "TEST(Suite, one) {}\nTEST_F(Suite,\n       two) {}\n// Suite, gone\n",
    "unit/b_test.py": "class Case(unittest.TestCase):\n    def three(self):\n        pass\n",
}


class ConformanceTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        (self.root / "unit").mkdir()
        for name, text in SOURCES.items():
            (self.root / name).write_text(text)

    def fault(self, tests, section="2.1"):
        return conformance.fault_of([section, "does", tests], self.root)

    def test_rows_are_those_of_the_tables(self):
        rows = list(conformance.rows_of(TEXT))
        self.assertEqual([line for line, _ in rows], [5, 6])
        self.assertEqual([cells[0] for _, cells in rows], ["2.1", "2.2"])

    def test_good_row(self):
        (_, good), (_, bad) = conformance.rows_of(TEXT)
        self.assertIsNone(conformance.fault_of(good, self.root))
        self.assertIn("Suite.gone", conformance.fault_of(bad, self.root))

    def test_faults(self):
        self.assertIn("not there", self.fault("unit/c_test.cpp: Suite.one"))
        self.assertIn("has not", self.fault("unit/a_test.cpp: Suite.three"))
        self.assertIn("has not", self.fault("unit/a_test.cpp: Case.one"))
        self.assertIn("has not", self.fault("unit/b_test.py: Case.four"))
        self.assertIn("empty", self.fault(""))
        self.assertIn("names no test", self.fault("Suite.one"))
        self.assertIn("no section", self.fault("unit/a_test.cpp: Suite.one", "two"))
        self.assertIn("three cells", conformance.fault_of(["2.1", "x"], self.root))


if __name__ == "__main__":
    unittest.main()
