# SPDX-License-Identifier: GPL-2.0-only
"""The driver, its selftests and its documents as patches for the kernel."""

import glob
import os
import re

import building
from posting import Mismatch, Series, TOP, identity, part, project, read, replace, \
    without_references, without_tools

PREFIX = "PATCH"
DRIVER = "drivers/vfio/pci/nvme"
HOST = "drivers/nvme/host"
SELFTESTS = "tools/testing/selftests/vfio/migration"
DOCUMENTS_ROOT = "Documentation"
DRIVER_API = "Documentation/driver-api"
DOCUMENTS = f"{DRIVER_API}/nvme-vfio-pci"
CONTRACT = f"{DRIVER_API}/vfio-migration-contract.rst"

# What compat.h stands for on the kernel that this is for. Every rule has to match.
IN_TREE = {
    "main.c": [
        ("#define NVMEVF_COMMON_OPS", """static const struct vfio_pci_device_ops nvmevf_pci_ops = {
	.get_dmabuf_phys = vfio_pci_core_get_dmabuf_phys,
};

#define NVMEVF_COMMON_OPS"""),
        (re.compile(r"(\t\.detach_ioas\t= vfio_iommufd_physical_detach_ioas,\t\t\\\n)\tNVMEVF_VFIO_OPS_7X\n"), r"""\1	.pasid_attach_ioas = vfio_iommufd_physical_pasid_attach_ioas,	\\
	.pasid_detach_ioas = vfio_iommufd_physical_pasid_detach_ioas,	\\
	.get_region_info_caps = vfio_pci_ioctl_get_region_info,		\\
	.match_token_uuid = vfio_pci_core_match_token_uuid,
"""),
        (re.compile(r"\tif \(!NVMEVF_HAS_IOVA_BITMAP\)\n\t\treturn .*\n"), ""),
        ("nvmevf_set_pci_ops(&vf->core);", "vf->core.pci_ops = &nvmevf_pci_ops;"),
    ],
    "migf.c": [
        ("!nvmevf_precopy_info_v2(&s->vf->core.vdev)", "!s->vf->core.vdev.precopy_info_v2"),
        ("nvmevf_precopy_info_v2(&s->vf->core.vdev)", "s->vf->core.vdev.precopy_info_v2"),
        (" * If the device reports CSUP, each piece has shown that the VF was still suspended. A\n"
         " * reset of the PF since then shows only if the kernel counts resets.\n",
         " * If the device reports CSUP, each piece has shown that the VF was still suspended\n"),
        ("(!lm->csup || !NVMEVF_COUNTS_RESETS)", "!lm->csup"),
    ],
    "cmds.c": [
        (re.compile(r"\tcase -ENOEXEC:\n\t\treturn .*\n"), ""),
    ],
    "mmc.c": [
        ('#include "nvme_pf.h"\n', ""),
        ("#include <linux/nvme.h>\n", "#include <linux/nvme-pf.h>\n#include <linux/nvme.h>\n"),
        ("sends the commands: nvme_pf.h.", "sends the commands."),
        (re.compile(r" \* -EAGAIN if its controller is not live, -ENOEXEC if the module was built for\n"
                    r" \* another kernel, -ENOMEM\.\n"), " * -EAGAIN if its controller is not live, -ENOMEM.\n"),
        (re.compile(r" \* Return: 0; -EPROBE_DEFER if the PF is being unbound; -ENOEXEC if the module was\n"
                    r" \* built against another nvme module\.\n"),
         " * Return: 0, or -EPROBE_DEFER if the PF is being unbound.\n"),
    ],
}

