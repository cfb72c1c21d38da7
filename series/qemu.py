# SPDX-License-Identifier: GPL-2.0-only
"""The emulated device, its tests and its documents as series for QEMU.

qemu/ has files as they stand in QEMU, and in qemu/patches what has to change in others. A number of these patches belongs to one series.
"""

import glob
import itertools
import os
import re
import subprocess
import tempfile

import building
from posting import Mismatch, Series, Step, TOP, export, part, project, read, write

PREFIX = "PATCH"
NVME = "hw/nvme"
DOCUMENTS_ROOT = "docs"


def numbers(patch):
    return os.path.basename(patch)[:4]


PATCHES = {number: list(patches) for number, patches in
           itertools.groupby((f"qemu/patches/{os.path.basename(p)}" for p in sorted(glob.glob(os.path.join(TOP, "qemu/patches/*.patch")))),
                             numbers)}


class Qemu(Series):
    """A series for QEMU; PATCHES is what it has of qemu/patches."""

    PATCHES = ()

    def __init__(self, source):
        super().__init__(source, "series/qemu")
        self.make()
        self.check_complete()
        if self.exists(f"{NVME}/lm.c"):
            self.check_base()

    def make(self):
        """All steps."""
        raise NotImplementedError

    def files(self, *names):
        """Add files of qemu/."""
        for name in names:
            self.add(name, project(f"qemu/{name}"))

    def sources(self, *names):
        self.files(*(f"{NVME}/{name}" for name in names))

    def hunks(self, name):
        """What this step changes in files that are not ours."""
        self.patch(f"series/qemu/{self.NAME}/{name}.patch")

    def number(self, number):
        """The one of the patches of this number that applies; one of them does."""
        for patch in PATCHES[number]:
            try:
                return self.patch(patch)
            except Mismatch as e:
                wrong = e
        raise wrong

    def step_of_number(self, number):
        """A step with the message of the patch itself, unless QEMU has it; see qemu/build. Returns whether there is one."""
        if any(self.has(patch) for patch in PATCHES[number]):
            return False
        self.steps.append(Step(project(PATCHES[number][0]).split("\n--- a/")[0]))
        self.number(number)
        return True

    def check_complete(self):
        """The series leaves our files as they are in qemu/, but for patches of its own and of those below."""
        below, cls = set(), type(self)
        while cls:
            below.update(cls.PATCHES)
            cls = cls.ON
        changed = {path for number in below for patch in PATCHES[number] for path in re.findall(r"(?m)^--- a/(\S+)", project(patch))}
        for path, text in self.now.items():
            ours = os.path.join(TOP, "qemu", path)
            if os.path.exists(ours) and path not in changed and text != read(ours):
                raise Mismatch(f"{path} is not what it is in qemu/")


    def check_base(self):
        """The source has nothing that live migration would have to know."""
        with tempfile.TemporaryDirectory(prefix="series-") as work:
            for path in glob.glob(os.path.join(self.source, NVME, "*.[ch]")):
                name = os.path.relpath(path, self.source)
                write(work, name, self.get(name))
            r = subprocess.run([os.path.join(TOP, "qemu/check-base"), work], stdout=subprocess.PIPE, text=True, check=False)
        if r.returncode:
            raise Mismatch(r.stdout)


