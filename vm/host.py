# SPDX-License-Identifier: GPL-2.0-only
"""Virtual hosts: start one, run commands in it, look at its kernel log, stop it.

    spec = one_host(share="/some/dir")
    with Host("a", spec) as h:
        out = h.run_ok("nvme list")

A host is one QEMU process without hardware virtualisation. It has two CPUs, or one if guests run in it. It reports by
events over a socket; nothing here polls. When the machine dies, whoever waits for it gets a
HostError with the end of its console.
"""

import atexit
import base64
import concurrent.futures
import ctypes
import dataclasses
import functools
import hashlib
import json
import mmap
import os
import platform
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid

VM = os.path.dirname(os.path.abspath(__file__))
BOOT_TIMEOUT = 900
OWN_KERNELS = ("lts", "debug", "kcsan", "posted")      # built by vm/setup, the others are Debian's
KERNELS = ("stable", "backports", *OWN_KERNELS)
LOGGING_KERNELS = OWN_KERNELS       # Debian's cannot report what a device wrote
PING = "nvmevm: ping"
# A shell command in a host: every VF to one driver
BIND_ALL = "for vf in $(lm-vfs); do lm-bind $vf {} || exit; done"

PROBLEM = re.compile(r"WARNING: |\bBUG\b|nobody cared|\bOops\b: |Call Trace:|refcount_t:|blocked for more than|UBSAN: |KASAN: |"
                     r"KCSAN: |ODEBUG|DEBUG_LOCKS|lockdep(?! checking is enabled)|locking correctness|possible (recursive|circular) locking|"
                     r"inconsistent lock state|suspicious RCU|detected stall|general protection fault|Kernel panic|soft lockup|"
                     r"sleeping function called|detected buffer overflow|(list_add|list_del) corruption|"
                     r"DMA-API: (?!preallocated|debugging enabled|.*grown)|kmemleak: .*(suspected|disabled|Cannot)|"
                     r"DMAR: .*fault|DMAR: \[|DMAR: ERROR|lines were lost")
NVME_TIMEOUT = re.compile(r"nvme\d*.*(timeout|timed out|abort|resetting controller|reset controller|not ready)", re.I)


class HostError(Exception):
    """The machine died, did not come up, or did not answer in time."""


class CommandError(HostError):
    """A command of run_ok() failed."""


# Names of properties that only the emulated device has
OWN = re.compile(r"lm$|lm-|cntlid-base$")

# Without five levels of pages: while a kernel with KASAN identifies the processor it forgets that it has them, and reports
# an interrupt that comes then
CPU = "max,la57=off"


@dataclasses.dataclass
class PF:
    """One physical function. Those with the same subsys share a subsystem and its namespace;
    image, size, more_images, cntlid_base and ns are the subsystem's and taken from its first PF."""
    lm: str = "off"                 # tp4159, vendor, off; target: a PF of its subsystem migrates it
    subsys: str = "S1"
    serial: str = ""                # default: from subsys
    vfs: int = 4
    vq: int = 5                     # queue resources for each VF: the admin queue and 4 for I/O
    vi: int = 5                     # interrupt resources for each VF
    cntlid_base: int = None
    provided: bool = True           # the VFs are created and taken online before the first command
    image: str = None               # backing file; default: an empty one for this host
    size: int = 512 << 20
    more_images: tuple = ()         # those of more namespaces of the subsystem, from NSID 2 on
    props: dict = dataclasses.field(default_factory=dict)   # more properties of the nvme device
    ns: dict = dataclasses.field(default_factory=dict)      # the same of the subsystem's namespace


@dataclasses.dataclass
class HostSpec:
    kernel: str = "stable"
    pfs: list = dataclasses.field(default_factory=list)
    share: str = None               # directory that is /mnt/share in the host
    net: tuple = None               # ("listen" or "connect", path of a unix socket, "address/bits")
    memory: str = "4G"
    cpus: int = 2                   # 1 for a host that nests KVM: QEMU's emulation of that is not safe with more
    logs: str = None                # directory for console and kernel log; default: the work directory
    console: bool = False           # serial console on this terminal, for shell()
    args: list = dataclasses.field(default_factory=list)    # more arguments for QEMU
    append: str = ""                # more of the kernel's command line
    boot: str = None                # directory with a system of its own (Machine.bootable()); default: what vm/setup made