# nvme_pf.c as a part of nvme
IN_NVME = [
    (re.compile(r" \* Everything that needs nvme's private structures, and would be part of nvme in tree\.\n"
                r" \* The PF stays bound to nvme; its controller is found as the child of class\n"
                r' \* "nvme", and commands go out as passthrough requests on its admin queue\.\n'),
     " * The PF stays bound to nvme; its controller is found as the child of class\n"
     ' * "nvme", and commands go out as passthrough requests on its admin queue.\n'),
    ('#include "host/nvme.h"\n\n#include "compat.h"\n#include "nvme_pf.h"\n', '#include "nvme.h"\n'),
    ("#include <linux/minmax.h>\n", "#include <linux/minmax.h>\n#include <linux/nvme-pf.h>\n"),
    ("NVMEVF_MATCH_DATA data", "const void *data"),
    ('dev->class && !strcmp(dev->class->name, "nvme")', "dev->class == &nvme_class"),
    ("\tint err;\n\n\tdev = device_find_child", "\n\tdev = device_find_child"),
    (re.compile(r"\terr = -ENOEXEC;\n\tif \(!nvmevf_layout_fits.*?\n}\n", re.S),
     "\tif (!nvme_pf_pin(ctrl)) {\n\t\tput_device(dev);\n\t\treturn ERR_PTR(-EAGAIN);\n\t}\n\n\treturn ctrl;\n}\n"),
    (" * nvme, -EAGAIN if its controller is not live, -ENOEXEC if the module was built\n"
     " * for another kernel.\n", " * nvme, -EAGAIN if its controller is not live.\n"),
    (" * Return: 0; -EPROBE_DEFER if the PF is being unbound; -ENOEXEC if the module was\n"
     " * built against another nvme module.\n",
     " * Return: 0, or -EPROBE_DEFER if the PF is being unbound.\n"),
    ("\treturn nvmevf_same_nvme(vf);\n", "\treturn 0;\n"),
    ("NVMEVF_END_IO_ARGS", "struct request *rq, blk_status_t err,\n\t\t\t\t\t const struct io_comp_batch *iob"),
    (" * @resets: set to a number that changes with each reset, if the kernel\n"
     " *\t    counts them (not before 7.0)\n", " * @resets: set to a number that changes with each reset\n"),
    ("nvmevf_ctrl_resets(ctrl)", "atomic_long_read(&ctrl->nr_reset)"),
    ("\tblk_put_queue(ctrl->admin_q);\n", ""),
]

# Documents: what only holds where they come from
DOCUMENT_RULES = {
    "contract": [
        ("names end in ``_test`` are kselftests in ``selftests/``: their tests carry the\n"
         "numbers of the statements in their names, and any device can be put to them.\n"
         "The others are in ``tests/`` and need this driver or its emulated device.\n",
         "names end in ``_test`` are in tools/testing/selftests/vfio/migration: their tests\n"
         "carry the numbers of the statements in their names, and any device can be put to\n"
         "them.\n"),
    ],
    "dma-logging": [
        (re.compile(r"Kernels that cannot\n=+\n.*?(?=What is tracked\n=)", re.S), ""),
    ],
    "locking": [
        ("Tests of ``migration_race_test`` and ``migration_reset_test``, except those in\n"
         "``driver/hang``, which need fault points of the emulated device. On a kernel with\n"
         "lockdep a complaint of it fails the program.\n",
         "Tests of ``migration_race_test`` and ``migration_reset_test`` in\n"
         "tools/testing/selftests/vfio/migration. On a kernel with lockdep a complaint of it\n"
         "fails the program.\n"),
        (re.compile(r"3    ``driver/\w+: .*\n(?: {5}.*\n)*"), ""),
    ],
    "stream": [
        ("be able to hold.\n:ref:`admin-same` says what the receiver makes of each field.\n", "be able to hold.\n"),
        ("The vendor specific part of the emulated device is described in\n:ref:`device-state-vendor`.\n\n", ""),
    ],
}


# mmc_test.c puts stubs in place of nvme_pf.c, which in a tree is in another module
STUBBED = ("nvme_pf.c", "mmc.c", "mmc.h")


def without_stubs(text):
    """A source that mmc_test.c tests, for a tree without it."""
    text = re.sub(r"(?m)^#include <kunit/.*>\n|^EXPORT_SYMBOL_IF_KUNIT\(.*\n", "", text)
    text = re.sub(r"\n\tKUNIT_STATIC_STUB_REDIRECT\(.*\n", "", text)
    text = re.sub(r"(?ms)^#if IS_ENABLED\(CONFIG_KUNIT\)\n.*?^#endif\n\n", "", text)
    return text.replace("VISIBLE_IF_KUNIT ", "static ")


