# SPDX-License-Identifier: GPL-2.0-only
"""Guests whose disk moves with them: two virtual hosts with namespaces of their own, and nvme-lm-mirror between them.

Pair: the hosts. Mirror: one side of a copy. Copy: both, with the guest's migration.
"""

import dataclasses
import errno
import json
import os
import shlex
import time

import host
import nested
from nested import Failure

PROGRAM = "/mnt/share/nvme-lm-mirror"
PORT = 5555
TIMEOUT = 600
PAUSED = "pre-switchover"
MIB = 1 << 20


class Mirror:
    """nvme-lm-mirror on a host: a sender or a receiver."""

    def __init__(self, h, *args):
        self.host = h
        self.role = args[0]
        self.events = []        # (seconds, what it printed: a dictionary)
        self.messages = []      # what it printed for people
        self.partial = ""
        self.job = h.popen(shlex.join([PROGRAM, *map(str, args), "--json"]), self._on_output)

    def _on_output(self, text):
        *lines, self.partial = (self.partial + text).split("\n")
        for line in lines:
            try:
                self.events.append((time.monotonic(), json.loads(line)))
            except ValueError:
                self.messages.append(line)

    def find(self, *names):
        """The last event with one of these names, or None."""
        return next((e for _, e in reversed(self.events) if e["event"] in names), None)

    def wait(self, *names):
        """Wait for such an event; it must not end before."""
        self.host.wait_for(lambda: self.find(*names) or self.job.rc is not None, TIMEOUT, f"'{names[0]}' from nvme-lm-mirror {self.role}")
        if not self.find(*names):
            raise Failure(f"nvme-lm-mirror {self.role} on {self.host.name} ended with exit code {self.job.rc}:\n" + "\n".join(self.messages[-15:]))
        return self.find(*names)

    def end(self):
        """Wait for its end; returns the exit code."""
        return self.job.wait(TIMEOUT)

    def end_ok(self):
        """It has to end well."""
        if rc := self.end():
            raise Failure(f"nvme-lm-mirror {self.role} on {self.host.name} ended with exit code {rc}:\n" + "\n".join(self.messages[-15:]))


@dataclasses.dataclass
class Moved:
    """What is known of a migration with a copy."""
    way: str
    begun: float            # seconds
    rounds: list            # (seconds, event) of each round
    progress: list          # (seconds, bytes to do), from the whole disk on
    stopped: tuple          # (seconds, bytes to do)
    done: tuple             # (seconds, event)
    info: dict              # what QEMU tells

    def ratio(self):
        """Bytes sent over bytes that had to be sent."""
        _, done = self.done
        return done["sent"] / max(1, done["allocated"] + done["changed"])


def is_hole(f, offset):
    """Whether a file has no data in the MiB from offset on."""
    try:
        return os.lseek(f.fileno(), offset, os.SEEK_DATA) >= offset + MIB
    except OSError as e:
        if e.errno != errno.ENXIO:
            raise
        return True


def different_blocks(f, g):
    """Offsets of the blocks of 4 KiB in which two files of the same size differ."""
    for offset in range(0, os.fstat(f.fileno()).st_size, MIB):
        if is_hole(f, offset) and is_hole(g, offset):
            continue
        x, y = (os.pread(file.fileno(), MIB, offset) for file in (f, g))
        if x != y:
            yield from (offset + n for n in range(0, MIB, 4096) if x[n:n + 4096] != y[n:n + 4096])


class Pair(nested.Pair):
    """Two hosts whose namespaces look alike and hold data of their own."""

    def __init__(self, logs):
        super().__init__(logs)
        self.mirrors = []
        self.copied = ()        # NSIDs; none: all

    def mirror(self, h, role, *args):
        """nvme-lm-mirror on a host."""
        only = [arg for nsid in self.copied for arg in ("--namespace", nsid)]
        self.mirrors.append(Mirror(h, role, "--vf", self.vfs[h.name][0], *only, *args))
        return self.mirrors[-1]

    def end_mirrors(self):
        """Whatever of it still runs."""
        for m in self.mirrors:
            if m.job.rc is None and not m.host.dead:
                m.job.kill()
                m.job.wait(60)
        self.mirrors = []

    def boot(self, directory, kernel, files=None, size=64 << 20, **fields):
        host.setup("mirror")
        super().boot(directory, kernel, {"nvme-lm-mirror": host.path("mirror"), **(files or {})}, size, media="separate", **fields)

    def image(self, h, pf=nested.TP4159):
        """The medium of a PF of a host."""
        return h.spec.pfs[pf].image

    def images(self, h, pf=nested.TP4159):
        """The media of a PF of a host that are copied."""
        images = [self.image(h, pf), *h.spec.pfs[pf].more_images]
        return [images[nsid - 1] for nsid in self.copied] or images

    def receive(self, h, *args):
        """The side to which a copy goes; it listens when this returns."""
        m = self.mirror(h, "receive", *args, f":{PORT}")
        m.wait("listening")
        return m

    def send(self, h, to, *args):
        """The side from which it comes."""
        return self.mirror(h, "send", *args, f"{to.env['LM_IP']}:{PORT}")

    def differences(self):
        """Where the media differ: image and offset of the first blocks of 4 KiB."""
        found = []
        for x, y in zip(*(self.images(h) for h in self.hosts)):
            with open(x, "rb") as f, open(y, "rb") as g:
                found += [f"{os.path.basename(x)}: {offset:#x}" for offset in different_blocks(f, g)]
        return found

    def stopped(self, source, since):
        """The guest is stopped, and QEMU waits for the copy."""
        source.wait_event("MIGRATION", since, "the guest to be stopped", lambda data: data["status"] in (PAUSED, *nested.ENDS))

    def move(self, source, target, *args):
        """Move a guest and its disk, led by hand; compares the media while the guest is stopped."""
        begun = time.monotonic()
        receiver = self.receive(target.host)
        sender = self.send(source.host, target.host, *args)
        sender.wait("ready")
        since = self.begin(source, target)
        self.stopped(source, since)
        sender.end_ok()
        receiver.end_ok()
        if found := self.differences():
            raise Failure(f"{len(found)} block(s) of the media differ, the first: {found[0]}")
        source.qmp(("migrate-continue", {"state": PAUSED}))
        info = self.complete(source, target, since)

        def all_of(name):
            return [(t, e) for t, e in sender.events if e["event"] == name]
        return Moved(f"{source.host.name} to {target.host.name}", begun, all_of("round"),
                     [(begun, sum(map(os.path.getsize, self.images(source.host)))), *((t, e["dirty"]) for t, e in all_of("progress"))],
                     [(t, e["dirty"]) for t, e in all_of("stopped")][-1], all_of("done")[-1], info)
