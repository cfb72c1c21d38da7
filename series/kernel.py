# SPDX-License-Identifier: GPL-2.0-only
"""The driver and its documents as patches for the kernel, and the selftests."""

import glob
import os
import re
import shutil
import subprocess
import tempfile

import building
from posting import Mismatch, Series, TOP, part, project, read, without_project, without_references, without_tools, write
from selftests import DRIVER_API, NvmeSelftests, SELFTESTS, Selftests

PREFIX = "PATCH"
DRIVER = "drivers/vfio/pci/nvme"
HOST = "drivers/nvme/host"
DOCUMENTS_ROOT = "Documentation"
DOCUMENTS = f"{DRIVER_API}/nvme-vfio-pci"

# Files that stand in a kernel tree as they are, and where
PLACES = {
    "nvme_pf.h": "include/linux/nvme-pf.h",
    "nvme_pf_vs.h": "include/linux/nvme-pf-vs.h",
    "nvme_pf_log.h": "include/linux/nvme-pf-log.h",
    "nvme_lm_log.h": "include/uapi/linux/nvme_lm_log.h",
    "nvme_pf_cmds.c": f"{HOST}/pf-cmds.c",
    "nvme_pf_log.c": f"{HOST}/pf-log.c",
    "nvme_pf_vs.c": f"{HOST}/pf-vs.c",
}
# How they are included there; what these stand for is in nvme.h
INCLUDES = {"nvme_pf.h": "linux/nvme-pf.h", "nvme_pf_vs.h": "linux/nvme-pf-vs.h", "nvme_pf_log.h": "linux/nvme-pf-log.h",
            "nvme_lm.h": "linux/nvme.h", "nvme_lm_log.h": "linux/nvme_lm_log.h"}
# What a tree has in another form: series/kernel/SERIES/files and patches
OTHERS = {"compat.h", "layout.c", "nvme_pf.c", "ops.h", "nvme_lm.h"}
# What is of the vendor set only
VENDOR = {"vendor.h", "vendor.c", "nvme_pf_vs.h", "nvme_pf_vs.c", "nvme_pf_vs_test.c", "cmdsets.c"}

# What is of the log of user data only; series/kernel/log/hooks is what other files have for it
LOG = {"cdq.h", "cdq.c", "log.h", "log.c", "log_ring.h", "log_ring.c", "log_ring_test.c", "nvme_lm_log.h", "nvme_pf_log.h",
       "nvme_pf_log.c", "nvme_pf_log_test.c"}
LOG_HOOKS = "series/kernel/log/hooks"

DRIVER_DOCUMENTS = ["dma-logging", "locking", "stream"]


def log_hooks():
    """The part of the hooks for each file."""
    return {re.match(r"--- a/(\S+)", part)[1]: part for part in re.split(r"(?m)^(?=--- a/)", project(LOG_HOOKS))[1:]}


