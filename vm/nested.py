# SPDX-License-Identifier: GPL-2.0-only
"""Virtual machines on virtual hosts: a guest with NVMe virtual functions under Debian's QEMU.

Setup: two hosts that share the disks of the guest. Nested: one QEMU on one of them, which runs
the guest or waits for it to arrive.
"""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import json
import os
import re
import shlex
import shutil
import time

import host

MEMORY = 160            # of the guest, MiB
PROGRESS = 60           # admin commands, reads and writes that the guest has to do before it is moved again
MIGRATION_TIMEOUT = 180
PORT = 4444
TP4159, VENDOR = 0, 1       # numbers of PFs
SWEEP, PIECE = 512, 64 << 10    # pieces that the guest's sweep reads in one round, and bytes of each
# Bytes per second with which the first pass over the guest's memory does not end by itself, and ms of downtime
SLOWLY = {"max-bandwidth": 4 << 20, "downtime-limit": 1}
SWIFTLY = {"max-bandwidth": 1 << 40, "downtime-limit": MIGRATION_TIMEOUT * 1000}
ENDS = ("completed", "failed", "cancelled")     # of a migration
QMP, GUEST = "qmp", "guest"
SAMPLE = re.compile(r"~(\d+) (\d+) (\d+) (\d+)~")
ACKED = re.compile(r"~ack (\d+) (\d+) (\d+) (\d+)~")
ERRORS = {"io_errors": "I/O errors", "verify_errors": "verify errors", "resets": "controller resets",
          "timeouts": "command timeouts", "admin_errors": "failed or wrong admin commands",
          "other": "kernel warnings", "log_lost": "kernel log overruns", "ended": "ended processes of the load",
          "stale": "pieces of memory that do not hold what the device wrote there last"}


class Failure(Exception):
    """A guest or its QEMU did not do what was asked."""


@dataclasses.dataclass
class Setting:
    """How QEMU is started, the same on both sides of a migration."""
    enable: str = "on"              # enable-migration of vfio-pci
    device: str = ""                # more properties of it, each with a comma before
    program: tuple = ("qemu-system-x86_64",)                # may begin with another command
    machine: str = "q35"
    memory: int = MEMORY
    append: str = ""                # more of the guest's command line
    args: tuple = ()                # more arguments
    reboot: bool = False            # a guest that resets itself goes on
    oob: bool = False               # the monitor takes commands out of band
    capabilities: tuple = ()        # of the migration
    limits: dict = dataclasses.field(default_factory=lambda: SWIFTLY)   # of bandwidth and downtime; none: QEMU's defaults
    parameters: dict = dataclasses.field(default_factory=dict)          # more of the migration's parameters
    incoming: str = f"tcp:0.0.0.0:{PORT}"                               # from where a waiting one gets the guest


def filtered(what, program=Setting.program):
    """A QEMU that sees less of the device than there is (tests/migrate/vfio-filter.c)."""
    return ("env", "LD_PRELOAD=/mnt/share/vfio-filter.so", f"VFIO_FILTER={what}", *program)


