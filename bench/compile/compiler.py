"""One compiler: what a source costs it, and how often it instantiates templates."""
import collections
import hashlib
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path


class Compiler:
    def __init__(self, command, root):
        self.command = list(command)
        self.root = root
        self.flags = ["-std=c++20", f"-I{root}"]
        self.version = run([*self.command, "--version"]).splitlines()[0]
        self.is_clang = "clang" in self.version

    def identity(self):
        """The compiler and the libraries that the counts depend on; GSL tells no version, so its text."""
        text = "#include <gsl/assert>\n#include <gsl/span>\n"
        start = [*self.command, *self.flags, "-x", "c++", "-"]
        library = re.search(r"#define __GLIBCXX__ (\d+)", run([*start, "-E", "-dM"], text))[1]
        files = sorted(set(re.findall(r"\S+/gsl/\w+", run([*start, "-M"], text))))
        digest = hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()
        return f"{self.version}; libstdc++ {library}; GSL {digest[:8]}"

    def cost(self, source, *options):
        """CPU seconds and peak memory of one compilation."""
        with tempfile.TemporaryDirectory() as folder:
            command = [*self.command, *self.flags, *options, "-x", "c++", "-c", "-", "-o",
                       f"{folder}/out.o"]
            with tempfile.TemporaryFile() as text, tempfile.TemporaryFile() as errors:
                text.write(source.encode())
                text.seek(0)
                child = subprocess.Popen(command, stdin=text, stderr=errors)
                _, status, usage = os.wait4(child.pid, 0)
                child.returncode = os.waitstatus_to_exitcode(status)
                if child.returncode != 0:
                    errors.seek(0)
                    raise RuntimeError(errors.read().decode(errors="replace")[-2000:])
            result = {"seconds": usage.ru_utime + usage.ru_stime, "peak_kib": usage.ru_maxrss}
            if Path(f"{folder}/out.o").exists():
                result["code"] = code_bytes(f"{folder}/out.o")
            return result

    def instantiations(self, source):
        """How often each template was instantiated, by its name without arguments; clang only."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "out.cpp"
            file.write_text(source, encoding="utf-8")
            run([*self.command, *self.flags, "-O2", "-ftime-trace", "-ftime-trace-granularity=0",
                 "-c", str(file), "-o", f"{folder}/out.o"])
            events = json.loads((Path(folder) / "out.json").read_text(encoding="utf-8"))
        counts = collections.Counter()
        for event in events["traceEvents"]:
            if event["name"] in ("InstantiateClass", "InstantiateFunction"):
                counts[without_arguments(event["args"]["detail"])] += 1
        return counts

    def build(self, source, output, *options):
        run([*self.command, *self.flags, *options, "-x", "c++", "-", "-o", output], source)


def run(command, text=None, seconds=300):
    done = subprocess.run([str(word) for word in command], input=text, capture_output=True,
                          text=True, timeout=seconds, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def without_arguments(name):
    """`std::vector<int>::push_back` as `std::vector::push_back`."""
    text, depth = "", 0
    for letter in name:
        if letter == "<":
            depth += 1
        elif letter == ">":
            depth -= depth > 0
        elif depth == 0:
            text += letter
    return text


def code_bytes(file):
    """Machine code and constants of an object or a program."""
    return int(run(["size", file]).splitlines()[1].split()[0])


def static_instructions(file):
    """How many instructions an object has, padding not counted."""
    return len(re.findall(r"^\s+[0-9a-f]+:\s+(?!nop|cs nop|data16|xchg\s+%ax,%ax)\S",
                          run(["objdump", "-d", "--no-show-raw-insn", file]), re.MULTILINE))


def executed_instructions(program, function, *arguments):
    """How many instructions were executed in a function and below it, by callgrind."""
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/callgrind.out"
        run(["valgrind", "--tool=callgrind", f"--toggle-collect={function}",
             f"--callgrind-out-file={file}", program, *arguments])
        total = re.search(r"^(?:totals|summary): (\d+)", Path(file).read_text(encoding="utf-8"),
                          re.MULTILINE)
    if not total or int(total[1]) == 0:
        raise RuntimeError(f"callgrind saw nothing of {function}")
    return int(total[1])
