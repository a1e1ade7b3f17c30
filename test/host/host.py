#!/usr/bin/env python3
"""Takes the host project beside this file out of the tree, builds it in one way, and runs it.

usage: host.py include | pkg-config | cmake | meson

The environment says PORTICO_SOURCE, PORTICO_BUILD (for what is installed) and PORTICO_CXX.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]

build = pathlib.Path(os.environ["PORTICO_BUILD"])
source = pathlib.Path(os.environ["PORTICO_SOURCE"])
compiler = os.environ["PORTICO_CXX"].split()


def run(*command, **options):
    """Runs a command, and shows it; its failure is the test's."""
    command = [str(word) for word in command]
    print("+", " ".join(command), flush=True)
    return subprocess.run(command, check=True, text=True, **options)


def output_of(*command):
    return run(*command, stdout=subprocess.PIPE).stdout


def installed(folder):
    """Installs Portico below a folder and gives its prefix, which is not the configured one: what
    is installed has to work wherever it is moved."""
    run("meson", "install", "-C", build, "--no-rebuild", "--quiet", "--skip-subprojects",
        "--destdir", folder / "stage")
    options = json.loads((build / "meson-info" / "intro-buildoptions.json").read_text())
    configured = next(option["value"] for option in options if option["name"] == "prefix")
    prefix = folder / "moved"
    shutil.move(folder / "stage" / configured.lstrip("/"), prefix)
    return prefix


def with_include(folder):
    run(*compiler, "-std=c++20", *WARNINGS, "-I", source / "include", "main.cpp", "-o", "host")
    run(*compiler, "-std=c++20", *WARNINGS, "-fno-rtti", "-I", source / "include", "main.cpp",
        "-o", "host-without-rtti")
    return ["./host", "./host-without-rtti"]


def with_pkg_config(folder):
    os.environ["PKG_CONFIG_PATH"] = str(installed(folder) / "share" / "pkgconfig")
    flags = output_of("pkg-config", "--define-prefix", "--cflags", "--libs", "portico").split()
    run(*compiler, "-std=c++20", *WARNINGS, "main.cpp", *flags, "-o", "host")
    return ["./host"]


def with_cmake(folder):
    run("cmake", "-S", ".", "-B", "build", "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={compiler[-1]}",
        f"-DCMAKE_PREFIX_PATH={installed(folder)}")
    run("cmake", "--build", "build")
    return ["build/host"]


def with_meson(folder):
    inside = folder / "host" / "subprojects" / "portico"
    inside.mkdir()
    shutil.copy(source / "meson.build", inside)
    shutil.copytree(source / "include", inside / "include")
    shutil.copytree(source / "subprojects", inside / "subprojects",
                    ignore=shutil.ignore_patterns("*-[0-9]*"))
    os.environ["CXX"] = " ".join(compiler)
    run("meson", "setup", "build", "--wrap-mode=nodownload")
    run("ninja", "-C", "build")
    return ["build/host"]


WAYS = {"include": with_include, "pkg-config": with_pkg_config, "cmake": with_cmake,
        "meson": with_meson}


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        shutil.copytree(pathlib.Path(__file__).parent / "project", folder / "host")
        os.chdir(folder / "host")
        for program in WAYS[sys.argv[1]](folder):
            said = output_of(program)
            if said != "portico\n":
                sys.exit(f"host.py: {program} said {said!r}")


if __name__ == "__main__":
    main()
