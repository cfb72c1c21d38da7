# SPDX-License-Identifier: GPL-2.0-only
"""What nvme-lm-mirror works with, for its tests: disks, a guest with a log, a QEMU, and a bad network.

The messages are made here once more, from their description in tools/mirror/wire.h.
"""

import contextlib
import ctypes
import errno
import json
import os
import queue
import random
import socket
import struct
import subprocess
import threading

from lmtool import Failed, expect

WAIT = 300                                      # seconds, for what should take none
# what read() of a log says after a reset of the PF, and without it
LOST = (errno.ENOTCONN, errno.ENODEV)

PF, CNTLID = "0000:01:00.0", 5

# attributes of a log entry
FIRST, STOPPED, SUSPENDED, FULL = 1 << 1, 2 << 1, 3 << 1, 7 << 1
DEALLOCATED, NAMESPACE, MARKER = 1 << 5, 1 << 6, 2 << 6

HEAD = struct.Struct("<IHHIIQQ")
MAGIC = 0x4d4d4c4e
HELLO, WELCOME, WRITE, ZERO, SYNC, SYNCED, REFUSE, DONE, PROBE = range(1, 10)
VERIFY, FINAL = 1 << 2, 1 << 3


def entry(nsid, slba, blocks, attr=0):
    return struct.pack("<IIQ15xB", nsid, (blocks - 1) & 0xffffffff, slba, attr)


def message(kind, data=b"", flags=0, nsid=0, offset=0, count=0, magic=MAGIC, length=None):
    return HEAD.pack(magic, kind, flags, nsid, len(data) if length is None else length, offset, count) + data


def hello(*namespaces, version=1, session=b"0123456789abcdef", flags=0):
    """namespaces are (nsid, size, lba_size)"""
    data = struct.pack("<II16s", version, 0, session) + b"".join(struct.pack("<IIQ", n, lba, size) for n, size, lba in namespaces)
    return message(HELLO, data, flags)


class Disk:
    """A file that is a namespace, and what is expected to be in it."""

    def __init__(self, path, size, fill=None):
        self.path, self.size = path, size
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self.fd, size)
        if fill is not None:
            os.pwrite(self.fd, fill, 0)

    def read(self, offset=0, length=None):
        return os.pread(self.fd, self.size if length is None else length, offset)


def same(source, destination, step=1 << 22):
    """Compare block by block."""
    expect(os.fstat(destination.fd).st_size == source.size, "the size of the destination changed")
    for offset in range(0, source.size, step):
        a, b = source.read(offset, step), destination.read(offset, step)
        if a != b:
            first = next(i for i in range(0, len(a), 512) if a[i:i + 512] != b[i:i + 512])
            raise Failed(f"{destination.path} differs from the source from byte {offset + first} on")


class Log:
    """The driver's side of a log: a socket at which each connection is one."""

    def __init__(self, path):
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen()
        self.refuse = []                        # errnos for the next logs
        self.cntlids = []
        self.queues = []                        # how many entries were asked for
        self.current = None
        self.started = threading.Semaphore(0)
        self.lock = threading.Lock()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self.listener.accept()
                _, _, queue, cntlid, _ = struct.unpack("<IIIHH", conn.recv(16))
                self.cntlids.append(cntlid)
                self.queues.append(queue)
                error = self.refuse.pop(0) if self.refuse else 0
                with self.lock:
                    if not error:
                        conn.send(struct.pack("<i", 0))
                        conn.send(entry(0, 0, 1, FIRST | MARKER))
                        self.current = conn
                    else:
                        conn.send(struct.pack("<i", error))
                self.started.release()

    def wait(self):
        expect(self.started.acquire(timeout=WAIT), "no log was started")

    def put(self, *entries):
        with self.lock, contextlib.suppress(BrokenPipeError):
            self.current.send(b"".join(entries))

    def lose(self, error):
        self.put(struct.pack("<i", error))

    def close(self):
        self.listener.close()