def without_compat(name, text):
    """A source of the driver as it stands in a tree."""
    if name in STUBBED:
        text = without_stubs(text)
    text = re.sub(r'(?m)^#include "compat\.h"\n', "", text)
    text = replace(text, *IN_TREE.get(name, []))
    if found := re.search(r"NVMEVF_(VFIO_OPS|HAS_|END_IO|MATCH_DATA)\w*|nvmevf_(precopy_info_v2|ctrl_resets|layout|same_nvme)\w*", text):
        raise Mismatch(f"{name}: {found[0]} of compat.h is left")
    return text


def exported(text, header):
    """Export what the header declares, to the one module that may call it."""
    for name in re.findall(r"(?m)^[a-z][^;{}()#*]*[ *](nvme_pf_\w+)\(", header):
        body = re.compile(rf"^([a-z][^\n;]*\b{name}\([^;{{]*\{{.*?\n\}}\n)", re.M | re.S)
        text = replace(text, (body, rf'\1EXPORT_SYMBOL_FOR_MODULES({name}, "nvme-vfio-pci");' + "\n"))
    return text


def document(name):
    """A document of the project as it stands in a tree, without tests that are not there."""
    def row(m):
        tests = [t for t in re.findall(r"``.*?``", m[2]) if not re.match(r"``(?:driver|device)/", t)]
        return m[1] + ("\n       ".join(tests) if tests else m[2] if "``" not in m[2] else "no test: needs a device with faults") + "\n"
    text = replace(without_tools(project(f"Documentation/{name}.rst")), *DOCUMENT_RULES[name])
    labels = [label for other in DOCUMENT_RULES for label in re.findall(r"(?m)^\.\. _([\w-]+):", project(f"Documentation/{other}.rst"))]
    text = without_references(text, [*DOCUMENT_RULES, *labels])
    text = re.sub(r"[,:] ``NvmeLm\w+``$", "", text, flags=re.M)      # names of the emulated device
    text = re.sub(r"(?m)^(   \* - S\d+\n     - (?:.|\n       )*\n     - )((?:.|\n       )*)\n", row, text)
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


class Selftests(Series):
    """The contract of migration and its tests, which are for any device."""

    NAME = "selftests"

    def __init__(self, source):
        super().__init__(source, "series/kernel")
        self.step("selftests")
        for path in sorted(glob.glob(os.path.join(TOP, "selftests", "**"), recursive=True)) + [os.path.join(TOP, "selftests/.gitignore")]:
            if os.path.isfile(path):
                name = os.path.relpath(path, os.path.join(TOP, "selftests"))
                self.add(f"{SELFTESTS}/{name}", project(f"selftests/{name}"))
        self.edit("tools/testing/selftests/Makefile", ("TARGETS += vfio\n", "TARGETS += vfio\nTARGETS += vfio/migration\n"))
        self.add(CONTRACT, document("contract"))
        list_document(self, "vfio-migration-contract")
        self.edit(f"{SELFTESTS}/README.rst", ("``contract.rst``", f"``{CONTRACT}``"))
        selftests = re.compile(r"(\nVFIO SELFTESTS\n(?:[^\n]+\n)*?)(F:\ttools/testing/selftests/vfio/\n)")
        self.edit("MAINTAINERS", (selftests, rf"\1F:\t{CONTRACT}\n\2"))


