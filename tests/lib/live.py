# SPDX-License-Identifier: GPL-2.0-only
"""What programs that migrate guests between two virtual hosts have in common: pieces of tests, and how they are run.

Each test boots nothing but guests: all share two hosts. The guest's errors, QEMU's messages
and the hosts' kernel logs are judged. Prints TAP.
"""

import argparse
import os
import sys
import tempfile
import traceback

import host
import nested
from nested import TP4159, Failure
from tap import Tap

TESTS = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))

# Debian's QEMU of trixie-backports
NEWER = ("/mnt/share/qemu-backports/qemu-system-x86_64", "-L", "/mnt/share/qemu-backports/qemu")


def expect(condition, what):
    """What has to be true."""
    if not condition:
        raise Failure(what)


class Program(nested.Pair):
    """A program of tests, which are its methods test_...; the doc string of each is its name."""

    more = ()       # PFs of the hosts, as host.host_specs() has them

    def __init__(self, args, logs):
        super().__init__(logs)
        self.tap = None
        self.kernel = args.kernel
        self.logging = args.kernel in host.LOGGING_KERNELS

    def problem(self, text):
        self.problems.append(text)

    # -- pieces of tests

    def works(self, n, before, when):
        """The guest works; what it says."""
        status = n.guest(f"progress {nested.PROGRESS}")
        self.judge(status, before, when)
        return status

    def works_to_the_end(self, n, before):
        """The guest works, and all its data is right."""
        status = self.works(n, before, "the guest that has arrived")
        final = n.guest("finish", timeout=300)
        self.judge(dict(final, ended=final["died"]), status, "the end")
        if final["unreadable"]:
            self.problem(f"the final reading finds {final['unreadable']} region(s) of the disk with wrong data")
        if not self.problems:   # or evidence() asks it
            n.quit()

    def log_of(self, h):
        """The kernel's log of a host, all of it."""
        h.sync_log()
        return [text for _, _, text in h.kernel_log]

    def reason(self, h, seen, word):
        """Behind a position of a host's log the driver gives a reason, with this word in it."""
        reasons = [line for line in self.log_of(h)[seen:] if self.vfs[h.name][0] in line and word in line]
        expect(reasons, f"the log of host {h.name} does not say why")
        print(f"# {reasons[0]}")

    def small(self, h, queues):
        """Give the VF of a host so many queues."""
        vf = self.vfs[h.name][0]
        h.run_ok(f"lm-bind {vf} none && lm-online {TP4159} {self.hosts.index(h) + 1} {queues} {queues} && lm-bind {vf} nvme-vfio-pci")

    # -- one after the other

    def end_guests(self):
        for n in self.nested:
            if n.job and n.job.rc is None and not n.host.dead:
                n.job.kill()
                n.job.wait(60)
        for h in self.hosts:
            if not h.dead:
                self.rebind("none")

    def one(self, test):
        """One test."""
        self.nested, self.problems, reason = [], [], None
        try:
            test()
        except (Failure, host.HostError) as e:
            reason = str(e)
        except Exception:   # noqa: BLE001 - a fault of the test is a failure of this one only
            reason = traceback.format_exc()
        try:
            evidence = list(self.evidence()) if reason or self.problems else []
            self.end_guests()
            self.check_hosts()
        except (Failure, host.HostError) as e:
            reason, evidence = reason or str(e), []
        lines = ([reason] if reason else []) + self.problems
        for title, text in evidence:
            lines += [f"--- end of {title}:", *text]
        self.tap.result(test.__doc__, not reason and not self.problems, lines)

    def run(self, names):
        tests = [getattr(self, name) for name in dir(self) if name.startswith("test_")]
        if names:
            tests = [t for t in tests if any(n in t.__name__ or n in t.__doc__ for n in names)]
        else:
            tests = [t for t in tests if self.kernel in getattr(t, "where", host.KERNELS)]
        self.tap = Tap(len(tests))
        for test in tests:
            self.one(test)
        return self.tap.end()


def arguments(description):
    p = argparse.ArgumentParser(prog=os.path.relpath(sys.argv[0], os.path.dirname(TESTS)), description=description,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kernel", choices=host.KERNELS, default=os.environ.get("NVMEVM_KERNEL", "stable"), help="kernel of the hosts")
    p.add_argument("--logs", metavar="DIR", help="directory for the logs (default: a new one, deleted afterwards)")
    p.add_argument("names", nargs="*", metavar="TEXT", help="only tests with TEXT in their name")
    return p.parse_args()


def run(cls, description):
    """Run the tests of a class; returns the exit code."""
    args = arguments(description)
    host.setup_host(args.kernel, "guest", "qemu-backports")
    with tempfile.TemporaryDirectory(prefix="nvmevm-") as directory:
        logs = os.path.abspath(args.logs or os.path.join(directory, "logs"))
        os.makedirs(logs, exist_ok=True)
        tests = cls(args, logs)
        try:
            tests.boot(directory, args.kernel, {"vfio-filter.so": os.path.join(TESTS, "build", "vfio-filter.so"),
                                                "qemu-backports": host.path("qemu-backports")}, more=cls.more)
            return tests.run(args.names)
        finally:
            tests.stop()


def main(cls, description):
    """A program with the tests of a class."""
    try:
        sys.exit(run(cls, description))
    except host.HostError as e:
        sys.exit(f"error: {e}")
    except KeyboardInterrupt:
        host.end_all()
        sys.exit(130)
