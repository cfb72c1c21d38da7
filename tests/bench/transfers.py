# SPDX-License-Identifier: GPL-2.0-only
"""Saves, loads and Suspends: how many commands they take, and how near they come to the device's own time.

The emulated device models slow hardware and reports how long it has worked on each command. A
program in the virtual host measures how long a save, a load or a Suspend takes. Both clocks run with
the outer machine's; the first row compares them.

The virtual host is slow itself: it takes about 3 ms to learn of an answer and to send the next
command. So the times of the modelled device are as long as it takes for that to matter little.
"""

import collections
import contextlib
import dataclasses
import heapq
import os
import re
import shutil
import tempfile

import choice
import host
from host import PF, Host, HostSpec
from table import Row

KERNEL = "backports"        # counts resets of the PF, and checks itself as little as a kernel in use
TOP = os.path.dirname(host.VM)
MIB = 1 << 20
PIECE = MIB                 # what the driver moves with one command, if MDTS allows
MDTS = 8                    # as much: 2^8 pages
QUEUES = 8
VFS = 64
STALLED = 8
SLICE_MS = 1000             # so long a Suspend may keep others waiting
DRAIN_MS = 300
# PFs of the machine
COST, SMALL, LARGE, CROWD = range(4)
EXTRA = {COST: 0, SMALL: 64 * MIB, LARGE: 1024 * MIB, CROWD: 4 * MIB}
MODEL = ("suspend-us", "resume-us", "get-us", "set-us", "drain-us", "bandwidth", "parallel")
# The device's time for a piece; how that was checked: Documentation/bench.rst
PIECE_MS = {SMALL: 150, LARGE: 80, CROWD: 400}
EVENT = re.compile(r"pci_nvme_lm_model_command mmc \d+ cid \d+ opcode (0x\w+) cntlid \d+ bytes (\d+) arrived (\d+) queued (\d+) "
                   r"worked (\d+) status (0x\w+)")
GET, SEND = 0x42, 0x41


@dataclasses.dataclass
class Command:
    """One that the device has executed; nanoseconds of its clock."""
    opcode: int
    bytes: int
    begin: int
    end: int

    @property
    def worked(self):
        return self.end - self.begin


def rate(ms):
    """Bytes per second, if a piece takes so long."""
    return PIECE * 1000 // ms


