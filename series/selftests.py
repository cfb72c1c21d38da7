# SPDX-License-Identifier: GPL-2.0-only
"""The selftests of the migration contract as patches for the kernel."""

import glob
import os
import re

from posting import Mismatch, Series, TOP, project

SELFTESTS = "tools/testing/selftests/vfio/migration"
DRIVER_API = "Documentation/driver-api"
CONTRACT = f"{DRIVER_API}/vfio-migration-contract.rst"

# Lists of the Makefile: the file that an entry stands for
LISTED = {"TEST_GEN_PROGS": "{}.c", "MIGRATION_C": "lib/{}", "DRIVERS_C": "lib/{}"}


class Programs(Series):
    """Patches that add files of selftests/."""

    def __init__(self, source):
        super().__init__(source, "series/kernel")

    def makefile(self):
        """The Makefile with what it lists as far as it is there: each list has one line for what comes together."""
        def line(m):
            files = (LISTED[m[1]].format(name) for name in m[2].split()) if m[1] in LISTED else ()
            return m[0] if all(self.exists(f"{SELFTESTS}/{name}") for name in files) else ""
        text = re.sub(r"(?m)^(\w+) \+= (.+)\n", line, project("selftests/Makefile"))
        return re.sub(r"\n{3,}", "\n\n", text)

    def programs(self, step, *names):
        """A step that adds files; the Makefile is part of it if that changes."""
        self.step(step)
        for name in names:
            self.add(f"{SELFTESTS}/{name}", project(f"selftests/{name}"))
        path, text = f"{SELFTESTS}/Makefile", self.makefile()
        if not self.exists(path) or self.get(path) != text:
            self.put(path, text)

    def check_complete(self):
        """No file is forgotten."""
        for path in glob.glob("**/*.*", root_dir=os.path.join(TOP, "selftests"), recursive=True):
            if path.endswith((".c", ".h", ".rst")) and not self.exists(f"{SELFTESTS}/{path}"):
                raise Mismatch(f"no step adds selftests/{path}")


def library(*names):
    """Source and header of each."""
    return [f"lib/{name}.{suffix}" for name in names for suffix in ("c", "h")]


class Selftests(Programs):
    """The contract of migration and its tests, which are for any device."""

    NAME = "selftests"

    def __init__(self, source):
        super().__init__(source)
        self.programs("library", ".gitignore", "config", "settings", *library("vdev"))
        self.edit("tools/testing/selftests/Makefile", ("TARGETS += vfio\n", "TARGETS += vfio\nTARGETS += vfio/migration\n"))
        self.programs("function", *library("function"))
        self.programs("migration", *library("migration"))
        self.programs("udrv", *library("load", "quiet", "udrv"))
        self.programs("features", "lib/harness.h", "migration_feature_test.c")
        self.programs("arcs", "migration_arcs_test.c")
        self.programs("saving", "migration_save_test.c")
        self.programs("resuming", "migration_resume_test.c")
        self.programs("precopy", "migration_precopy_test.c")
        self.programs("endings", "migration_reset_test.c")
        self.programs("races", *library("trap"), "migration_race_test.c")
        self.programs("logging", "dma_logging_test.c")
        self.programs("vmm", "migration_vmm_test.c")
        self.programs("model", *library("model", "program"), "migration_model_test.c")
        self.programs("random", *library("player", "plays"), "migration_random_test.c")
        self.documents()

    def documents(self):
        self.programs("documents", "README.rst")
        self.add(CONTRACT, project("Documentation/contract.rst"))
        last = "   vfio-pci-device-specific-driver-acceptance\n"
        self.edit(f"{DRIVER_API}/index.rst", (last, f"{last}   {os.path.basename(CONTRACT)[:-len('.rst')]}\n"))
        entry = re.compile(r"(\nVFIO SELFTESTS\n(?:[^\n]+\n)*?)(F:\ttools/testing/selftests/vfio/\n)")
        self.edit("MAINTAINERS", (entry, rf"\1F:\t{CONTRACT}\n\2"))


class NvmeSelftests(Programs):
    """What makes NVMe functions work in these tests, and tests of NVMe."""

    NAME = "nvme-selftests"
    ON = Selftests

    def __init__(self, source):
        super().__init__(source)
        here = "lib/drivers/nvme"
        self.programs("unvme", f"{here}/host.c", f"{here}/nvme.c", f"{here}/unvme.c", f"{here}/unvme.h")
        self.programs("tests", f"{here}/README.rst", "nvme_migration_test.c")
        self.check_complete()