def one_host(share=None, kernel="stable", **fields):
    """The machine of the tests: two TP4159 PFs of one subsystem, two vendor PFs of another, one plain PF."""
    pfs = [PF("tp4159", "S1"), PF("tp4159", "S1"), PF("vendor", "S2"), PF("vendor", "S2"), PF("off", "S3", vfs=1)]
    return HostSpec(kernel, pfs, share, **fields)


def host_specs(directory, shares, kernel="stable", size=512 << 20, more=(), media="shared", spare=0, **fields):
    """Two hosts for guests: a TP4159 PF and a vendor PF each, and a network.

    more: further PFs of each host, as (command set, subsystem, properties); media: shared, or separate if each host has
    namespaces of its own. spare: size of a second namespace of the TP4159 PF, or 0.
    """
    images = {}
    kinds = (("tp4159", "S1", {}), ("vendor", "S2", {}), *more)
    sizes = {name: size for _, name, _ in kinds} | ({"spare": spare} if spare else {})
    for n, name in ((n, name) for n in range(len(shares)) for name in sizes):
        images[n, name] = os.path.join(directory, f"{media}-{name}{n if media == 'separate' else ''}.img")
        make_image(images[n, name], sizes[name])
    link = os.path.join(directory, "net")
    specs = []
    for n, share in enumerate(shares):
        pfs = [PF(lm, s, cntlid_base=n * 64, image=images[n, s], size=size, props=props) for lm, s, props in kinds]
        pfs[0].more_images = (images[n, "spare"],) if spare else ()
        specs.append(HostSpec(kernel, pfs, share, ("connect" if n else "listen", link, f"10.77.0.{n + 1}/24"), **{"cpus": 1, **fields}))
    return specs


def _tsc(read):
    """A count and the time of it in ns; of many tries that with the least time around it."""
    return min((time.monotonic_ns() - before, count, before) for before, count in ((time.monotonic_ns(), read()) for _ in range(50)))[1:]


@functools.lru_cache(None)
def tsc_khz():
    """How fast the time stamp counter of this machine counts, which is that of the hosts, too."""
    with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as m:
        m.write(b"\x0f\x31\x48\xc1\xe2\x20\x48\x09\xd0\xc3")     # rdtsc; shl $32, %rdx; or %rdx, %rax; ret
        code = ctypes.c_char.from_buffer(m)
        read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(code))
        first, since = _tsc(read)
        time.sleep(0.1)
        last, until = _tsc(read)
        del code
    return round((last - first) * 1e6 / (until - since))


def make_image(path, size):
    """An empty disk of that size."""
    with open(path, "wb") as f:
        f.truncate(size)


_paths = None


def paths():
    """Where the parts of the set-up are, by name (see vm/setup --print)."""
    global _paths
    if _paths is None:
        out = subprocess.run([os.path.join(VM, "setup"), "--print"], check=True, stdout=subprocess.PIPE, text=True).stdout
        _paths = dict(line.split("=", 1) for line in out.splitlines())
    return _paths


def path(name):
    """One of them; an error that says what to do where it is missing."""
    if name not in paths():
        raise HostError(f"'{name}' is not set up; run: vm/setup")
    return paths()[name]


def setup(*parts):
    """Run vm/setup, for all parts or the named ones; quick when all is there."""
    global _paths
    if subprocess.run([os.path.join(VM, "setup"), *parts], check=False).returncode:
        raise HostError("vm/setup failed")
    _paths = None


def qemu_argv():
    """How the virtual hosts' QEMU is started, by the libraries and with the firmware of the tree."""
    tree = path("tree")
    return [f"{tree}/lib64/ld-linux-x86-64.so.2", "--library-path", f"{tree}/usr/lib/x86_64-linux-gnu", path("qemu"),
            "-L", f"{tree}/usr/share/qemu", "-L", f"{tree}/usr/share/seabios", "-L", f"{tree}/usr/lib/ipxe/qemu"]


