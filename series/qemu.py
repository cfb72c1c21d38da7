# SPDX-License-Identifier: GPL-2.0-only
"""The emulated device and its documents as patches for QEMU."""

import glob
import itertools
import os
import re

import building
from posting import Mismatch, Series, Step, TOP, part, project, read, replace, without_references, without_tools

PREFIX = "PATCH"
NVME = "hw/nvme"
HOOKS = [os.path.basename(p) for p in sorted(glob.glob(os.path.join(TOP, "qemu/patches/*.patch")))]

DOCUMENTS_ROOT = "docs"

# Documents under their names there
DOCUMENTS = {
    "device-state": ("nvme-lm", [
        (re.compile(r"=+\nThe emulated device: behaviour and state format\n=+\n"),
         "==========================\nLive migration with NVMe\n==========================\n"),
        ("``qemu/`` adds host managed live migration (TP4159) to QEMU's NVMe controller\nmodel. This page",
         "The NVMe controller model supports host managed live migration (TP4159). This page"),
        (":doc:`device-faults`", ":doc:`nvme-lm-faults`"),
    ]),
    "device-faults": ("nvme-lm-faults", [
        (re.compile(r"=+\nThe emulated device: fault points\n=+\n"),
         "========================\nFault points with NVMe\n========================\n"),
    ]),
}


def in_tree(text):
    """Source or document with names of documents as they are there."""
    for old, (new, _) in DOCUMENTS.items():
        text = text.replace(f"Documentation/{old}.rst", f"docs/specs/{new}.rst")
    if found := re.search(r"Documentation/|``(?:qemu|vm|tests|tools)/|emulated_|nvme-lm-dump", text):
        raise Mismatch(f"{found[0]} is not in the tree")
    return text


class Device(Series):
    """All of the device. Each step leaves a QEMU that can be built."""

    NAME = "device"

    def __init__(self, source):
        super().__init__(source, "series/qemu")
        hooks = [p for p in HOOKS if "-hooks-for-" in p]
        for _, patches in itertools.groupby((p for p in HOOKS if p not in hooks), lambda p: p[:4]):
            self.step_of_patches(list(patches))

        self.step("structures")
        for patch in hooks:
            self.patch(f"qemu/patches/{patch}", [f"{NVME}/nvme.h", f"{NVME}/trace-events"])
        self.sources("lm-spec.h", "lm.h", "lm-ctrl.c")
        for message, *names in (("state", "lm-state.c"), ("quiesce", "lm-quiesce.c"), ("track", "lm-track.c"), ("fault", "lm-fault.c"),
                                ("model", "lm-model.c", "lm-extra.c")):
            self.step(message)
            self.sources(*names)

        self.step("commands")
        self.sources("lm.c", "lm-reset.c", "lm-vendor.c")
        for patch in hooks:
            self.patch(f"qemu/patches/{patch}", [f"{NVME}/ctrl.c", f"{NVME}/subsys.c"])
        names = sorted(os.path.basename(p) for p in self.now if re.fullmatch(rf"{NVME}/lm.*\.c", p))
        self.edit(f"{NVME}/meson.build",
                  (re.compile(r"'nguid\.c'(.*)\)\)\n?\Z"),
                   rf"'nguid.c'\1,\n  {', '.join(repr(n) for n in names[:3])},\n  {', '.join(repr(n) for n in names[3:])}))\n"))

        self.step("documents")
        self.documents()
        self.check_complete()

    def step_of_patches(self, patches):
        """The one of these patches that applies, as it is, with its own message; none where QEMU has it. See qemu/build."""
        if any(self.has(f"qemu/patches/{patch}") for patch in patches):
            return
        for patch in patches:
            self.steps.append(Step(project(f"qemu/patches/{patch}").split("\n--- a/")[0]))
            try:
                return self.patch(f"qemu/patches/{patch}")
            except Mismatch:
                self.steps.pop()
        raise Mismatch(f"{', '.join(patches)} does not apply")

    def sources(self, *names):
        for name in names:
            self.add(f"{NVME}/{name}", in_tree(project(f"qemu/hw/nvme/{name}")))

    def documents(self):
        path = "docs/system/devices/nvme.rst"
        self.put(path, self.get(path).rstrip("\n") + "\n" + project("series/qemu/nvme.rst"))
        for old, (new, rules) in DOCUMENTS.items():
            text = without_references(replace(without_tools(project(f"Documentation/{old}.rst")), *rules), [n for n, _ in DOCUMENTS.values()])
            text = re.sub(r"(?m)[,:] ``struct emulated_\w+``$", "", text)       # names of nvme-lm-dump
            self.add(f"docs/specs/{new}.rst", in_tree(text))
        self.edit("docs/specs/index.rst", ("   edu\n", "   edu\n" + "".join(f"   {new}\n" for new, _ in DOCUMENTS.values())))
        self.edit("MAINTAINERS", ("F: docs/system/devices/nvme.rst\n", "F: docs/specs/nvme-lm*.rst\nF: docs/system/devices/nvme.rst\n"))

    def check_complete(self):
        """Neither a file nor a hunk is forgotten."""
        for path in glob.glob(os.path.join(TOP, "qemu/hw/nvme/*")):
            if f"{NVME}/{os.path.basename(path)}" not in self.now:
                raise Mismatch(f"no step adds {os.path.basename(path)}")
        changed = {m for patch in HOOKS for m in re.findall(r"(?m)^--- a/(\S+)", project(f"qemu/patches/{patch}"))}
        if left := changed - self.now.keys():
            raise Mismatch(f"no step changes {', '.join(left)}")


SERIES = [Device]


def version(tree):
    return "QEMU " + read(tree, "VERSION").strip()


def source():
    return os.path.join(part("qemu-source"), "source")


def checkpatch_command(tree, _added):
    """QEMU's."""
    return ["perl", f"{tree}/scripts/checkpatch.pl", "--no-tree", "--terse", "--no-summary"]


# What meson does not know yet is compiled like ctrl.c
BUILD = """
cd /mnt/out
ninja -j"$(nproc)" qemu-system-x86_64
ctrl=$(ninja -t targets all | sed -n "s/^\\([^ ]*hw_nvme_ctrl\\.c\\.o\\):.*/\\1/p")
like=$(ninja -t commands "$ctrl" | tail -n 1)
for file in ../src/hw/nvme/*.c; do
	name=$(basename "$file" .c)
	ninja -t targets all | grep -q "hw_nvme_$name\\.c\\.o:" && continue
	sh -c "$(printf '%s' "$like" | sed "s/\\([/_]\\)ctrl\\.c/\\1$name.c/g")"
done
"""


def build(tree, patches, last=False):
    """The program after each patch, and what no patch has added to it yet."""
    directory = part("series-qemu")

    def commands(changed, _seen, last):
        if any(path.startswith("hw/") for path in changed):
            yield "qemu-system-x86_64", BUILD
        if last:
            yield "device", "/mnt/out/qemu-system-x86_64 -device nvme,help | grep '^  lm='"

    def complaints(output):
        return [line for line in output.splitlines() if "warning:" in line or "error:" in line]

    return building.build(version(tree), directory, tree, patches, commands, complaints, last)
