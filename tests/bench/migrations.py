#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What live migrations cost with tracking by the device and without, and with PRE_COPY and without.

A guest whose memory hardly anything but the device changes (it reads all the time) migrates between
two virtual hosts. All its memory is sent once while it runs, and then what has changed.
"""

import os
import re
import sys
import tempfile

sys.dont_write_bytecode = True
TESTS = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "bench"), os.path.join(os.path.dirname(TESTS), "vm")]
import host  # noqa: E402
import nested  # noqa: E402
import table  # noqa: E402
from nested import PIECE, SWEEP, TP4159, Setting, filtered  # noqa: E402
from table import Row  # noqa: E402

MIB = 1 << 20
SWEPT = SWEEP * PIECE       # bytes of the memory that the device writes, round after round
SWEEPING = "load=sweep"
TRACKED = "device tracking"
CASES = {
    TRACKED: Setting(enable="auto", append=SWEEPING),
    "no tracking": Setting(program=filtered("no-logging"), append=SWEEPING),
    "device tracking, no PRE_COPY": Setting(enable="auto", program=filtered("no-precopy"), append=SWEEPING),
}
TRACING = "/sys/kernel/debug/tracing"
EVENTS = f"{TRACING}/events/nvme_vfio_pci"


def trace_begin(h):
    """Have the driver of a host trace its arcs and reports, from here on."""
    h.run_ok(f"echo > {TRACING}/trace && for e in arc report; do echo 1 > {EVENTS}/nvmevf_$e/enable || exit; done")


def trace_end(h):
    """What it has traced: the arcs (from, to, ms) in their order, and the number of reports."""
    text = h.run_ok(f"echo 0 > {EVENTS}/enable && cat {TRACING}/trace")
    arcs = [(m[1], m[2], int(m[3]) / 1000) for m in re.finditer(r"nvmevf_arc: .* from=(\w+) to=(\w+) .* us=(\d+)", text)]
    return arcs, text.count(" nvmevf_report: ")


def stopping(arcs):
    """Milliseconds that the source's driver took from the guest's end there to STOP_COPY."""
    return sum(ms for begin, end, ms in arcs if begin != "STOP_COPY" and end not in ("PRE_COPY", "RUNNING"))


def starting(arcs):
    """Milliseconds that the destination's driver took once it had the state."""
    first = [begin for begin, _, _ in arcs].index("RESUMING")
    return sum(ms for _, _, ms in arcs[first:])


def measure(pair, name, setting):
    """One migration; its rows."""
    a, b = pair.hosts
    source = pair.start_qemu(a, "running", setting)
    source.wait(lambda: source.ready, 180, "the guest's load to start")
    target = pair.start_qemu(b, "waiting", setting)
    swept = [source.guest(f"sweep {SWEEP}")["swept"]]
    position = len(a.qemu_log())
    pair.both(trace_begin)
    since = pair.in_precopy(source, target)
    pair.first_pass(source, since)
    swept.append(source.guest("status")["swept"])
    pair.swiftly(source)
    info = pair.complete(source, target, since)
    swept.append(target.guest("status")["swept"])
    (left, reports), (arrived, _) = pair.both(trace_end)
    commands = a.qemu_log()[position:].count("pci_nvme_lm_track_read ")
    source.quit()
    pair.judge(target.guest(f"sweep {SWEEP}"), {}, "after the migration")
    target.quit()
    ram = info["ram"]
    # each page once, zero or not, and again what was or may have been written meanwhile
    resent = (ram["normal"] + ram["duplicate"]) * ram["page-size"] - ram["total"]
    # QEMU asks twice what was written: behind the first pass, and when the guest is stopped
    written = sum(min(SWEPT, (after - before) * PIECE) for before, after in zip(swept, swept[1:]))
    tracked = name == TRACKED
    yield Row(f"RAM sent again, {name}", resent / MIB, written / MIB, "MiB", 1.1 if tracked else None)
    if reports:
        yield Row(f"reports of a migration, {name}: Track Receive commands", commands, reports, goal=1.1 if tracked else None)
    yield Row(f"downtime, {name}", info["downtime"], unit="ms")
    yield Row("  the driver's arcs on the source", stopping(left), unit="ms")
    yield Row("  the driver's arcs on the destination", starting(arrived), unit="ms")
    yield Row(f"whole migration, {name}", info["total-time"], unit="ms")


def rows(kernel):
    """All of them."""
    host.setup_host(kernel, "guest")
    with tempfile.TemporaryDirectory(prefix="nvmevm-bench-") as directory:
        logs = os.path.join(directory, "logs")
        os.mkdir(logs)
        pair = nested.Pair(logs)
        try:
            pair.boot(directory, kernel, {"vfio-filter.so": os.path.join(TESTS, "build", "vfio-filter.so")})
            pair.hosts[0].trace("pci_nvme_lm_track_read")
            pair.bind(TP4159)
            found = [row for name, setting in CASES.items() for row in measure(pair, name, setting)]
            pair.check_hosts()
        finally:
            pair.stop()
    if pair.problems:
        raise nested.Failure("\n".join(pair.problems))
    return found


if __name__ == "__main__":
    sys.exit(table.main(rows, __doc__, host.LOGGING_KERNELS, "lts"))