class Driver(Series):
    """The driver and what it needs of nvme. Each step leaves a kernel that can be built."""

    NAME = "driver"

    def __init__(self, source):
        super().__init__(source, "series/kernel")
        self.makefile = Makefile()
        self.helper()
        self.codecs()
        self.driver()
        self.documents()
        self.check_complete()

    def helper(self):
        self.step("nvme-pf")
        header = project("nvme_pf.h")
        self.add(f"{HOST}/pf.c", exported(replace(without_stubs(project("nvme_pf.c")), *IN_NVME), header))
        self.add("include/linux/nvme-pf.h", re.sub(r"\bNVME_PF_H\b", "_LINUX_NVME_PF_H", header))
        self.edit(f"{HOST}/Kconfig", ("config NVME_CORE\n\ttristate\n", "config NVME_CORE\n\ttristate\n\nconfig NVME_PF\n\tbool\n"))
        self.edit(f"{HOST}/Makefile", (re.compile(r"(nvme-core-\$\(CONFIG_NVME_HOST_AUTH\)\s*\+= auth\.o\n)"),
                                       r"\1nvme-core-$(CONFIG_NVME_PF)\t\t+= pf.o\n"))
        self.edit(f"{HOST}/core.c", ("static const struct class nvme_class = {", "const struct class nvme_class = {"))
        self.edit(f"{HOST}/nvme.h", ("extern struct mutex nvme_subsystems_lock;\n",
                                     "extern struct mutex nvme_subsystems_lock;\nextern const struct class nvme_class;\n"))

    def sources(self, *names):
        for name in names:
            self.add(f"{DRIVER}/{name}", without_compat(name, project(name)))
            if name.endswith("_test.c"):
                self.makefile.tests.add(name[:-1] + "o")
            elif name.endswith(".c"):
                self.makefile.objects.add(name[:-1] + "o")
        self.put(f"{DRIVER}/Makefile", self.makefile.text())

    def codecs(self):
        self.step("wire")
        self.sources("nvme.h", "nvme_lm.h", "nvme_lm_vs.h", "nvme_lm_stream.h", "refusal.h", "refusal.c", "stats.h", "track.h", "lm.h",
                     "wire.h", "wire.c", "stream.h", "wire_test.c")
        self.add(f"{DRIVER}/Kconfig", replace(project("Kconfig"), ("\tselect VFIO_PCI_CORE\n", "\tselect NVME_PF\n\tselect VFIO_PCI_CORE\n")))
        self.edit("drivers/vfio/pci/Kconfig", (re.compile(r"\nendmenu\n\Z"), f'\nsource "{DRIVER}/Kconfig"\n\nendmenu\n'))
        self.put("drivers/vfio/pci/Makefile", self.get("drivers/vfio/pci/Makefile") + "\nobj-$(CONFIG_NVME_VFIO_PCI) += nvme/\n")
        self.maintainers()
        self.module_lines(f"{DRIVER}/wire.c")

        self.step("stream")
        self.sources("stream.c", "match.h", "match.c", "kunit.h", "stream_test.c", "match_test.c")
        self.step("track")
        self.sources("track.c", "dirty_bitmap.h", "dirty_bitmap.c", "track_test.c", "dirty_bitmap_test.c")

    def maintainers(self):
        name, email = identity()
        entry = f"""VFIO NVME PCI DRIVER
M:	{name} <{email}>
L:	kvm@vger.kernel.org
S:	Maintained
F:	{DOCUMENTS}/
F:	{DRIVER}/

"""
        self.edit("MAINTAINERS", ("VFIO PCI DEVICE SPECIFIC DRIVERS\n", entry + "VFIO PCI DEVICE SPECIFIC DRIVERS\n"))

    def module_lines(self, path):
        """A module needs a licence, even before the file that has it for good."""
        self.edit(path, ("#include <linux/blkdev.h>\n", "#include <linux/blkdev.h>\n#include <linux/module.h>\n"))
        self.put(path, self.get(path) + "\n" + "".join(re.findall(r"(?m)^MODULE_(?:LICENSE|DESCRIPTION)\(.*\n", project("main.c"))))

    def stub_logging(self):
        """Functions of DMA logging that do nothing, for the step before it."""
        path = f"{DRIVER}/dirty.h"
        self.edit(path, ("extern const struct vfio_log_ops nvmevf_dirty_log_ops;\n", ""))
        self.put(path, re.sub(r"(?m)^(void nvmevf_dirty_\w+\([^;]*\));\n", r"static inline \1 { }\n", self.get(path)))

    def driver(self):
        self.step("admission")
        self.sources("admission.h", "admission.c", "admission_test.c")
        self.step("trace")
        self.sources("trace.h", "trace.c")
        self.step("mmc")
        self.sources("buf.h", "buf.c", "mmc.h", "mmc.c")
        self.step("cmds")
        self.sources("stats.c", "ident.h", "ident.c", "cmds.h", "cmds.c")

        self.step("debugfs")
        self.sources("vf.h", "vf.c", "debugfs.h", "debugfs.c")

        self.step("main")
        self.put(f"{DRIVER}/wire.c", without_compat("wire.c", project("wire.c")))
        self.sources("fence.h", "fence.c", "migf.h", "migf.c", "dirty.h", "states.h", "states.c", "main.c")
        self.stub_logging()
        self.edit(f"{DRIVER}/main.c",
                  (re.compile(r"/\* Returns the part of the bind message about it \*/\nstatic const char \*nvmevf_enable_logging\(.*?\n}\n\n", re.S), ""),
                  (re.compile(r'controller %u%s%s%s\\n", lm->ops->name,\n(\s*)lm->cntlid, only, nvmevf_enable_logging\(vf\), lm->exports\);'),
                   r'controller %u%s%s\\n", lm->ops->name,\n\1lm->cntlid, only, lm->exports);'))

        self.step("dirty")
        self.sources("dirty.c")
        for name in ("dirty.h", "main.c"):
            self.put(f"{DRIVER}/{name}", without_compat(name, project(name)))

    def check_complete(self):
        """No file of the driver is forgotten."""
        left_out = {"compat.h", "layout.c", "nvme_pf.c", "nvme_pf.h", "mmc_test.c"}
        for path in glob.glob(os.path.join(TOP, "*.[ch]")):
            name = os.path.basename(path)
            if name not in left_out and f"{DRIVER}/{name}" not in self.now:
                raise Mismatch(f"no step adds {name}")

    def documents(self):
        self.step("documents")
        names = sorted(DOCUMENT_RULES.keys() - {"contract"})
        for name in names:
            self.add(f"{DOCUMENTS}/{name}.rst", document(name))
        title = "NVMe variant driver of VFIO"
        self.add(f"{DOCUMENTS}/index.rst", ".. SPDX-License-Identifier: GPL-2.0-only\n\n"
                 f"{'=' * len(title)}\n{title}\n{'=' * len(title)}\n\n.. toctree::\n   :maxdepth: 1\n\n"
                 + "".join(f"   {name}\n" for name in names))
        list_document(self, "nvme-vfio-pci/index")