class Lm(Qemu):
    """Live migration by TP4159, and mendings of what it meets. Each step leaves a QEMU that can be built, and that does what it says."""

    NAME = "lm"
    PATCHES = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011", "0012", "0013")
    TESTS = ("high-vector", "late-msix", "unplug", "error-recovery")      # of the first patches

    def make(self):
        self.mendings()
        for number in ("0005", "0006", "0007", "0008", "0009"):
            self.step_of_number(number)
        self.step_of_number("0010")
        self.files("qapi/nvme.json")
        self.hunks("property")

        self.send_and_receive()
        self.step("vendor-part")
        self.number("0012")
        self.hunks("vendor-part")
        self.sources("lm-vs.c", "lm-vs.h")
        self.step("tracking")
        self.number("0013")
        self.hunks("tracking")
        self.sources("lm-track.c")

        self.step("qtest")
        self.files("tests/qtest/nvme-lm-test.c")
        self.hunks("qtest")
        self.step("functional")
        self.files("tests/functional/x86_64/test_nvme_lm.py")
        self.hunks("functional")
        self.step("documents")
        self.files("docs/specs/nvme-lm.rst")
        self.hunks("documents")

    def mendings(self):
        """Each with a test that fails without it; what QEMU has mended already is only tested."""
        for number, test in zip(self.PATCHES, self.TESTS):
            if not self.step_of_number(number):
                self.step(test)
            if test == self.TESTS[0]:
                self.files("tests/qtest/nvme-util.c", "tests/qtest/nvme-util.h")
                self.add_without(["tests/qtest/nvme-ctrl-test.c"], self.TESTS[1:])
            self.hunks(test)

    def send_and_receive(self):
        self.step("send-receive")
        self.number("0011")
        names = ("lm.c", "lm.h", "lm-ctrl.c", "lm-quiesce.c", "lm-reset.c", "lm-state.c", "lm-state.h")
        self.add_without([f"{NVME}/{name}" for name in names], ("vendor-part", "tracking"))

    def add_without(self, names, later):
        """Add these files of qemu/ as they are before these later steps."""
        with tempfile.TemporaryDirectory(prefix="series-") as work:
            for name in names:
                write(work, name, project(f"qemu/{name}"))
            for step in reversed(later):
                text = project(f"series/qemu/{self.NAME}/{step}.patch")
                hunks = "".join(part for part in re.split(r"(?m)^(?=--- a/)", text)[1:] if re.match(r"--- a/(\S+)", part)[1] in names)
                r = subprocess.run(["patch", "-p1", "-R", "-s", "-f", "--no-backup-if-mismatch", "-d", work], input=hunks, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
                if r.returncode:
                    raise Mismatch(f"{step}.patch is not in these files:\n{r.stdout}")
            for name in names:
                self.add(name, read(work, name))


class Faults(Qemu):
    """Commands that fail, for tests of drivers."""

    NAME = "faults"
    ON = Lm
    PATCHES = ("0040",)

    def make(self):
        self.step("faults")
        self.number("0040")
        self.sources("lm-fault.c", "lm-fault.h")
        self.step("documents")
        self.files("docs/specs/nvme-lm-faults.rst")
        self.hunks("documents")


class Vendor(Qemu):
    """The vendor specific commands of 2022."""

    NAME = "vendor"
    ON = Lm
    PATCHES = ("0020",)

    def make(self):
        self.step("vendor")
        self.number("0020")
        self.sources("lm-vendor.c", "lm-vendor.h")
        self.step("documents")
        self.files("docs/specs/nvme-lm-vendor.rst")
        self.hunks("documents")


class Model(Qemu):
    """Devices that differ, and how long they take."""

    NAME = "model"
    ON = Vendor
    PATCHES = ("0030", "0031")

    def make(self):
        self.step("variations")
        self.number("0030")
        self.step("model")
        self.number("0031")
        self.sources("lm-model.c", "lm-model.h", "lm-extra.c")
        self.step("documents")
        self.files("docs/specs/nvme-lm-model.rst")
        self.hunks("documents")


class Log(Qemu):
    """The log of user data, and what else a copy of namespaces needs."""

    NAME = "log"
    ON = Lm
    PATCHES = ("0060", "0061")

    def make(self):
        self.step("log")
        self.number("0060")
        self.sources("lm-log.c")
        self.step("lba-status")
        self.number("0061")
        self.sources("lm-alloc.c")
        self.step("qtest")
        self.files("tests/qtest/nvme-lm-log-test.c")
        self.hunks("qtest")
        self.step("documents")
        self.files("docs/specs/nvme-lm-log.rst")
        self.hunks("documents")


class Tcg(Qemu):
    """A mending that has nothing to do with NVMe."""

    NAME = "tcg"
    PATCHES = ("0050",)

    def make(self):
        self.step_of_number("0050")


SERIES = [Lm, Faults, Vendor, Model, Log, Tcg]

if set(PATCHES) != {number for cls in SERIES for number in cls.PATCHES}:
    raise Mismatch("a patch of qemu/patches is in no series")


def version(tree):
    return "QEMU " + read(tree, "VERSION").strip()


def source():
    return os.path.join(part("qemu-source"), "source")


def checkpatch_command(tree, _added):
    """QEMU's."""
    return ["perl", f"{tree}/scripts/checkpatch.pl", "--no-tree", "--terse", "--no-summary"]


# The source has no firmware, which tests look for beside the program.
PREPARE = """
firmware=/mnt/out/qemu-bundle/usr/local/share/qemu
mkdir -p $firmware
ln -sf /usr/share/seabios/* /usr/share/qemu/*.bin /usr/share/qemu/*.rom $firmware
"""
PROGRAM = PREPARE + 'ninja -C /mnt/out -j"$(nproc)" qemu-system-x86_64'
QTEST = """
ninja -C /mnt/out -j"$(nproc)" %(targets)s
cd /mnt/out
meson test --no-rebuild --print-errorlogs %(names)s
"""
FUNCTIONAL = """
[ -d /mnt/python ] || {
	mkdir -p /mnt/deb
	cd /mnt/deb
	apt-get -q download python3-pycotap
	dpkg -x python3-pycotap_*.deb /mnt/python
}
cd /mnt/out
export PYTHONDONTWRITEBYTECODE=1 QEMU_BUILD_ROOT=/mnt/out QEMU_TEST_QEMU_BINARY=/mnt/out/qemu-system-x86_64
export PYTHONPATH=/mnt/src/python:/mnt/src/tests/functional:/mnt/python/usr/lib/python3/dist-packages
%s
"""


class Everything(Qemu):
    """All parts in one, which nobody posts; as qemu/build has them."""

    PATCHES = tuple(PATCHES)

    def make(self):
        self.steps.append(Step("hw/nvme: all parts of live migration"))
        self.files(*(os.path.relpath(path, os.path.join(TOP, "qemu")) for kind in ("hw/nvme", "qapi")
                     for path in sorted(glob.glob(os.path.join(TOP, "qemu", kind, "*")))))
        for number in PATCHES:
            if not any(self.has(patch) for patch in PATCHES[number]):
                self.number(number)


def build_everything():
    """Build the device with all parts; returns whether all is well."""
    tree = source()
    with tempfile.TemporaryDirectory(prefix="series-") as work:
        patches = export(Everything(tree), "All parts\n\nTogether.\n", PREFIX, os.path.join(work, "everything"))
        return build(tree, patches[1:], True)


def qtests(seen):
    """Names of our tests among these files."""
    return sorted(m[1] for path in seen if (m := re.fullmatch(r"tests/qtest/(nvme-\w+-test)\.c", path)))


def build(tree, patches, last=False):
    """The program after each patch, with the tests that there are so far; the functional ones with their patch and after the last one."""
    directory = part("series-qemu")

    def commands(changed, seen, last):
        if any(path.startswith(("accel/", "hw/", "include/", "qapi/")) for path in changed):
            yield "qemu-system-x86_64", PROGRAM
        if names := qtests(seen):
            yield " ".join(names), QTEST % {"targets": " ".join(f"tests/qtest/{name}" for name in names),
                                            "names": " ".join(f"qtest-x86_64/{name}" for name in names)}
        for path in sorted(path for path in (seen if last else changed) if re.fullmatch(r"tests/functional/.*/test_nvme\w*\.py", path)):
            yield os.path.basename(path), FUNCTIONAL % f"python3 /mnt/src/{path}"
        if last and f"{NVME}/lm.c" in seen:
            yield "device", "/mnt/out/qemu-system-x86_64 -device nvme,help | grep '^  lm='"

    def complaints(output):
        return [line for line in output.splitlines() if re.search("(?:warning|error):", line)]

    return building.build(version(tree), directory, tree, patches, commands, complaints, last)