def prefer(pid):
    """What else this machine does shall not be measured: a session with its threads goes first."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.setpriority(os.PRIO_PROCESS, int(thread), -20)
    # the scheduler compares sessions, not threads, if it groups them
    with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/autogroup", "w", encoding="ascii") as f:
        f.write("-20")


class Bench:
    """The machine, and how to measure on it."""

    def __init__(self, h):
        self.h = h
        self.bound = set()
        h.trace("pci_nvme_lm_model_command")
        prefer(h.process.pid)

    def model(self, pf, **props):
        """The PF works like this, and as fast as it can otherwise."""
        for name in MODEL:
            self.h.qmp("qom-set", path=f"/machine/peripheral/nv{pf}", property=f"lm-model-{name}", value=props.get(name.replace("-", "_"), 0))

    def driver(self, module=None):
        """Load another build of the driver, or the one of this tree."""
        self.bound.clear()
        self.h.run_ok("! [ -e /sys/module/nvme_vfio_pci ] || rmmod nvme-vfio-pci", timeout=300)
        self.h.run_ok(f"insmod {module}" if module else "lm-driver")

    def run(self, command, pf, number):
        """Run a command of transfer-bench; its numbers by their words, and what the device has executed meanwhile."""
        if pf not in self.bound:
            self.h.run_ok(f"for vf in $(lm-vfs {pf}); do lm-bind $vf nvme-vfio-pci || exit; done", timeout=300)
            self.bound.add(pf)
        position = len(self.h.qemu_log())
        out = self.h.run_ok(f"/mnt/share/transfer-bench {command} {pf} {number}", timeout=600)
        numbers = collections.defaultdict(list)
        for word, *rest in re.findall(r"(?m)^(\w+) (\d+)(?: (\d+) (\d+))?$", out):
            numbers[word].append(tuple(int(n) for n in rest if n))
        return numbers, self.executed(position)

    def executed(self, position):
        """Commands that the device reported behind a position of its log, in the order in which it began with them."""
        found = []
        for opcode, size, arrived, queued, worked, status in EVENT.findall(self.h.qemu_log()[position:]):
            # a Suspend may have to wait, and be aborted
            if int(status, 16) and int(size):
                raise host.HostError(f"the device refused a command with opcode {opcode}, status {status}")
            begin = int(arrived) + int(queued)
            found.append(Command(int(opcode, 16), int(size), begin, begin + int(worked)))
        return sorted(found, key=lambda c: c.begin)

    def budget(self):
        """How many Suspends of guests the driver has in flight at most."""
        out = self.h.run_ok(f"cat /sys/kernel/debug/*/$LM_VF{CROWD}_1/nvme")
        return int(re.search(r"commands of all VFs: .* \d+ of (\d+) by guests", out)[1])


def ms(ns):
    return ns / 1e6


def first(numbers, word):
    return numbers[word][0][0]


def worked(commands):
    return sum(c.worked for c in commands)


def gets_of_saves(commands):
    """From the first one that is no question for the size to the last one before a load verifies."""
    gets = [c for c in commands if c.opcode == GET]
    sets = sets_of(commands)
    first_get = next(c for c in gets if c.bytes == PIECE)
    return [c for c in gets if c.begin >= first_get.begin and not (sets and c.begin > sets[-1].begin)]


def sets_of(commands):
    return [c for c in commands if c.opcode == SEND and c.bytes]


def last_end(jobs, length, places):
    """When the last of so many jobs of this length ends; each place can take one after the other from its time on."""
    free, ends = list(places), []
    heapq.heapify(free)
    for _ in range(jobs):
        ends.append(free[0] + length)
        heapq.heapreplace(free, ends[-1])
    return max(ends)


# ---- the measurements; each returns value, limit, unit and goal of its rows, whose names are below

def clocks(b):
    """Answers to the same commands by both clocks."""
    b.model(COST, get_us=500000)
    numbers, commands = b.run("clock", COST, 5)
    answered = [t for t, in numbers["answered"]]
    gets = [c for c in commands if c.opcode == GET]
    return [(ms(answered[-1] - answered[0]), ms(gets[-1].end - gets[0].end), "ms", 1.01)]


def costs(b):
    """Commands of a save and of a load, of a guest with many queues."""
    b.model(COST)
    numbers, _ = b.run("cost", COST, QUEUES)
    source, target = (sum(first(numbers, w) for w in numbers if w.startswith(step)) for step in ("save_", "load_"))
    return [(source, 2, "commands", 1), (target, 3, "commands", 1)]


def moves(b, pf, goal=1.05):
    """A save and a load; what is moved at a time is as large as it can be."""
    b.model(pf, get_us=1000, set_us=1000, bandwidth=rate(PIECE_MS[pf]))
    numbers, commands = b.run("move", pf, 0)
    gets, sets = gets_of_saves(commands), sets_of(commands)
    pieces = -(-sum(c.bytes for c in gets) // PIECE)
    times = [(ms(first(numbers, f"{step}_ns")), ms(worked(moved)), "ms", goal) for step, moved in (("save", gets), ("load", sets))]
    return times + ([(len(gets) + len(sets), 2 * pieces, "commands", 1)] if goal else [])


def serial_moves(b, pf):
    return moves(b, pf, None)


def saves(b, nr):
    """So many VFs at once; the device works on some of their commands at a time."""
    wide = 4
    b.model(CROWD, bandwidth=rate(PIECE_MS[CROWD]), parallel=wide)
    numbers, commands = b.run("saves", CROWD, nr)
    return [(ms(first(numbers, "last_ns")), ms(worked(gets_of_saves(commands))) / min(nr, wide), "ms", 1.05)]


def latency(b):
    """The host's own commands: the median while VFs are saved, and the median while nothing else happens."""
    b.model(CROWD, bandwidth=rate(PIECE_MS[CROWD]), parallel=4)
    numbers, _ = b.run("latency", CROWD, VFS // 2)
    return [(ms(first(numbers, "busy_ns")), ms(first(numbers, "idle_ns")), "ms", 2)]


def suspends(b, wide):
    """All VFs at once; the device works on so many Suspends at a time (0: on all that it gets), and so does the driver."""
    b.model(CROWD, drain_us=DRAIN_MS * 1000, parallel=wide)
    numbers, _ = b.run("suspends", CROWD, 0)
    places = min(wide or VFS, b.budget())
    return [(ms(first(numbers, "last_ns")), last_end(VFS, DRAIN_MS, [0] * places), "ms", 1.1)]


def stalled_suspends(b):
    """
    Some never drain and hold places, which they lose to those who have waited for SLICE_MS: a limit that the driver
    sets itself, so that a VF that drains slowly is not disturbed.
    """
    b.model(CROWD, drain_us=DRAIN_MS * 1000)
    numbers, _ = b.run("suspends", CROWD, STALLED)
    places = [0] * (b.budget() - STALLED) + [SLICE_MS] * STALLED
    return [(ms(first(numbers, "last_ns")), last_end(VFS - STALLED, DRAIN_MS, places), "ms", 1.1)]


def names(size, how=""):
    return [f"save of {size}{how}", f"load of {size}{how}"] + ([] if how else [f"Gets and Sets of both, {size}"])


NORMAL = [
    (clocks, [], ["2 s by the clock of the virtual host and by that of the device"]),
    (costs, [], [f"RUNNING to END, {QUEUES} queue pairs: 1 Suspend + 1 Get",
                 "first write to RUNNING: 1 Set + 1 Get that verifies + 1 Resume"]),
    (moves, [SMALL], names("64 MiB")),
    (moves, [LARGE], names("1 GiB")),
    *((saves, [nr], [f"saves of {nr} VF{'s' * (nr > 1)} at once, 4 MiB each, device works on 4 commands"]) for nr in (1, 8, 32, VFS)),
    (latency, [], [f"Identify by the host during {VFS // 2} saves, median; limit: without"]),
    (suspends, [0], [f"Suspends of {VFS} VFs at once that drain for {DRAIN_MS} ms, driver sends 12"]),
    (suspends, [4], [f"Suspends of {VFS} VFs at once that drain for {DRAIN_MS} ms, device works on 4"]),
    (stalled_suspends, [], [f"Suspends of {VFS - STALLED} VFs, {STALLED} others never drain; limit: these hold {STALLED} of 12 places for 1 s"]),
]
# 1 GiB would take four minutes more, and say the same
SERIAL = [(serial_moves, [SMALL], names("64 MiB", ", serial driver"))]
SLOW = ([LARGE], [8], [32])


def chosen(measurements):
    """Those that are wanted."""
    return [m for m in measurements if choice.wanted(*m[2]) and not (choice.quick and m[1] in SLOW)]


def measure(b, measurements):
    """Their rows."""
    found = []
    for function, arguments, what in measurements:
        print(f"{what[0]} ...", flush=True)
        found += [Row(name, value, limit, unit, goal) for name, (value, limit, unit, goal) in zip(what, function(b, *arguments))]
    return found


# ---- a picture

WIDTH = 100
PICTURE_MS = 12             # for a piece: about as long as the reader is busy with it


def picture(b):
    """The first pieces of a save in lanes: what the device works on, what read() does, what the reader does with it."""
    b.model(SMALL, get_us=500000)
    numbers, commands = b.run("clock", SMALL, 1)
    # the answer reaches the program a moment later
    shift = first(numbers, "answered") - next(c.end for c in commands if c.opcode == GET)
    b.model(SMALL, bandwidth=rate(PICTURE_MS))
    numbers, commands = b.run("reads", SMALL, 100)
    return lanes([(c.begin + shift, c.end + shift) for c in gets_of_saves(commands)], numbers["read"])


def lanes(gets, reads, step=64 << 10):
    """The text of it; each read() was for so many bytes."""
    begin, end = gets[0][0], min(reads[-1][2], gets[6][1])
    label = 11
    width = WIDTH - label
    lane = {name: [" "] * width for name in ("device", "read()", "reader")}

    def draw(name, start, stop, mark):
        for column in range(max(0, int((start - begin) * width / (end - begin))), min(width - 1, int((stop - begin) * width / (end - begin))) + 1):
            lane[name][column] = mark

    for n, (start, stop) in enumerate(gets):
        draw("device", start, stop, str((n + 1) % 10))
    for n, (start, got, done) in enumerate(reads):
        piece = str((n * step // PIECE + 1) % 10)
        answer = next((stop for _, stop in gets if start < stop < got), start)
        draw("read()", answer, got, piece)
        draw("read()", start, answer, ".")
        draw("reader", got, done, piece)
    head = f"The first {ms(end - begin):.0f} ms of a save; numbers are pieces of 1 MiB, dots are waiting"
    return "\n".join([head] + [f"{name:{label}}{''.join(cells)}".rstrip() for name, cells in lane.items()])


# ---- all

PICTURES = []


def notes():
    """What is printed below the table."""
    return PICTURES


def machine(kernel, share):
    pfs = [PF("tp4159", f"B{n}", vfs=VFS if n == CROWD else 2, props={"mdts": MDTS, "lm-model-state-size": size})
           for n, size in EXTRA.items()]
    pfs[COST].vq = pfs[COST].vi = QUEUES + 1
    pfs[CROWD].props["lm-hold-cqes"] = "off"
    # nvme moves 128 KiB at a time at most behind an IOMMU that translates
    return HostSpec(kernel, pfs, share, append="iommu.passthrough=1")


def rows(kernel):
    """All rows, measured on one machine."""
    serial = chosen(SERIAL) if kernel not in host.OWN_KERNELS else []
    normal = chosen(NORMAL)
    if not normal + serial:
        return []
    host.setup_host(kernel, *(["serial-modules"] if serial else []))
    with contextlib.ExitStack() as stack:
        share = stack.enter_context(tempfile.TemporaryDirectory(prefix="nvmevm-bench-"))
        shutil.copy(os.path.join(TOP, "tests", "build", "transfer-bench"), share)
        if serial:
            shutil.copy(os.path.join(host.path("serial-modules"), host.path(f"kver-{kernel}"), "nvme-vfio-pci.ko"), os.path.join(share, "serial.ko"))
        print("booting a virtual host ...", flush=True)
        b = Bench(stack.enter_context(Host("bench", machine(kernel, share))))
        b.driver()
        found = measure(b, normal)
        if not choice.texts:
            PICTURES.append(picture(b))
        if serial:
            b.driver("/mnt/share/serial.ko")
            found += measure(b, serial)
        problems = b.h.kernel_log_problems()
        if problems:
            raise host.HostError("\n".join(["the kernel's log has", *problems]))
    return found
