# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of tools/nvme-lm-dump share: how it is built and run, TAP and the totals."""

import argparse
import glob
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback

from tap import Tap

TOOLS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))), "tools")

# PROGRAM-OR-FILE PACKAGE
# clang only recommends what it needs for sanitizers and libFuzzer
CLANG = {"clang": "clang", "/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a": "libclang-rt-dev"}
NEEDED = {"gcc": "gcc", "make": "make", "pkg-config": "pkgconf", "/usr/include/json-c/json.h": "libjson-c-dev",
          "/usr/include/isa-l/crc.h": "libisal-dev", "mandoc": "mandoc", "man": "man-db", **CLANG}
SANITIZE = "-O1 -g -Werror -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
FINE, DAMAGED, ERROR = 0, 1, 2
TESTS_LIST = []


class Failed(Exception):
    """A test failed."""


class Skip(Exception):
    """A test cannot be run."""


def test(function):
    TESTS_LIST.append(function)
    return function


def expect(condition, what):
    if not condition:
        raise Failed(what)


def expect_equal(got, wanted, where=""):
    """The same, or a failure that shows the first difference."""
    if isinstance(got, dict) and isinstance(wanted, dict):
        expect(list(got) == list(wanted), f"{where}: has {list(got)}, not {list(wanted)}")
        for name, value in wanted.items():
            expect_equal(got[name], value, f"{where}.{name}")
    elif isinstance(got, list) and isinstance(wanted, list):
        expect(len(got) == len(wanted), f"{where}: has {len(got)} entries, not {len(wanted)}: {got}")
        for i, value in enumerate(wanted):
            expect_equal(got[i], value, f"{where}[{i}]")
    else:
        expect(got == wanted and type(got) is type(wanted), f"{where}: is {got!r}, not {wanted!r}")


class Tool:
    """Where it was built, and how it is run."""

    def __init__(self, work):
        self.work = work
        self.checked = os.path.join(work, "checked")
        self.plain = os.path.join(work, "plain")

    def build(self, where, cflags, *targets):
        os.makedirs(where, exist_ok=True)
        r = subprocess.run(["make", "-s", "-C", TOOLS, f"O={where}", f"CFLAGS={cflags}", *(f"{where}/{t}" for t in targets)],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if r.returncode or r.stdout:
            raise Failed(f"{' '.join(targets)}: does not build without a warning\n{r.stdout}")

    def run(self, data, *args, checked=True):
        """Exit code, standard output and standard error for an input through a pipe."""
        r = subprocess.run([os.path.join(self.checked if checked else self.plain, "nvme-lm-dump"), *args], input=data,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
        return r.returncode, r.stdout.decode("ascii"), r.stderr.decode()

    def json(self, data, *args):
        rc, out, err = self.run(data, "--json", *args)
        expect(rc in (FINE, DAMAGED) and not err, f"exit code {rc}: {err}")
        result = json.loads(out)
        expect((rc == FINE) == (result["verdict"] == "fine") == (not result["damage"]), f"{rc}, {result['verdict']}")
        return result


def set_up(needed=None):
    missing = sorted({package for what, package in (needed or NEEDED).items() if not (glob.glob(what) or shutil.which(what))})
    if not missing:
        return
    print(f"# installing what this machine lacks: {' '.join(missing)}", flush=True)
    for argv in (["apt-get", "-qq", "update"], ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing]):
        if subprocess.run(argv, stdout=subprocess.DEVNULL, check=False, env=dict(os.environ, DEBIAN_FRONTEND="noninteractive")).returncode:
            sys.exit(f"error: install {' '.join(missing)}")


def run_one(function, tool, tap):
    """One test."""
    name = function.__name__.replace("_", " ")
    try:
        function(tool)
    except Skip as e:
        print(f"SKIPPED dump: {name}: {e}")
        tap.result(name, True, skip=str(e))
    except Exception as e:  # pylint: disable=broad-except
        trace = io.StringIO()
        traceback.print_exc(file=trace)
        tap.result(name, False, [str(e) if isinstance(e, Failed) else trace.getvalue()])
    else:
        tap.result(name, True)


def main(doc):
    """Build the tool, run the tests of the command line."""
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("test", nargs="*", help="only tests with one of these in their name")
    chosen = [t for t in TESTS_LIST if not (texts := p.parse_args().test) or any(x in t.__name__.replace("_", " ") for x in texts)]
    set_up()
    with tempfile.TemporaryDirectory(prefix="nvme-lm-dump-") as work:
        tool = Tool(work)
        try:
            tool.build(tool.checked, SANITIZE, "nvme-lm-dump", "flip")
            tool.build(tool.plain, "-O2 -Werror", "nvme-lm-dump")
        except Failed as e:
            sys.exit(f"error: {e}")
        tap = Tap(len(chosen))
        for function in chosen:
            run_one(function, tool, tap)
    return tap.end()
