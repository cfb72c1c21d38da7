# SPDX-License-Identifier: GPL-2.0-only
"""The tests of the C programs in tests/ and of the selftests, as their tables in the sources name them."""

import collections
import functools
import glob
import os
import re

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
# Name of the program that has it as tests/run lists it, without a device; its own name; what prefixes that name may get
Test = collections.namedtuple("Test", "program name function path devices")
TABLE = re.compile(r"^\t?static const struct (?:drv|tap)_test (\w+)\[\] = \{\n(.*?)^\t?\};", re.M | re.S)
GROUP = re.compile(r'^const struct test_group \w+ = \{\s+"([\w-]+)", (\w+),', re.M)
ROW = re.compile(r'\{ "([^"]+)", (\w+)(?:,\s+(ON_[\w |]+))?')
DEVICES = {"ON_TP": ("tp4159",), "ON_VS": ("vendor",), "ON_BOTH": ("tp4159", "vendor"), "ON_PLAIN": ("plain",), "ON_SPECIAL": ("special",)}


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as f:
        return f.read()


def grouped():
    """The tests of the groups; a file with a program of its own is its own group."""
    for path in sorted(glob.glob(os.path.join(TOP, "tests", "*", "*.c"))):
        path = os.path.relpath(path, TOP)
        text = read(path)
        groups = {table: group for group, table in GROUP.findall(text)}
        for table, rows in TABLE.findall(text):
            program = f"{path.split('/')[1]}/{groups.get(table, os.path.basename(path)[:-len('.c')])}"
            for name, function, flags in ROW.findall(rows):
                yield Test(program, name, function, path, tuple(d for flag in re.findall(r"\w+", flags) for d in DEVICES.get(flag, ())))


def selftests():
    """The same of selftests/."""
    for path in sorted(glob.glob(os.path.join(TOP, "selftests", "*_test.c"))):
        path = os.path.relpath(path, TOP)
        for fixture, name in re.findall(r"^(?:MIG_TEST|TEST_F\w*)\((\w+), (\w+)", read(path), re.M):
            yield Test(path[:-len("_test.c")], f"{fixture}.{name}", name, path, ())


@functools.cache
def tests():
    """All of them."""
    return [*grouped(), *selftests()]