class Guest:
    """Writes to the disks of the source, and has it logged, after it is written as a device does it."""

    def __init__(self, log, disks, seed=1):
        self.log, self.disks, self.random = log, disks, random.Random(seed)
        self.stop = threading.Event()
        self.thread = None
        self.written = 0

    def write(self, nsid, offset, data):
        os.pwrite(self.disks[nsid].fd, data, offset)
        self.log.put(entry(nsid, offset // 512, len(data) // 512))
        self.written += len(data)

    def discard(self, nsid, offset, length):
        punch(self.disks[nsid].fd, offset, length)
        self.log.put(entry(nsid, offset // 512, length // 512, DEALLOCATED))

    def write_some(self, largest=8):
        nsid = self.random.choice(list(self.disks))
        blocks = self.random.randint(1, largest)
        offset = 512 * self.random.randrange(self.disks[nsid].size // 512 - blocks)
        self.write(nsid, offset, self.random.randbytes(512 * blocks))

    def run(self, largest=8):
        def loop():
            while not self.stop.is_set():
                self.write_some(largest)
        self.thread = threading.Thread(target=loop, daemon=True)
        self.thread.start()

    def halt(self):
        """It is stopped, and so is its controller."""
        self.stop.set()
        if self.thread:
            self.thread.join()
        self.log.put(entry(0, 0, 1, SUSPENDED | MARKER))


def punch(fd, offset, length):
    """fallocate(PUNCH_HOLE | KEEP_SIZE)"""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(fd, 3, ctypes.c_long(offset), ctypes.c_long(length)):
        raise OSError(ctypes.get_errno(), "fallocate")


class Process:
    """The tool, and its events."""

    def __init__(self, argv, env=None):
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)  # pylint: disable=consider-using-with
        self.events, self.errors = [], []
        self.news = queue.Queue()
        self.threads = [threading.Thread(target=f, daemon=True) for f in (self.read_events, self.read_errors)]
        for t in self.threads:
            t.start()

    def read_events(self):
        for line in self.process.stdout:
            self.news.put(json.loads(line))
        self.news.put(None)

    def read_errors(self):
        for line in self.process.stderr:
            self.errors.append(line)

    def wait(self, name):
        """The next event of this name."""
        while True:
            try:
                event = self.news.get(timeout=WAIT)
            except queue.Empty:
                raise Failed(f"no event {name}: {''.join(self.errors)}") from None
            expect(event is not None, f"no event {name}, it ended: {''.join(self.errors)}")
            self.events.append(event)
            if event["event"] == name:
                return event

    def end(self):
        """Exit code, after which all is in events and errors."""
        rc = self.process.wait(WAIT)
        for t in self.threads:
            t.join(WAIT)
        while (event := self.news.get()) is not None:
            self.events.append(event)
        self.news.put(None)
        return rc

    def text(self):
        return "".join(self.errors)

    def names(self):
        return [e["event"] for e in self.events]

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Qmp:
    """A QEMU whose migration waits before the switchover."""

    def __init__(self, path):
        self.path, self.status, self.commands, self.conn = path, "none", [], None
        self.settable, self.end_after_continue, self.on = True, "completed", True
        self.on_migrate = None
        self.overtakes = False      # the event of the end overtakes the reply to a query
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                self.conn, _ = self.listener.accept()
                self.send({"QMP": {"version": {}, "capabilities": []}})
                for line in self.conn.makefile():
                    for text in line.replace("}{", "}\n{").splitlines():
                        self.command(json.loads(text))

    def send(self, o):
        with self.lock, contextlib.suppress(OSError):
            self.conn.sendall(json.dumps(o).encode() + b"\r\n")

    def set_status(self, status):
        self.status = status
        self.send({"event": "MIGRATION", "data": {"status": status}, "timestamp": {"seconds": 1, "microseconds": 2}})

    def command(self, c):
        name = c["execute"]
        self.commands.append(name)
        result, after = {}, []
        if name == "query-migrate":
            result = {"status": self.status} if self.status != "none" else {}
            if self.overtakes and self.status == "cancelling":
                self.set_status("cancelled")
        elif name == "migrate-set-capabilities" and not self.settable:
            return self.send({"error": {"class": "GenericError", "desc": "There's a migration process in progress"}})
        elif name == "query-migrate-capabilities":
            result = [{"capability": "xbzrle", "state": False}] + [
                {"capability": n, "state": self.on} for n in ("events", "pause-before-switchover")]
        elif name == "migrate_cancel":
            after = ["cancelling"] if self.overtakes else ["cancelling", "cancelled"]
        elif name == "migrate-continue":
            expect(c["arguments"] == {"state": "pre-switchover"}, str(c))
            after = ["device", self.end_after_continue]
        elif name == "migrate":
            after = ["setup", "active"]
        self.send({"return": result})
        for status in after:
            self.set_status(status)
        if name == "migrate" and self.on_migrate:
            self.on_migrate()
        return None

    def hang_up(self):
        self.listener.close()
        self.conn.shutdown(socket.SHUT_RDWR)


class Network:
    """A relay to the receiver that counts messages, and cuts the connection in one of them.

    cuts has, for each connection, (direction, number of the message, bytes of it that still pass), or None.
    """

    def __init__(self, port, cuts=(), on_message=None):
        self.target, self.cuts, self.on_message = port, list(cuts), on_message
        self.messages = {"to": [], "from": []}
        self.connections = 0
        self.down = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                a, _ = self.listener.accept()
                if self.down:
                    a.close()
                    continue
                b = socket.create_connection(("127.0.0.1", self.target))
                cut = self.cuts.pop(0) if self.cuts else None
                self.connections += 1
                for direction, x, y in (("to", a, b), ("from", b, a)):
                    limit = cut[1:] if cut and cut[0] == direction else None
                    threading.Thread(target=self.relay, args=(direction, x, y, limit), daemon=True).start()

    def relay(self, direction, a, b, limit):
        number = 0
        with contextlib.suppress(OSError):
            while (data := self.receive(a)) is not None:
                if limit and number == limit[0]:
                    b.sendall(data[:limit[1]])
                    break
                self.messages[direction].append(HEAD.unpack_from(data))
                if self.on_message:
                    data = self.on_message(direction, data)
                b.sendall(data)
                number += 1
        for s in (a, b):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def receive(s):
        def exactly(n):
            data = b""
            while len(data) < n:
                more = s.recv(n - len(data))
                if not more:
                    return None
                data += more
            return data
        head = exactly(HEAD.size)
        if head is None:
            return None
        data = exactly(HEAD.unpack(head)[4])
        return None if data is None else head + data

    def close(self):
        self.listener.close()


class Peer:
    """Somebody who speaks to the receiver directly."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT)

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """(head, data), or None at the end."""
        try:
            data = Network.receive(self.socket)
        except ConnectionResetError:
            return None
        return data and (HEAD.unpack_from(data), data[HEAD.size:])

    def close(self):
        self.socket.close()


class Scene:
    """A source, a destination, and a guest that moves."""

    def __init__(self, tool, sizes=None, fill=True, qmp=False, destination_sizes=None):
        self.tool, self.stack = tool, contextlib.ExitStack()
        self.directory = self.stack.enter_context(tool.directory())
        sizes = sizes or {1: 8 << 20}
        rng = random.Random(7)
        self.source = {n: Disk(self.path(f"source{n}"), size, rng.randbytes(size) if fill else None) for n, size in sizes.items()}
        # something else was there before
        self.destination = {n: Disk(self.path(f"destination{n}"), size, b"\xa5" * min(size, 64 << 20))
                            for n, size in (destination_sizes or sizes).items()}
        self.log = Log(self.path("log"))
        self.guest = Guest(self.log, self.source)
        self.qmp = Qmp(self.path("qmp")) if qmp else None
        self.receiver = self.sender = self.network = None
        self.port = None

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.guest.stop.set()
        if self.guest.thread:
            self.guest.thread.join()
        for p in (self.sender, self.receiver):
            if p:
                p.kill()
        for s in (self.log, self.network):
            if s:
                s.close()
        for d in [*self.source.values(), *self.destination.values()]:
            os.close(d.fd)
        self.stack.close()

    def path(self, name):
        return os.path.join(self.directory, name)

    @staticmethod
    def namespaces(disks):
        return [x for n, d in disks.items() for x in ("--namespace", f"{n}={d.path}")]

    def receive(self, *args):
        self.receiver = Process([self.tool.program, "receive", "--json", *self.namespaces(self.destination), *args, "127.0.0.1:0"],
                                self.tool.env(self.log.path))
        self.port = self.receiver.wait("listening")["port"]
        return self.receiver

    def cut(self, *cuts, on_message=None):
        self.network = Network(self.port, cuts, on_message)
        return self.network

    def send(self, *args, host="127.0.0.1"):
        port = self.network.port if self.network else self.port
        qmp = ["--qmp", self.qmp.path] if self.qmp else []
        self.sender = Process([self.tool.program, "send", "--json", "--pf", PF, "--cntlid", str(CNTLID), *qmp,
                               *self.namespaces(self.source), *args, f"{host}:{port}"], self.tool.env(self.log.path))
        return self.sender

    def stop_guest(self):
        self.guest.halt()
        if self.qmp:
            self.qmp.set_status("pre-switchover")

    def finish(self, received=0):
        """The guest is stopped, and both sides end well: the disks are equal."""
        self.stop_guest()
        self.complete(received)

    def complete(self, received=0):
        self.expect_end(self.sender, 0)
        self.expect_end(self.receiver, received)
        for n, d in self.source.items():
            same(d, self.destination[n])

    def expect_end(self, process, code, text=""):
        rc = process.end()
        expect(rc == code, f"exit code {rc}, not {code}: {process.text()}")
        expect(text in process.text(), f"it does not say {text!r}: {process.text()}")
        expect("Sanitizer" not in process.text() and "runtime error" not in process.text(), process.text())
        return process