class Nested:
    """One QEMU with the guest in it, or waiting for the guest to arrive, on a virtual host."""

    serial = itertools.count(1)

    def __init__(self, h, vfs, role, setting):
        self.host, self.vfs, self.setting = h, vfs, setting
        self.name = f"{next(self.serial):02d}-{h.name}-{role}"
        self.fifo = f"/run/{self.name}.fifo"
        self.numbers = itertools.count(1)
        self.answers = {QMP: {}, GUEST: {}}
        self.events = []
        self.messages = []      # what QEMU wrote on its standard error
        self.samples = []       # (seconds, reads, ms, writes, ms) of the guest's disk, where it was started with samples=1
        self.acked = (0, 0, 0, 0)   # the last writes that the guest knows are done, where it was started with ledger=1
        self.ready = False
        self.partial = ""
        self.log = open(os.path.join(h.logs, f"{self.name}.log"), "w", encoding="utf-8")
        self.waits = role == "waiting"
        self.job = None

    def start(self):
        """Start QEMU and talk to its monitor."""
        # The guest keeps the host's one CPU busy; what manages it comes first.
        argv = ["/mnt/share/relay", self.fifo, "nice", "-n", "5", *self.argv()]
        self.job = self.host.popen(shlex.join(argv), self.on_output)
        self.wait(lambda: any("QMP" in e for e in self.events), 60, "QEMU's monitor")
        setting = self.setting
        self.qmp(("qmp_capabilities", {"enable": ["oob"]} if setting.oob else {}),
                 ("migrate-set-capabilities", {"capabilities": [{"capability": name, "state": True}
                                                                for name in ("events", *setting.capabilities)]}),
                 ("migrate-set-parameters", {**setting.limits, **setting.parameters}),
                 *([("migrate-incoming", {"uri": setting.incoming, "exit-on-error": False})] if self.waits else []))

    def argv(self):
        """Debian's QEMU; both sides the same except for the console's file."""
        argv = [*self.setting.program, "-nodefaults", "-display", "none", "-machine", self.setting.machine, "-accel", "kvm", "-cpu", "host",
                "-m", str(self.setting.memory), *([] if self.setting.reboot else ["-no-reboot"]), "-kernel", "/mnt/share/vmlinux", "-initrd", "/mnt/share/initramfs",
                "-append", "console=ttyS0 quiet panic=-1 nvme.write_queues=1 nvme.poll_queues=1 nvme_core.admin_timeout=30 " + self.setting.append,
                *[a for vf in self.vfs for a in ("-device", f"vfio-pci,host={vf},enable-migration={self.setting.enable}{self.setting.device}")],
                "-chardev", f"file,id=console,path=/mnt/share/{self.name}.console", "-serial", "chardev:console",
                "-chardev", "socket,id=guest,fd={guest}", "-serial", "chardev:guest",
                "-chardev", "socket,id=qmp,fd={qmp}", "-mon", "chardev=qmp,mode=control", *self.setting.args]
        return argv + (["-incoming", "defer"] if self.waits else [])

    # -- what comes from it; called with the host's lock held

    def on_output(self, text):
        *lines, self.partial = (self.partial + text).split("\n")
        for line in lines:
            self.log.write(f"{time.monotonic():.3f} {line}\n")
            self.log.flush()
            try:
                message = json.loads(line)
            except ValueError:
                self.messages.append(line)
                continue
            getattr(self, "on_" + message["from"])(message["line"])

    def on_qmp(self, line):
        message = json.loads(line)
        if "id" in message:
            self.answers[QMP][message["id"]] = message
        else:
            self.events.append(message)

    def on_guest(self, line):
        if "~" in line:
            if sample := SAMPLE.fullmatch(line.strip()):
                self.samples.append((time.monotonic(), *map(int, sample.groups())))
            elif acked := ACKED.fullmatch(line.strip()):
                self.acked = tuple(map(int, acked.groups()))
            return
        number, _, text = line.strip().partition(" ")
        if number == "ready":
            self.ready = True
        elif number.isdigit():
            self.answers[GUEST][int(number)] = dict(word.partition("=")[::2] for word in text.split())

    def on_qemu(self, line):
        self.messages.append(line)

    # -- requests

    def wait(self, condition, timeout, what):
        def done():
            return condition() or self.job.rc is not None
        self.host.wait_for(done, timeout, what)
        if not condition():
            raise Failure(f"QEMU on {self.host.name} ended with exit code {self.job.rc} (waiting for {what})")

    def send(self, target, lines):
        """Write lines to QEMU's monitor or to the guest, all by one command in the host."""
        text = "".join(f"{target} {line}\n" for line in lines)
        self.host.run_ok(f"printf %s {shlex.quote(text)} > {self.fifo}")

    def answer(self, target, number, timeout, what):
        self.wait(lambda: number in self.answers[target], timeout, f"an answer to: {what}")
        return self.answers[target].pop(number)

    def qmp(self, *commands):
        """Commands (name or name and arguments) to QEMU's monitor at once; the last one's result."""
        pairs = [(c, {}) if isinstance(c, str) else c for c in commands]
        numbered = [{"execute": name, "arguments": arguments, "id": next(self.numbers)} for name, arguments in pairs]
        self.send(QMP, [json.dumps(c) for c in numbered])
        for command in numbered:
            # on a host that checks itself QEMU needs half a minute to open the device
            answer = self.answer(QMP, command["id"], 180, command["execute"])
            if "error" in answer:
                raise Failure(f"{self.host.name}: {command['execute']}: {answer['error']['desc']}")
        return answer["return"]

    def post(self, command, how="execute", **more):
        """Send a command to QEMU's monitor; the number that answers[QMP] will have the answer by, an error perhaps."""
        number = next(self.numbers)
        self.send(QMP, [json.dumps({how: command, **more, "id": number})])
        return number

    def yank(self):
        """Have QEMU cut the connection of its migration, even while its monitor is busy with that; Setting.oob is needed."""
        # it may have none any more
        self.answer(QMP, self.post("yank", "exec-oob", arguments={"instances": [{"type": "migration"}]}), 180, "yank")

    def ask(self, request):
        """Begin to ask the guest; the number that answers[GUEST] will have it by."""
        number = next(self.numbers)
        self.send(GUEST, [f"{number} {request}"])
        return number

    def guest(self, request, timeout=180):
        """Ask the guest; a dictionary, numbers converted."""
        answer = self.answer(GUEST, self.ask(request), timeout, request)
        return {k: int(v) if v.isdigit() else v for k, v in answer.items()}

    def event(self, name, since, match):
        """The data of an event of QEMU, from the one with number since; None: there is none yet."""
        return next((e.get("data", {}) for e in self.events[since:] if e.get("event") == name and match(e.get("data", {}))), None)

    def wait_event(self, name, since, what, match=lambda data: True, timeout=MIGRATION_TIMEOUT):
        """Wait for an event of QEMU, from the one with number since; returns its data."""
        self.wait(lambda: self.event(name, since, match) is not None, timeout, what)
        return self.event(name, since, match)

    def migration_status(self, what, since):
        """Wait for the end of a migration, from the event with number since; returns completed, failed or cancelled."""
        return self.wait_event("MIGRATION", since, what, lambda data: data["status"] in ENDS)["status"]

    def wait_migration(self, what, since):
        """Wait for a migration that completes."""
        status = self.migration_status(what, since)
        if status != "completed":
            reason = self.qmp("query-migrate").get("error-desc", "QEMU gives no reason")
            raise Failure(f"{what} {status}: {reason}")

    def kill(self):
        """Kill QEMU; returns when all that it said has arrived."""
        self.host.run(f"echo kill > {self.fifo}")
        self.job.wait(180)
        self.log.close()

    def quit(self):
        """End QEMU; it has to end well."""
        if self.job.rc is None:
            self.send(QMP, [json.dumps({"execute": "quit"})])
            self.job.wait(60)
        self.log.close()
        if self.job.rc:
            raise Failure(f"QEMU on {self.host.name} ended with exit code {self.job.rc}")

    def monitor(self, command):
        """The text that QEMU's monitor for people prints."""
        return self.qmp(("human-monitor-command", {"command-line": command})).splitlines()

    def evidence(self):
        """The ends of what it wrote, for a failure, and where the guest is."""
        if self.job and self.job.rc is None:
            with contextlib.suppress(Failure, host.HostError):
                yield f"the guest's processor on {self.host.name} ({self.name})", [
                    line for command in ("info status", "info registers", "info registers", "info lapic")
                    for line in self.monitor(command) if re.match("VM status|R?IP=|LVT|ISR|IRR|PPR|TPR|timer", line.strip())]
        yield f"QEMU on {self.host.name} ({self.name})", self.messages[-15:]
        with contextlib.suppress(FileNotFoundError):
            with open(os.path.join(self.host.share, f"{self.name}.console"), encoding="utf-8", errors="replace") as f:
                yield f"the guest's console on {self.host.name} ({self.name})", f.read().splitlines()[-45:]


