# SPDX-License-Identifier: GPL-2.0-only
"""Moments of a migration: the n-th event of a QEMU, the n-th thing that a device does, or a command that it holds."""

import dataclasses
import subprocess
import threading

import faults

# Commands of a migration by the side that sends them, of TP4159 and of the vendor set: (opcode, SEL, name, how many there are at least).
# Of the source's Suspends the first one only notifies, and of its Gets two come when the guest is stopped.
COMMANDS = {
    (True, "source"): [(faults.SEND, faults.SUSPEND, "Suspend", 2), (faults.RECEIVE, None, "Get", 5)],
    (True, "target"): [(faults.SEND, faults.SUSPEND, "Suspend", 1), (faults.SEND, faults.SET_STATE, "Set", 1), (faults.RECEIVE, None, "Get", 1)],
    (False, "source"): [(faults.VS_SUSPEND, None, "SUSPEND", 1), (faults.VS_SAVE, None, "SAVE_DATA", 1)],
    (False, "target"): [(faults.VS_LOAD, None, "LOAD_DATA", 1)],
}
DEVICE_EVENTS = ("suspend*", "resume", "reset", "get", "set", "commit", "vendor_save", "track_*", "fault")


class DeviceLog:
    """What the emulated device of a host does, as it happens."""

    def __init__(self, h):
        self.host = h
        self.lines = []
        for event in DEVICE_EVENTS:
            h.trace(f"pci_nvme_lm_{event}")
        path = f"{h.logs}/{h.name}.qemu"
        self.process = subprocess.Popen(["tail", "-n", "0", "-f", path], stdout=subprocess.PIPE, text=True, errors="replace")
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            with self.host.changed:
                self.lines.append(line.strip())
                self.host.changed.notify_all()

    def since(self, position):
        return [line for line in self.lines[position:] if line.startswith("pci_nvme_lm_")]

    def end(self):
        self.process.kill()
        self.process.wait()


@dataclasses.dataclass
class Moment:
    """When to act: on this side, by this kind, the n-th time."""
    side: str               # source, target
    kind: str               # QEMU, device, held
    n: int
    command: tuple = None   # of COMMANDS, that is held

    def __str__(self):
        if self.kind == "held":
            return f"{self.command[2]} {self.n} of the {self.side} held"
        return f"event {self.n} of the {self.side}'s {self.kind}"


# How many events a migration has at least on each side, before it is over for the source
EVENTS = {("source", "QEMU"): 5, ("source", "device"): 6, ("target", "QEMU"): 1, ("target", "device"): 4}


def choose(rng, tp, sides=("source", "target"), kinds=("QEMU", "device", "held")):
    """A moment at random, of a VF of TP4159 or of the vendor set."""
    side, kind = rng.choice(sides), rng.choice(kinds)
    if kind == "held":
        command = rng.choice(COMMANDS[tp, side])
        return Moment(side, kind, rng.randint(1, command[3]), command)
    return Moment(side, kind, rng.randint(1, EVENTS[side, kind]))


class Watch:
    """Waits for a moment. To be made before the migration begins."""

    def __init__(self, moment, nested, log, pf):
        self.moment, self.nested, self.log, self.pf = moment, nested, log, pf
        self.events, self.lines = len(nested.events), len(log.lines)
        if moment.kind == "held":
            opcode, select, *_ = moment.command
            nested.host.run_ok(faults.hold(pf, opcode, moment.n - 1, select))

    def come(self):
        """Whether it has come."""
        if self.moment.kind == "QEMU":
            return len([e for e in self.nested.events[self.events:] if "event" in e]) >= self.moment.n
        seen = self.log.since(self.lines)
        if self.moment.kind == "device":
            return len(seen) >= self.moment.n
        return any(line.startswith("pci_nvme_lm_fault ") and line.endswith("action 2") for line in seen)

    def release(self):
        """Let a command go on that is held."""
        if self.moment.kind == "held" and not self.nested.host.dead:
            self.nested.host.run_ok(faults.release(self.pf))
