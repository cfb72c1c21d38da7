#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What it costs to move a disk with its guest, and whether the log of changed user data loses anything."""

import os
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
TESTS = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "bench"), os.path.join(os.path.dirname(TESTS), "vm")]
import choice  # noqa: E402
import host  # noqa: E402
import local  # noqa: E402
import nested  # noqa: E402
import table  # noqa: E402
from table import Row  # noqa: E402

MIB = 1 << 20
KERNEL = "stable"
# Of a namespace of 512 MiB, each once
WRITES = 1 << 20
SMALL = 20      # logs with a small queue
SETTING = nested.Setting(capabilities=("pause-before-switchover",))


def move(logs, directory, kernel):
    """A guest with a disk of its own, there and back."""
    pair = local.Pair(logs)
    try:
        pair.boot(directory, kernel)
        pair.bind(nested.TP4159)
        a, b = pair.hosts
        with open(pair.image(a), "r+b") as f:
            f.write(os.urandom(48 * MIB))
        target, status = pair.start_guest(a, SETTING)
        for there in (b, a):
            source, target = target, pair.start_qemu(there, "waiting", SETTING)
            moved = pair.move(source, target, "--ready", "4M")
            source.quit()
            _, done = moved.done
            way = moved.way
            yield Row(f"bytes that nvme-lm-mirror sends, {way}", done["sent"] / MIB, (done["allocated"] + done["changed"]) / MIB, "MiB", 1.1)
            yield Row(f"downtime with the disk, {way}", moved.info["downtime"], unit="ms")
            yield Row("  the last round of it", (moved.done[0] - moved.stopped[0]) * 1000, unit="ms")
        pair.judge(target.guest(f"progress {nested.PROGRESS}"), status, "after the migrations")
        target.quit()
        pair.check_hosts()
    finally:
        pair.stop()
    if pair.problems:
        raise nested.Failure("\n".join(pair.problems))


def count(logs, kernel):
    """What a log loses; a VF that nvme drives writes."""
    share = os.path.join(logs, "share")
    os.mkdir(share)
    shutil.copy(os.path.join(TESTS, "bench", "count-log"), share)
    with host.Host("log", host.one_host(share, kernel=kernel, logs=logs)) as h:
        h.run_ok("lm-driver && lm-bind $LM_VF0_1 nvme-vfio-pci && lm-bind $LM_VF0_2 nvme", timeout=300)
        # The PFs are other paths to the namespace: a write that takes one of them is not the VF's. The kernel looks at what
        # a controller has left before it ends the command
        h.run_ok("nvme detach-ns $LM_CTRL0 -n 1 -c $LM_CNTLID0 && nvme detach-ns $LM_CTRL1 -n 1 -c $LM_CNTLID1 && "
                 "! ls -d /sys/bus/pci/devices/$LM_PF0/nvme/*/*n1 /sys/bus/pci/devices/$LM_PF1/nvme/*/*n1")
        disk = h.run_ok("cd /sys/bus/pci/devices/$LM_VF0_2/nvme/*/ && echo /dev/$(echo *n1 | sed 's/c[0-9]*n/n/')").strip()
        lost, unseen = map(int, h.run_ok(f"/mnt/share/count-log $LM_PF0 $LM_CNTLID0_2 {disk} {WRITES} {SMALL}", timeout=3600).split())
    yield Row(f"blocks that a log does not name, of {WRITES} writes", lost, WRITES, "", 0)
    yield Row(f"overflows of a small queue that are not reported, of {SMALL}", unseen, SMALL, "", 0)


def rows(kernel):
    """All of them."""
    host.setup_host(kernel, "guest", "mirror")
    found = []
    with tempfile.TemporaryDirectory(prefix="nvmevm-bench-") as directory:
        for name, measure in (("pair", lambda logs: move(logs, directory, kernel)), ("log", lambda logs: count(logs, kernel))):
            if name == "log" and choice.quick:
                continue
            logs = os.path.join(directory, name)
            os.mkdir(logs)
            found += measure(logs)
    return found


if __name__ == "__main__":
    sys.exit(table.main(rows, __doc__, host.KERNELS, KERNEL))
