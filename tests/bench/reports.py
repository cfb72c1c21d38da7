#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What reports of dirty memory cost, and the memory that the driver needs for a migration.

Commands are counted and times are taken in a virtual host, with an emulated device whose commands take
no time by themselves.
"""

import dataclasses
import math
import os
import re
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
TESTS = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "bench"), os.path.join(os.path.dirname(TESTS), "vm")]
import host  # noqa: E402
import table  # noqa: E402
from host import PF, Host, HostSpec  # noqa: E402
from table import Row  # noqa: E402

BENCH = "/mnt/share/tests/report-bench"
TRACING = "/sys/kernel/debug/tracing"
MIB = 1 << 20
MDTS = 8                            # 1 MiB, the most that the driver transfers; nvme may allow less
HEADER, DESCRIPTOR = 16, 16         # bytes, of what Track Receive returns
QUEUES, TRACK_RECEIVE = "0x42", "0x3e"
UNITS = 1 << 29                     # enough for 1 TiB of pages of 4 KiB
RANGES = (1, 10**4, 10**6)
PAGE_SIZES = {"4 KiB": 4096, "2 MiB": 2 * MIB}
GROUPS = {1: "spread", 4: "spread in fours"}   # where the dirty ones are
ROUNDS = 9
GIB, TIB = 1 << 30, 1 << 40
STATES = {"small state": 0, "state of 64 MiB": 64 * MIB}
# The kernel to measure memory on: ours do not account it
ACCOUNTING = "stable"
# What iova_bitmap of the kernel does with the user's bitmap around setting bits in it
PINNING = [f"{kind}:bench/pin_{what}_{function} {function}" for function in ("pin_user_pages_fast", "unpin_user_pages")
           for kind, what in (("p", "begin"), ("r", "end"))]


def transfer(h, n):
    """Bytes of one transfer by a PF: nvme has the same limit for its admin queue."""
    kib = h.run_ok(f"cat /sys/bus/pci/devices/$LM_PF{n}/nvme/nvme*/nvme*n1/queue/max_hw_sectors_kb")
    return min(int(kib) << 10, MIB)


def traced(h, command):
    """Run a command in the host; its output, and what was traced meanwhile: (event, its fields) in order."""
    events = [f"nvme_vfio_pci/nvmevf_{e}" for e in ("command", "wait", "report")] + ["bench"]
    h.run_ok("\n".join([f"cd {TRACING} || exit", "echo 65536 > buffer_size_kb && echo > trace || exit",
                        *(f"echo '{probe}' >> kprobe_events || exit" for probe in PINNING),
                        *(f"echo 1 > events/{e}/enable || exit" for e in events)]))
    out = h.run_ok(command, timeout=600)
    h.run_ok(f"cd {TRACING} && echo 0 > events/enable && cat trace > /mnt/share/trace && echo > kprobe_events", timeout=600)
    with open(os.path.join(h.share, "trace"), encoding="utf-8") as f:
        found = re.findall(r" (\d+\.\d+): (\w+): (.*)", f.read())
    return out, [(name, {"time": round(float(at) * 1e6), **dict(re.findall(r"(\w+)=(\S+)", fields))}) for at, name, fields in found]


@dataclasses.dataclass
class Report:
    """What the kernel traced of one report."""
    commands: int = 0       # Track Receive
    device_us: int = 0      # waiting for the device
    pinning_us: int = 0


def reports(events):
    """All of them. Other commands come before the first one of a report, which is the one for the completion queues."""
    found, begun, report = [], Report(), Report()
    for name, fields in events:
        if name == "nvmevf_wait":
            if fields["opcode"] == QUEUES:
                begun = Report()
            begun.device_us += int(fields["device_us"])
        elif name == "nvmevf_command":
            begun.commands += fields["opcode"] == TRACK_RECEIVE
        elif name == "nvmevf_report":
            report, begun = begun, Report()
            found.append(report)
        elif name.startswith("pin_begin"):
            pinned = fields["time"]
        elif name.startswith("pin_end"):
            report.pinning_us += fields["time"] - pinned
    return found


def lines(out):
    """The lines of report-bench as dictionaries of numbers."""
    return [dict(zip(words[::2], map(int, words[1::2]))) for words in map(str.split, out.splitlines()) if words]


def range_rows(h):
    """Commands for reports of so many ranges."""
    h.run_ok("echo 8 > /proc/sys/vm/nr_hugepages")
    most = (transfer(h, 0) - HEADER) // DESCRIPTOR
    out, events = traced(h, f"{BENCH} $LM_VF0_1 ranges {' '.join(map(str, RANGES))}")
    for measured, report in zip(lines(out), reports(events), strict=True):
        nr = measured["ranges"]
        yield Row(f"Track Receive commands for {nr} dirty range{'s' * (nr > 1)}", report.commands, math.ceil(nr / most), goal=1.1)


def span_rows(h, name, page_size, group, goal):
    """Times of reports for 1 TiB over those for 1 GiB, with as many dirty pages: of the driver, and of all that is done for them."""
    out, events = traced(h, f"{BENCH} $LM_VF0_1 spans {page_size} {group} {ROUNDS}")
    whole, own = {}, {}
    for measured, report in zip(lines(out), reports(events), strict=True):
        ms = measured["us"] / 1000
        whole.setdefault(measured["span"], []).append(ms)
        own.setdefault(measured["span"], []).append(ms - (report.device_us + report.pinning_us) / 1000)
    what = f"report for 1 TiB over 1 GiB, pages of {name}, {GROUPS[group]}"
    yield Row(f"{what}: driver", min(own[TIB]), min(own[GIB]), "ms", goal)
    yield Row(f"{what}: as a whole", min(whole[TIB]), min(whole[GIB]), "ms")


def report_rows(kernel, share):
    """On a kernel that reports dirty memory."""
    # one that checks itself spends most of that time on the checks of its allocator
    goal = None if kernel == "debug" else 1.5
    spec = HostSpec(kernel, [PF("tp4159", "B1", vfs=1, props={"mdts": MDTS, "lm-track-units": UNITS})], share)
    with Host("reports", spec) as h:
        h.run_ok("lm-driver && lm-bind $LM_VF0_1 nvme-vfio-pci")
        yield from range_rows(h)
        for name, page_size in PAGE_SIZES.items():
            for group in GROUPS:
                # several runs of dirty pages in each 128 MiB cost a bitmap each time: Documentation/bench.rst
                yield from span_rows(h, name, page_size, group, goal if group == 1 else None)


def memory_rows(share):
    """Memory of a save and a load."""
    spec = HostSpec(ACCOUNTING, [PF("tp4159", f"B{n}", vfs=1, props={"mdts": MDTS, "lm-model-state-size": size})
                                 for n, size in enumerate(STATES.values())], share)
    with Host("memory", spec) as h:
        h.drive()
        h.run_ok("mount -t cgroup2 cgroup /sys/fs/cgroup && echo +memory > /sys/fs/cgroup/cgroup.subtree_control && "
                 "mkdir /sys/fs/cgroup/report-bench")
        for n, name in enumerate(STATES):
            out = h.run_ok(f"echo $$ > /sys/fs/cgroup/report-bench/cgroup.procs && exec {BENCH} $LM_VF{n}_1 memory", timeout=600)
            measured, most = lines(out)[0], 2 * transfer(h, n)
            for what in ("save", "load"):
                yield Row(f"kernel memory for the {what} of a {name}", measured[what] / 1024, most / 1024, "KiB", 1.1)


def rows(kernel):
    """All of them."""
    for k in (kernel, ACCOUNTING):
        host.setup_host(k)
    with tempfile.TemporaryDirectory(prefix="nvmevm-bench-") as share:
        shutil.copytree(os.path.join(TESTS, "build"), os.path.join(share, "tests"), ignore=shutil.ignore_patterns("*.[oda]"))
        return [*report_rows(kernel, share), *memory_rows(share)]


if __name__ == "__main__":
    sys.exit(table.main(rows, __doc__, host.LOGGING_KERNELS, "lts"))
