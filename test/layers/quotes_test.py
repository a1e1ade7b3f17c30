#!/usr/bin/env python3
"""Shows that quotes.py takes true quotations and no others."""

import pathlib
import tempfile
import unittest

import quotes

CODE = "int one();\n\nstruct Two {\n  int three();  // HERE\n\n  int four();\n};\n"


class Quotes(unittest.TestCase):
    def faults(self, text):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "code.cpp").write_text(CODE)
            return [quotes.fault_of(block, root) for block in quotes.BLOCK.finditer(text)]

    def block(self, code, file="<!-- file: code.cpp -->\n"):
        return f"Text.\n\n{file}```cpp\n{code}```\n\n```sh\nnot C++\n```\n"

    def test_true_quotations(self):
        for code in (CODE, "int one();\n", "int three();\n", "int three();\n\nint four();\n",
                     "struct Two {\n// ...\n  int four();\n"):
            with self.subTest(code=code):
                self.assertEqual(self.faults(self.block(code)), [None])

    def test_what_the_file_does_not_hold(self):
        for code in ("int five();\n", "int one();\nint three();\n", "int thr\n",
                     "int three();\n\n  int four();\n", "int one();\n// ...\nint six();\n"):
            with self.subTest(code=code):
                self.assertIn("does not hold", self.faults(self.block(code))[0])

    def test_no_file(self):
        self.assertIn("no line <!-- file", self.faults(self.block(CODE, ""))[0])
        self.assertIn("not there", self.faults(self.block(CODE, "<!-- file: gone.cpp -->\n"))[0])


if __name__ == "__main__":
    unittest.main()