@functools.cache
def _properties_of(qemu, device):
    out = subprocess.run([*qemu, "-device", f"{device},help"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(re.findall(r"^  ([\w.-]+)=(.*)", out, re.M))


def properties(device, props):
    """An argument of -device. Properties of the emulated device are left out where this QEMU has not got them, or not that command set."""
    has = _properties_of(tuple(qemu_argv()), device)
    return ",".join([device, *(f"{k}={v}" for k, v in props.items()
                               if not OWN.match(k) or k in has and ((k, v) != ("lm", "vendor") or v in has[k]))])


def modules_part(kernel):
    """The part of the set-up that is the driver for a kernel."""
    return f"{kernel}-modules" if kernel in OWN_KERNELS else "modules"


def setup_host(kernel, *more):
    """Run vm/setup for what a host with this kernel needs, and for more parts."""
    setup("image", "qemu", modules_part(kernel), *more)


# QEMU must end with this program. That is tied to the thread that starts it, so one that lives on does.
_starter = concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="qemu-starter")
_running = set()
_libc = ctypes.CDLL(None)


def _end_with_parent():
    _libc.prctl(1, signal.SIGKILL)


@atexit.register
def end_all():
    """End every host of this program at once."""
    for h in list(_running):
        h.kill()


class Job:
    """A command running in a host."""

    def __init__(self, host, number, command, on_output):
        self.host, self.number, self.command = host, number, command
        self.rc = None
        self._out = []
        self._on_output = on_output

    def output(self):
        """What it has written so far."""
        with self.host.changed:
            return b"".join(self._out).decode(errors="replace")

    def add_output(self, data):
        self._out.append(data)
        if self._on_output:
            self._on_output(data.decode(errors="replace"))

    def wait(self, timeout=120):
        """Wait for its end; returns the exit code. A command that takes too long is killed."""
        try:
            self.host.wait_for(lambda: self.rc is not None, timeout, f"the end of: {self.command}")
        except HostError as e:
            if not self.host.dead:
                self.kill()
            raise HostError(f"{e}\n--- its output:\n{self.output()[-4000:]}") from None
        return self.rc

    def kill(self, sig=signal.SIGKILL):
        """Signal it and what it started."""
        self.host.send("kill", id=self.number, sig=int(sig))


class Host:
    """One virtual host."""

    def __init__(self, name, spec=None, **fields):
        self.name = name
        self.spec = dataclasses.replace(spec or HostSpec(), **fields)
        if self.spec.kernel not in KERNELS:
            raise HostError(f"kernel '{self.spec.kernel}': has to be one of {', '.join(KERNELS)}")
        self.changed = threading.Condition(threading.RLock())
        self.process = None
        self.dead = None            # once the machine has ended: why
        self.env = {}               # LM_* names of commands in the host
        self.kernel_log = []        # (seconds, priority, text)
        self.pings = []             # when a line with PING arrived in it
        self.events = []            # QMP events
        self._jobs = {}
        self._numbers = iter(range(1, 1 << 60))
        self._state = {}
        self._qmp_answers = {}
        self._log_seen = {}         # reader: lines
        self._work = None
        self._kmsg_file = None

    # -- life

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Boot, bring up the PFs and VFs, and return when commands can run."""
        started = time.monotonic()
        self._work = tempfile.mkdtemp(prefix=f"nvmevm-{self.name}-")
        self.logs = self.spec.logs or self._work
        self.share = self.spec.share or os.path.join(self._work, "share")
        try:
            self._launch()
            self._boot()
        except BaseException:
            self.kill()
            raise
        self.boot_time = time.monotonic() - started
        return self

    def _launch(self):
        os.makedirs(self.logs, exist_ok=True)
        os.makedirs(self.share, exist_ok=True)
        self._copy_modules()
        control, self._control = socket.socketpair()
        monitor, self._monitor = socket.socketpair()
        fds = (control.fileno(), monitor.fileno())
        argv = self._argv(*fds)
        with open(self._log("command"), "w", encoding="utf-8") as f:
            f.write(shlex.join(argv) + "\n")
        self._kmsg_file = open(self._log("kmsg"), "w", encoding="utf-8")
        with open(self._log("qemu"), "wb") as log:
            std = {} if self.spec.console else {"stdin": subprocess.DEVNULL, "stdout": log, "start_new_session": True}
            self.process = _starter.submit(subprocess.Popen, argv, stderr=log, pass_fds=fds,
                                           preexec_fn=_end_with_parent, **std).result()
        _running.add(self)
        control.close()
        monitor.close()
        for source, handler in ((self._control, self._on_agent), (self._monitor, self._on_qmp)):
            threading.Thread(target=self._read, args=(source, handler), daemon=True).start()

    def _boot(self):
        self.wait_for(lambda: "greeting" in self._state, 60, "QEMU's monitor")
        self.qmp("qmp_capabilities")
        self.wait_for(lambda: "up" in self._state, BOOT_TIMEOUT, "the host's agent")
        functions = [{"bdf": f"0000:{n + 1:02x}:00.0", "vfs": pf.vfs if pf.provided else 0, "vq": pf.vq, "vi": pf.vi}
                     for n, pf in enumerate(self.spec.pfs)]
        self.send("setup", name=self.name, ip=self.spec.net[2] if self.spec.net else None, functions=functions)
        self.wait_for(lambda: self._state.keys() & {"ready", "failed"}, BOOT_TIMEOUT, "the NVMe functions")
        if "failed" in self._state:
            raise HostError(self._explain(f"bringing up the NVMe functions failed: {self._state['failed']['text']}"))
        self.env = self._state["ready"]["env"]

    def stop(self):
        """End the machine. Nothing in it needs a shutdown: its disks are QEMU's, its root is read-only."""
        if not self.process:
            return
        if not self.dead:
            self._keep_counts()
            with self.changed:
                self._state["stopping"] = True
            self._send_qmp({"execute": "quit"})
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
                raise HostError(f"host {self.name}: QEMU does not quit") from None
        rc = self.process.wait()
        crashed = self._state.get("stopping") and rc
        text = self._explain(f"QEMU ended with exit code {rc} when it was told to quit") if crashed else None
        self._clean_up()
        if crashed:
            raise HostError(text)

    def _keep_counts(self):
        """What the driver has executed, for tests/coverage: into a new directory in $NVMEVM_GCOV, if that is set."""
        directory = os.environ.get("NVMEVM_GCOV")
        if not directory or self.spec.kernel != "debug":
            return
        self.run_ok("lm-gcov /mnt/share/gcov", timeout=600)
        counts = os.path.join(self.share, "gcov")
        if any(names for _, _, names in os.walk(counts)):
            shutil.move(counts, tempfile.mkdtemp(prefix=f"{self.name}-", dir=directory))

    def kill(self):
        """End the machine at once."""
        if self.process:
            self.process.kill()
            self.process.wait()
        self._clean_up()

    def shell(self):
        """Open a shell on the host's console and wait until the machine ends by itself; returns QEMU's exit code."""
        self.send("shell")
        rc = self.process.wait()
        self._clean_up()
        return rc

    def _clean_up(self):
        _running.discard(self)
        self.process = None
        if self._kmsg_file:
            self._kmsg_file.close()
        if self._work:
            shutil.rmtree(self._work, ignore_errors=True)

    # -- commands

    def popen(self, command, on_output=None, env=None):
        """Start a shell command in the host; returns a Job. on_output gets text as it comes."""
        job = Job(self, next(self._numbers), command, on_output)
        with self.changed:
            self._jobs[job.number] = job
        self.send("run", id=job.number, cmd=command, env={k: str(v) for k, v in (env or {}).items()})
        return job

    def run(self, command, timeout=120, **kw):
        """Run a shell command in the host; returns (exit code, output)."""
        job = self.popen(command, **kw)
        return job.wait(timeout), job.output()

    def run_ok(self, command, timeout=120, **kw):
        """The same, returning the output; CommandError where the exit code is not 0."""
        rc, out = self.run(command, timeout, **kw)
        if rc:
            raise CommandError(f"host {self.name}: exit code {rc} from: {command}\n{out[-4000:]}")
        return out

    def drive(self):
        """Load the driver as it was built for this kernel, and bind all VFs to it."""
        self.run_ok(f"lm-driver && {BIND_ALL.format('nvme-vfio-pci')}", timeout=300)

    # -- kernel log

    def sync_log(self):
        """Wait until all that the kernel has logged so far has arrived."""
        number = next(self._numbers)
        self.send("sync", id=number)
        self.wait_for(lambda: self._state.get("synced", {}).get("id") == number, 120, "the kernel log")

    def kernel_log_problems(self):
        """Lines since the last call that a kernel without faults does not write."""
        return [t for t in self._new_log("problems") if PROBLEM.search(t)]

    def nvme_problems(self):
        """Timeouts, aborts and resets that the nvme driver logged, since the last call. Tests may provoke them."""
        return [t for t in self._new_log("nvme") if NVME_TIMEOUT.search(t)]

    def _new_log(self, reader):
        """Lines that this reader has not seen yet."""
        self.sync_log()
        with self.changed:
            first = self._log_seen.get(reader, 0)
            self._log_seen[reader] = len(self.kernel_log)
            return [text for _, _, text in self.kernel_log[first:]]

    # -- QEMU's monitor

    def qmp(self, execute, timeout=60, **arguments):
        """One command to QEMU's monitor; returns its result. Underscores in names of arguments become dashes."""
        number = next(self._numbers)
        arguments = {k.replace("_", "-"): v for k, v in arguments.items()}
        self._send_qmp({"execute": execute, "arguments": arguments, "id": number})
        self.wait_for(lambda: number in self._qmp_answers, timeout, f"an answer to {execute}")
        answer = self._qmp_answers.pop(number)
        if "error" in answer:
            raise HostError(f"host {self.name}: {execute}: {answer['error']['desc']}")
        return answer["return"]

    def hmp(self, line):
        """One line of QEMU's human monitor."""
        return self.qmp("human-monitor-command", command_line=line)

    def wait_event(self, name, match=lambda data: True, timeout=120, since=0):
        """Wait for a QMP event; since is a length of self.events from before."""
        def found():
            return next((e for e in self.events[since:] if e["event"] == name and match(e.get("data", {}))), None)
        self.wait_for(found, timeout, f"QEMU's event {name}")
        return found()

    def trace(self, pattern, on=True):
        """Switch trace events of QEMU on or off; they go to qemu_log()."""
        self.qmp("trace-event-set-state", name=pattern, enable=on)

    def qemu_log(self):
        """All that QEMU wrote on its standard error, trace events included."""
        with open(self._log("qemu"), encoding="utf-8", errors="replace") as f:
            return f.read()

    # -- inside

    def wait_for(self, condition, timeout, what):
        """Wait for a condition on what the machine has reported."""
        with self.changed:
            self.changed.wait_for(lambda: condition() or self.dead, timeout)
            if condition():
                return
        if self.dead:
            raise HostError(self._explain(f"{self.dead} (waiting for {what})"))
        raise HostError(self._explain(f"waited {timeout} s in vain for {what}"))

    def send(self, op, **fields):
        """One request to the agent."""
        self._send(self._control, dict(fields, op=op))

    def _send_qmp(self, message):
        self._send(self._monitor, message)

    def _send(self, sock, message):
        try:
            with self.changed:
                sock.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.wait_for(lambda: False, 60, "a request to be sent")

    def _read(self, sock, handler):
        try:
            for line in sock.makefile("rb"):
                with self.changed:
                    handler(json.loads(line))
                    self.changed.notify_all()
        except ConnectionError:
            pass    # QEMU ended with something of ours unread
        process = self.process
        rc = process.wait() if process else None
        with self.changed:
            self.dead = self.dead or f"the machine has ended (QEMU's exit code {rc})"
            self.changed.notify_all()

    def _on_agent(self, event):
        kind = event["ev"]
        if kind == "out":
            self._jobs[event["id"]].add_output(base64.b64decode(event["data"]))
        elif kind == "exit":
            self._jobs.pop(event["id"]).rc = event["rc"]
        elif kind == "kmsg":
            self.kernel_log.append((event["time"], event["prio"], event["text"]))
            if PING in event["text"]:
                self.pings.append(time.monotonic())
            if not self._kmsg_file.closed:
                self._kmsg_file.write(f"<{event['prio']}>[{event['time']:12.6f}] {event['text']}\n")
                self._kmsg_file.flush()
        else:
            self._state[kind] = event

    def _on_qmp(self, message):
        if "QMP" in message:
            self._state["greeting"] = message
        elif "event" in message:
            self.events.append(message)
        elif "id" in message:
            self._qmp_answers[message["id"]] = message

    def _log(self, kind):
        return os.path.join(self.logs, f"{self.name}.{kind}")

    def _explain(self, text):
        parts = [f"host {self.name}: {text}"]
        for kind in ("console", "qemu"):
            try:
                with open(self._log(kind), encoding="utf-8", errors="replace") as f:
                    tail = f.read().splitlines()[-40:]
            except FileNotFoundError:
                continue
            if tail:
                parts += [f"--- end of {self._log(kind)}:", *tail]
        return "\n".join(parts)

    def _copy_modules(self):
        kernel = self.spec.kernel
        if self.spec.boot and kernel not in OWN_KERNELS or modules_part(kernel) not in paths():
            return
        kver = path(f"kver-{kernel}")
        source, target = os.path.join(path(modules_part(kernel)), kver), os.path.join(self.share, "modules", kver)
        if not os.path.isdir(source):
            raise HostError(f"there is no driver for {kver}: vm/setup could not build it; use another kernel than '{kernel}'")
        os.makedirs(target, exist_ok=True)
        for name in os.listdir(source):
            shutil.copyfile(os.path.join(source, name), os.path.join(target, name + ".tmp"))
            os.replace(os.path.join(target, name + ".tmp"), os.path.join(target, name))

    def _argv(self, control, monitor):
        spec = self.spec
        kernel, initrd = (os.path.join(spec.boot, f"{name}-{spec.kernel}") if spec.boot else path(f"{name}-{spec.kernel}")
                          for name in ("vmlinuz", "initrd"))
        root = f"file={spec.boot}/root.img" if spec.boot else f"file={path('image')},readonly=on"
        append = ("console=ttyS0 panic=-1 oops=panic iommu.passthrough=0 intel_iommu=on mitigations=off "
                  "no_timer_check tsc=reliable nowatchdog cryptomgr.notests=1 log_buf_len=4M "
                  + ("nvmevm_system=1 " if spec.boot else "")
                  # on a busy machine a kernel that measures it is wrong, and nested guests come to a host with other clocks
                  + (f"tsc_early_khz={tsc_khz()} " if platform.machine() == "x86_64" else "") + spec.append)
        argv = [*qemu_argv(), "-name", f"nvmevm-{self.name}", "-machine", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", CPU,
                "-smp", str(spec.cpus), "-m", spec.memory, "-display", "none", "-vga", "none", "-nic", "none",
                "-nodefaults", "-no-reboot", "-device", "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on",
                "-kernel", kernel, "-initrd", initrd, "-append", append,
                "-drive", f"{root},if=none,id=root,format=raw,file.locking=off",
                "-device", "virtio-blk-pci,drive=root,addr=0x10",
                "-chardev", f"socket,id=control,fd={control}", "-device", "virtio-serial-pci,addr=0x11",
                "-device", "virtserialport,chardev=control,name=nvmevm",
                "-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control",
                "-device", "virtio-rng-pci,addr=0x12"]
        for n, (tag, directory, mode) in enumerate((("share", self.share, ""), ("l1", f"{VM}/l1", ",readonly=on"))):
            argv += ["-fsdev", f"local,id={tag},path={directory},security_model=none,multidevs=remap{mode}",
                     "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag},addr={0x13 + n:#x}"]
        if spec.net:
            argv += self._net_argv(*spec.net)
        if spec.console:
            argv += ["-serial", "mon:stdio"]
        else:
            argv += ["-serial", f"file:{self._log('console')}"]
        for n, pf in enumerate(spec.pfs):
            argv += self._pf_argv(n, pf, first=pf.subsys not in [p.subsys for p in spec.pfs[:n]])
        return argv + spec.args

    def _net_argv(self, role, link, address):
        end = "server=on" if role == "listen" else "server=off,reconnect-ms=100"
        mac = f"52:54:00:77:00:{int(address.split('/')[0].split('.')[3]):02x}"
        return ["-netdev", f"stream,id=net,{end},addr.type=unix,addr.path={link}",
                "-device", f"virtio-net-pci,netdev=net,mac={mac},addr=0x15,romfile="]

    def _pf_argv(self, n, pf, first):
        serial = pf.serial or f"nvmevm-{pf.subsys}"
        argv = []
        if first:
            subsys = {"id": f"subsys-{pf.subsys}", "nqn": f"nvmevm-{pf.subsys}"}
            if pf.cntlid_base is not None:
                subsys["cntlid-base"] = pf.cntlid_base
            argv += ["-device", properties("nvme-subsys", subsys)]
        props = {"id": f"nv{n}", "serial": serial, "subsys": f"subsys-{pf.subsys}", "bus": f"rp{n}"}
        if pf.vfs:
            flexible = {"vq": max(2, pf.vq) * pf.vfs, "vi": max(1, pf.vi) * pf.vfs}
            props.update({"max_ioqpairs": flexible["vq"] + 2, "msix_qsize": flexible["vi"] + 3, "sriov_max_vfs": pf.vfs,
                          "sriov_vq_flexible": flexible["vq"], "sriov_vi_flexible": flexible["vi"]})
        if pf.lm != "off":
            props["lm"] = pf.lm
        if pf.lm == "tp4159":
            props.update(p.split("=", 1) for p in os.environ.get("NVMEVM_TP4159", "").split(",") if p)
        props.update(pf.props)
        argv += ["-device", f"pcie-root-port,id=rp{n},slot={n + 1},chassis={n + 1},bus=pcie.0,addr={n + 1:#x}",
                 "-device", properties("nvme", props)]
        if first:
            image = pf.image or os.path.join(self._work, f"{pf.subsys}.img")
            if not os.path.exists(image):
                make_image(image, pf.size)
            argv += self._namespace_argv(n, pf.subsys, image, {"nsid": 1} | pf.ns)
            for nsid, image in enumerate(pf.more_images, 2):
                argv += self._namespace_argv(n, f"{pf.subsys}-{nsid}", image, {"nsid": nsid}, ",discard=unmap")
        return argv

    def _namespace_argv(self, n, name, image, props, drive=""):
        """A namespace of the subsystem of a PF, which has its identifiers from its name."""
        digest = hashlib.sha256(name.encode()).hexdigest()
        ns = {"shared": "on", "share-rw": "on", "uuid": uuid.UUID(digest[:32]), "nguid": digest[:32], "eui64": int(digest[32:46], 16)} | props
        return ["-drive", f"file={image},if=none,id=disk-{name},format=raw,cache=writeback,aio=threads,file.locking=off{drive}",
                "-device", f"nvme-ns,drive=disk-{name},bus=nv{n}" + "".join(f",{k}={v}" for k, v in ns.items())]


def start_all(hosts):
    """Start several hosts at once; when one does not come up, none is left running."""
    with concurrent.futures.ThreadPoolExecutor(len(hosts)) as pool:
        starts = [pool.submit(h.start) for h in hosts]
    for s in starts:
        if s.exception():
            for h in hosts:
                h.kill()
            raise s.exception()


if __name__ == "__main__":
    sys.exit("host.py is a library; see vm/run and vm/shell")