SERIES = [Selftests, Driver]


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
k() { make -s O=/mnt/%(v)s W=1 "$@"; }
cp /mnt/%(v)s.config /mnt/%(v)s/.config
scripts/config --file /mnt/%(v)s/.config --set-val NVME_VFIO_PCI %(v)s --set-val NVME_VFIO_PCI_KUNIT_TEST %(v)s
k olddefconfig
k -j"$(nproc)" prepare
k -j"$(nproc)" %(targets)s
[ ! -e drivers/vfio/pci/nvme/Kconfig ] || grep -qx CONFIG_NVME_VFIO_PCI_KUNIT_TEST=%(v)s /mnt/%(v)s/.config
"""


def build(tree, patches, last=False):
    """After each patch the modules, whose symbols are looked up, and the objects to be built in; with their patch the selftests."""
    directory = part("series-kernel")

    def commands(changed, seen, _last):
        if any(path.startswith(("drivers/", "include/")) for path in changed):
            objects = f"{HOST}/pf.o" + (f" {DRIVER}/" if f"{DRIVER}/Makefile" in seen else "")
            yield "modules", BUILD % {"v": "m", "targets": f"{HOST}/pf.o modules"}
            yield "built in", BUILD % {"v": "y", "targets": objects}
        if any(path.startswith(SELFTESTS) for path in changed):
            yield "selftests", ("make -s -C /mnt/src/tools/testing/selftests TARGETS=vfio/migration FORCE_TARGETS=1 install "
                                "INSTALL_PATH=/mnt/selftests OUTPUT=/mnt/selftests-objects")

    def complaints(output):
        return [line for line in output.splitlines()
                if re.search(rf"(?:{DRIVER}/\S*|{HOST}/pf\.c|nvme-pf\.h):\d+|modpost.*nvme.vfio|(?i:warning:).*nvme.vfio", line)]

    return building.build(version(tree), directory, tree, patches, commands, complaints, last)
