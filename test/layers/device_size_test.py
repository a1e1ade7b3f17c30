#!/usr/bin/env python3
"""Shows that device_size.py counts code alone, the class alone, and refuses a line too many."""

import unittest

import device_size


def device(lines):
    """A class of so many lines of code, with much that does not count."""
    body = "".join(f"  /// Member {i}, {{ not a brace.\n\n  int m{i} = '{{';  // }}\n"
                   for i in range(lines - 2))
    return ("/// A class Small { in a comment.\nclass Small;\nstruct Other { int x; };\n"
            f"template <class T>\nclass Small : public Other {{\n{body}}};\n"
            "class SmallToo {\n  int x;\n};\n")


class DeviceSize(unittest.TestCase):
    def test_counts_lines_of_code(self):
        for lines in (2, 3, 40, 41):
            self.assertEqual(device_size.lines_of("Small", device(lines)), lines)

    def test_knows_a_brace_inside_from_the_last(self):
        text = "class Small {\n  void f() {\n    /* many\n\n lines */\n  }\n\n  int x{};\n};\nint y;\n"
        self.assertEqual(device_size.lines_of("Small", text), 5)

    def test_refuses_a_line_too_many(self):
        self.assertIsNone(device_size.fault_of("Small", device(40)))
        self.assertIn("41 lines", device_size.fault_of("Small", device(41)))

    def test_refuses_a_class_that_is_not_there(self):
        self.assertIn("no class Small", device_size.fault_of("Small", "class SmallToo {\n};\n"))
        self.assertIn("no class Small", device_size.fault_of("Small", "class Small {\n"))


if __name__ == "__main__":
    unittest.main()