def without_log(name):
    """A file of the project without its hooks for the log."""
    if not (hooks := log_hooks().get(name)):
        return project(name)
    with tempfile.TemporaryDirectory(prefix="series-") as work:
        write(work, name, project(name))
        r = subprocess.run(["patch", "-p1", "-s", "-R", "--no-backup-if-mismatch", "-d", work], input=hooks, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if r.returncode:
            raise Mismatch(f"{LOG_HOOKS} is not in {name}:\n{r.stdout}")
        return read(work, name)


def with_includes(text):
    """A source with its headers where a tree has them."""
    def block(m):
        names = re.findall(r'(?m)^#include ["<]([^">]+)[">]', m[0])
        system = sorted({INCLUDES.get(n, n) for n in names if n in INCLUDES or f"#include <{n}>" in m[0]})
        own = sorted(n for n in names if f'#include "{n}"' in m[0] and n not in INCLUDES)
        return "\n\n".join("\n".join(lines) for lines in ([f"#include <{n}>" for n in system], [f'#include "{n}"' for n in own])
                           if lines) + "\n"
    return re.sub(r'(?m)(?:^#include ["<].*\n|^\n(?=#include "))+', block, text, count=1) if any(n in text for n in INCLUDES) else text


def without_functions(text):
    """probe.c without what makes functions migratable that are no VFs: a step of its own."""
    for pattern, new in ((r'#include "search\.h"\n', ""), (r"/\* A function that is no VF .*\nstatic int nvmevf_probe_other\((?:.*\n)+?^}\n\n", ""),
                         (r"\tret = .*: nvmevf_probe_other\(lm\);\n",
                          '\tlm->why_not = "not a virtual function";\n\tret = vf->is_virtfn ? nvmevf_probe_vf(lm) : -ENODEV;\n')):
        text, nr = re.subn(pattern, lambda m, n=new: n, text, flags=re.M)
        if nr != 1:
            raise Mismatch(f"probe.c: {nr} times {pattern}")
    return text


def definitions():
    """What nvme_lm.h adds to nvme.h."""
    return re.search(r"(?ms)^#include <linux/types\.h>\n(.*)^#endif", project("nvme_lm.h"))[1]


def document(name, labelled, get=project):
    """A document of the project as it stands in a tree, without tests and documents that are not there."""
    text = without_tools(without_project(get(f"Documentation/{name}.rst")))
    labels = [label for other in labelled for label in re.findall(r"(?m)^\.\. _([\w-]+):", project(f"Documentation/{other}.rst"))]
    text = without_references(text, [*labelled, *labels])
    text = re.sub(r"[,:] ``Nvme[A-Z]\w+``$", "", text, flags=re.M)      # names of the emulated device
    if found := re.search(r"``(?:driver|device)/|Debian|``(?:tests|tools|vm|qemu|selftests)/|nvme-lm-dump", text):
        raise Mismatch(f"{name}.rst: {found[0]} is not in the tree")
    return text


class Makefile:
    """Objects of the driver and of its tests, as they become more."""

    def __init__(self):
        self.objects, self.tests = set(), set()

    def text(self):
        text = "# SPDX-License-Identifier: GPL-2.0-only\n"
        for config, module, objects in (("NVME_VFIO_PCI", "nvme-vfio-pci", self.objects),
                                        ("NVME_VFIO_PCI_KUNIT_TEST", "nvme-vfio-pci-test", self.tests)):
            names = sorted(objects)
            width = 8 * (max(map(len, names)) // 8 + 1)
            lines = [f"{n}{chr(9) * -(-(width - len(n)) // 8)}\\" for n in names[:-1]] + names[-1:]
            text += f"\nobj-$(CONFIG_{config}) += {module}.o\n\n{module}-y := \\\n\t" + "\n\t".join(lines) + "\n"
        if "trace.o" in self.objects:
            text += "\n" + "".join(re.findall(r"(?m)^# define_trace\.h .*\nCFLAGS_trace\.o .*\n", project("Makefile")))
        return text


def list_document(series, name):
    """In the kernel's book for authors of drivers."""
    last = "   vfio-pci-device-specific-driver-acceptance\n"
    series.edit(f"{DRIVER_API}/index.rst", (last, f"{last}   {name}\n"))


class Driver(Series):
    """The driver for TP4159 and what it needs of nvme. Each step leaves a kernel that can be built."""

    NAME = "driver"

    def __init__(self, source):
        super().__init__(source, "series/kernel")
        self.makefile = Makefile()
        self.nvme()
        self.decoding()
        self.commands()
        self.device()
        self.documents()
        self.check_complete()

    def nvme(self):
        self.step("nvme-definitions")
        self.insert("include/linux/nvme.h", definitions())
        self.step("nvme-core")
        self.tree_patch("nvme-core")
        self.step("nvme-pf")
        self.sources("nvme_pf.h", "nvme_pf_cmds.c")
        self.tree_file(f"{HOST}/pf.c")
        self.tree_patch("nvme-pf")

    def decoding(self):
        self.step("wire")
        self.sources("nvme.h", "nvme_lm_stream.h", "refusal.h", "refusal.c", "stats.h", "track.h", "lm.h", "wire.h", "wire.c", "stream.h",
                     "wire_test.c", "nvme_pf_test.c")
        self.tree_file(f"{DRIVER}/main.c")
        self.makefile.objects.add("main.o")
        self.put(f"{DRIVER}/Makefile", self.makefile.text())
        self.add(f"{DRIVER}/Kconfig", project("Kconfig"))
        self.edit("drivers/vfio/pci/Kconfig", (re.compile(r"\nendmenu\n\Z"), f'\nsource "{DRIVER}/Kconfig"\n\nendmenu\n'))
        self.put("drivers/vfio/pci/Makefile", self.get("drivers/vfio/pci/Makefile") + "\nobj-$(CONFIG_NVME_VFIO_PCI) += nvme/\n")
        self.maintainers()

        self.step("stream")
        self.sources("stream.c", "match.h", "match.c", "kunit.h", "stream_test.c", "match_test.c")
        self.step("track")
        self.sources("track.c", "dirty_bitmap.h", "dirty_bitmap.c", "track_test.c", "dirty_bitmap_test.c")

    def commands(self):
        self.step("admission")
        self.sources("admission.h", "admission.c", "admission_test.c")
        self.step("trace")
        self.sources("trace.h", "trace.c")
        self.step("mmc")
        self.sources("buf.h", "buf.c", "mmc.h", "mmc.c", "mmc_test.c")
        self.step("exec")
        self.sources("stats.c", "exec.h", "exec.c")
        self.step("tp4159")
        self.sources("tp4159.h", "tp4159.c", "cmdsets.h")
        self.tree_file(f"{DRIVER}/cmdsets.c")
        self.makefile.objects.add("cmdsets.o")
        self.step("probe")
        self.sources("ident.h", "ident.c", "probe.h")
        self.add(f"{DRIVER}/probe.c", with_includes(without_functions(without_log("probe.c"))))
        self.makefile.objects.add("probe.o")
        self.put(f"{DRIVER}/Makefile", self.makefile.text())

    def device(self):
        self.step("vf")
        self.sources("vf.h", "vf.c", "fence.h", "fence.c")
        self.step("debugfs")
        self.sources("debugfs.h", "debugfs.c")
        self.step("dirty")
        self.sources("dirty.h", "dirty.c")
        self.step("migf")
        self.tree_file(f"{DRIVER}/ops.h")
        self.sources("migf.h", "migf.c")
        self.step("main")
        self.sources("states.h", "states.c")
        self.put(f"{DRIVER}/main.c", with_includes(without_log("main.c")))
        self.step("functions")
        self.sources("search.h", "search.c")
        self.put(f"{DRIVER}/probe.c", with_includes(without_log("probe.c")))

    def sources(self, *names):
        for name in names:
            place = PLACES.get(name, f"{DRIVER}/{name}")
            self.add(place, with_includes(without_log(name)))
            if name.endswith("_test.c"):
                self.makefile.tests.add(name[:-1] + "o")
            elif name.endswith(".c") and place.startswith(DRIVER):
                self.makefile.objects.add(name[:-1] + "o")
        if self.exists(f"{DRIVER}/Makefile"):
            self.put(f"{DRIVER}/Makefile", self.makefile.text())

    def maintainers(self):
        """Who maintains it is for whoever posts it to say."""
        entry = f"""VFIO NVME PCI DRIVER
M:	Placeholder: whoever posts this <nobody@example.com>
L:	kvm@vger.kernel.org
S:	Maintained
F:	Documentation/ABI/testing/debugfs-nvme-vfio-pci
F:	{DOCUMENTS}/
F:	{DRIVER}/

"""
        self.edit("MAINTAINERS", ("VFIO PCI DEVICE SPECIFIC DRIVERS\n", entry + "VFIO PCI DEVICE SPECIFIC DRIVERS\n"))

    def check_complete(self):
        """No file of the driver is forgotten."""
        for path in glob.glob(os.path.join(TOP, "*.[ch]")):
            name = os.path.basename(path)
            if name not in OTHERS | VENDOR | LOG and PLACES.get(name, f"{DRIVER}/{name}") not in self.now:
                raise Mismatch(f"no step adds {name}")

    def documents(self):
        self.step("documents")
        for name in DRIVER_DOCUMENTS:
            self.add(f"{DOCUMENTS}/{name}.rst", document(name, DRIVER_DOCUMENTS, without_log))
        self.tree_file(f"{DOCUMENTS}/index.rst")
        self.tree_file("Documentation/ABI/testing/debugfs-nvme-vfio-pci")
        list_document(self, "nvme-vfio-pci/index")


class Vendor(Series):
    """The vendor specific command set of 2022."""

    NAME = "vendor"
    ON = Driver

    def __init__(self, source):
        super().__init__(source, "series/kernel")
        self.step("nvme-pf-vs")
        for name in ("nvme_pf_vs.h", "nvme_pf_vs.c"):
            self.add(PLACES[name], with_includes(project(name)))
        self.tree_patch("nvme-pf-vs")
        self.step("vendor")
        self.makefile = self.on.makefile
        for name in sorted(VENDOR - PLACES.keys()):
            self.put(f"{DRIVER}/{name}", with_includes(project(name)))
            if name.endswith(".c"):
                (self.makefile.tests if name.endswith("_test.c") else self.makefile.objects).add(name[:-1] + "o")
        self.put(f"{DRIVER}/Makefile", self.makefile.text())


class Log(Series):
    """The log of the user data that a controller changes."""

    NAME = "log"
    ON = Driver

    def __init__(self, source):
        super().__init__(source, "series/kernel")
        self.makefile = self.on.makefile
        self.step("nvme-pf-log")
        self.hooks("nvme_pf.h")
        self.sources("nvme_pf_log.h", "nvme_pf_log.c")
        self.tree_patch("nvme-pf-log")
        self.step("uapi")
        self.sources("nvme_lm_log.h")
        self.edit("MAINTAINERS", (f"F:\t{DRIVER}/\n", f"F:\t{DRIVER}/\nF:\t{PLACES['nvme_lm_log.h']}\n"))
        self.step("ring")
        self.sources("log_ring.h", "log_ring.c", "log_ring_test.c", "nvme_pf_log_test.c")
        self.step("cdq")
        self.hooks("mmc.h", "mmc.c", "mmc_test.c")
        late = "static void nvmevf_late(void *priv, unsigned int flags, bool reset_since"
        self.edit(f"{DRIVER}/main.c", (f"{late})", f"{late}, u32 dw0)"))
        self.sources("cdq.h", "cdq.c")
        self.step("log")
        self.hooks("lm.h", "probe.c", "debugfs.c", "main.c")
        self.sources("log.h", "log.c")
        self.step("documents")
        labelled = [*DRIVER_DOCUMENTS, "user-data-log"]
        self.put(f"{DOCUMENTS}/locking.rst", document("locking", labelled))
        self.add(f"{DOCUMENTS}/user-data-log.rst", document("user-data-log", labelled))
        self.edit(f"{DOCUMENTS}/index.rst", ("   dma-logging\n", "   dma-logging\n   user-data-log\n"))

    def hooks(self, *names):
        for name in names:
            self.put(PLACES.get(name, f"{DRIVER}/{name}"), with_includes(project(name)))

    def sources(self, *names):
        for name in names:
            place = PLACES.get(name, f"{DRIVER}/{name}")
            self.add(place, with_includes(project(name)))
            if name.endswith(".c") and place.startswith(DRIVER):
                (self.makefile.tests if name.endswith("_test.c") else self.makefile.objects).add(name[:-1] + "o")
        self.put(f"{DRIVER}/Makefile", self.makefile.text())


SERIES = [Selftests, NvmeSelftests, Driver, Vendor, Log]


def version(source):
    return "Linux " + ".".join(re.findall(r"(?m)^(?:VERSION|PATCHLEVEL|SUBLEVEL) = (\d+)$", read(source, "Makefile")))


def source():
    return part("source-newest")


def checkpatch_command(tree, added):
    """The kernel's, strict."""
    ignored = []
    if added:
        ignored.append("FILE_PATH_CHANGES")     # unmaintained() knows better
    if f"{DRIVER}/trace.h" in added:
        ignored += ["OPEN_ENDED_LINE", "PARENTHESIS_ALIGNMENT"]     # the form that trace events have everywhere
    if any(path.startswith(SELFTESTS) for path in added):
        ignored.append("CAMELCASE")             # a name of the uAPI
    return ["perl", f"{tree}/scripts/checkpatch.pl", "--no-tree", f"--root={tree}", "--strict", "--terse", "--show-types",
            "--quiet", "--no-summary", *(["--ignore", ",".join(ignored)] if ignored else [])]


# Both ways to have the driver; .config of each is beside its objects
BUILD = """
cd /mnt/src
k() { make -s O=/mnt/%(v)s W=1 C=1 CHECK=/mnt/sparse "$@"; }
cp /mnt/%(v)s.config /mnt/%(v)s/.config
scripts/config --file /mnt/%(v)s/.config --set-val NVME_VFIO_PCI %(v)s --set-val NVME_VFIO_PCI_KUNIT_TEST %(v)s
k olddefconfig
k -j"$(nproc)" prepare
k -j"$(nproc)" %(targets)s
[ ! -e drivers/vfio/pci/nvme/Kconfig ] || grep -qx CONFIG_NVME_VFIO_PCI_KUNIT_TEST=%(v)s /mnt/%(v)s/.config
"""


def build(tree, patches, last=False):
    """After each patch the modules, whose symbols are looked up, and the objects to be built in, with W=1 and sparse; with their
    patch the selftests."""
    directory = part("series-kernel")
    shutil.copy(part("sparse"), directory)

    def commands(changed, seen, _last):
        if any(path.startswith(("drivers/", "include/")) for path in changed):
            # by name: those of nvme are a part of it only with the driver
            nvme = " ".join(path[:-1] + "o" for path in sorted(seen) if path.startswith(f"{HOST}/pf") and path.endswith(".c"))
            objects = f"{HOST}/ {nvme}" + (f" {DRIVER}/" if f"{DRIVER}/Makefile" in seen else "")
            yield "modules", BUILD % {"v": "m", "targets": f"{nvme} modules"}
            yield "built in", BUILD % {"v": "y", "targets": objects}
        if any(path.startswith(SELFTESTS) for path in changed):
            yield "selftests", ("make -s -C /mnt/src/tools/testing/selftests TARGETS=vfio/migration FORCE_TARGETS=1 install "
                                "INSTALL_PATH=/mnt/selftests OUTPUT=/mnt/selftests-objects")

    def complaints(output):
        return [line for line in output.splitlines()
                if re.search(rf"(?:{DRIVER}/\S*|{HOST}/\S*|nvme(?:-pf\S*)?\.h):\d+|modpost.*nvme.vfio|(?i:warning:).*nvme.vfio", line)]

    return building.build(version(tree), directory, tree, patches, commands, complaints, last)