def fill(share, files=None):
    """Put into a host's /mnt/share what guests are started with; files (or directories) by name: more of them."""
    files = {"relay": os.path.join(host.VM, "guest", "relay"), "vmlinux": host.path("guest-kernel"),
             "initramfs": host.path("guest-initramfs"), **(files or {})}
    os.mkdir(share)
    for name, path in files.items():
        (shutil.copytree if os.path.isdir(path) else shutil.copy)(path, os.path.join(share, name))


class Pair:
    """Two hosts, and one guest after the other."""

    def __init__(self, logs):
        self.logs = logs
        self.hosts = []
        self.nested = []        # every QEMU of the set at work
        self.problems = []
        self.pool = concurrent.futures.ThreadPoolExecutor(4)

    def both(self, action):
        """An action on both hosts at once; its results."""
        return list(self.pool.map(action, self.hosts))

    def problem(self, text):
        """Something that must not be, but does not stop the rest."""
        self.problems.append(text)
        print(f"     PROBLEM: {text}", flush=True)

    # -- the hosts

    def boot(self, directory, kernel, files=None, size=64 << 20, **fields):
        """Boot both; files as in fill(), size of the disks."""
        shares = [os.path.join(self.logs, name) for name in "AB"]
        for share in shares:
            fill(share, files)
        specs = host.host_specs(directory, shares, kernel, size=size, logs=self.logs, **fields)
        self.hosts = [host.Host(name, spec) for name, spec in zip("AB", specs)]
        # who waits for one of them hears of the other, too
        for h in self.hosts:
            h.changed = self.hosts[0].changed
        self.both(lambda h: h.start())
        self.both(lambda h: h.run_ok("lm-driver"))

    def check_hosts(self):
        """What the kernels of the hosts complain of."""
        for h in self.hosts:
            for line in h.kernel_log_problems() + h.nvme_problems():
                self.problem(f"kernel log of host {h.name}: {line}")

    def check_leaks(self):
        """On the debug kernel: memory that nobody frees any more."""
        for h in self.hosts:
            rc, out = h.run("lm-leaks", timeout=900)
            if rc:
                self.problem(f"host {h.name}: leaked memory: {out}")

    def bind(self, *pfs):
        """A VF of each PF on each host, for the driver under test; another number on each host, since nothing depends on it."""
        self.vfs = {h.name: [h.env[f"LM_VF{pf}_{n + 1}"] for pf in pfs] for n, h in enumerate(self.hosts)}
        self.rebind("nvme-vfio-pci")

    def rebind(self, driver):
        """The VFs of bind() to another driver, or to none."""
        self.both(lambda h: h.run_ok("; ".join(f"lm-bind {vf} {driver} || exit" for vf in self.vfs[h.name])))

    # -- the guest

    def start_qemu(self, h, role, setting=Setting()):
        """QEMU on a host, with its VFs; role: running or waiting."""
        n = Nested(h, self.vfs[h.name], role, setting)
        self.nested.append(n)
        n.start()
        return n

    def start_guest(self, h, setting=Setting()):
        """QEMU with a guest whose load works; returns what the guest says of it, too."""
        n = self.start_qemu(h, "running", setting)
        n.wait(lambda: n.ready, 180, "the guest's load to start")
        status = n.guest(f"progress {PROGRESS}")
        self.judge(status, {}, "before the first migration")
        return n, status

    def judge(self, status, before, when):
        """Whatever a guest should never see, since the last time it was asked."""
        for key, text in ERRORS.items():
            if count := status[key] - before.get(key, 0):
                self.problem(f"{when}: the guest counts {count} {text}")
        if status.get("stalled"):
            self.problem(f"{when}: the guest's load does not go on")

    def begin(self, source, target):
        """Begin to move the guest; returns how many events the source had before."""
        since = len(source.events)      # it may have arrived by a migration itself
        port = target.setting.incoming.rpartition(":")[2]
        source.qmp(("migrate", {"uri": f"tcp:{target.host.env['LM_IP']}:{port}"}))
        return since

    def in_precopy(self, source, target):
        """Begin a migration that stays in its pre-copy phase; returns where its events begin."""
        source.qmp(("migrate-set-parameters", SLOWLY))
        since = self.begin(source, target)
        source.wait_event("MIGRATION", since, "a migration in its pre-copy phase", lambda data: data["status"] == "active")
        return since

    def first_pass(self, source, since):
        """Let all memory be sent once, and then so little that the guest dirties more."""
        source.qmp(("migrate-set-parameters", {"max-bandwidth": 32 << 20}))
        source.wait_event("MIGRATION_PASS", since, "the end of the first pass over the guest's memory", lambda data: data["pass"] > 1)
        source.qmp(("migrate-set-parameters", {"max-bandwidth": 64 << 10}))

    def swiftly(self, source):
        """Let it end."""
        source.qmp(("migrate-set-parameters", SWIFTLY))

    def complete(self, source, target, since, runs=True):
        """Wait for its end, and for the guest to run where it runs at all; returns what QEMU tells about it."""
        source.wait_migration(f"the migration from {source.host.name} to {target.host.name}", since)
        target.wait_migration(f"the arrival on {target.host.name}", 0)
        if runs:
            target.wait_event("RESUME", 0, f"the guest to run on {target.host.name}", timeout=60)
        return source.qmp("query-migrate")

    def migrate(self, source, target):
        """Move the guest; returns what QEMU tells about it."""
        return self.complete(source, target, self.begin(source, target))

    def evidence(self):
        """What helps to understand a failure: QEMU's messages, the guests' consoles, the hosts' kernel logs."""
        for n in self.nested[-2:]:
            if n.job and n.job.rc is None and not n.host.dead:
                with contextlib.suppress(host.HostError, Failure):
                    n.guest("log", timeout=30)
        for n in self.nested[-2:]:
            yield from n.evidence()
        for h in self.hosts:
            yield f"the kernel log of host {h.name}", [text for _, _, text in h.kernel_log[-25:]]

    def stop(self):
        for h in self.hosts:
            h.kill()
