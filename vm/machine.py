# SPDX-License-Identifier: GPL-2.0-only
"""Debian machines to install things on: the tree of vm/setup's part "install", each with changes of its own on top.

    enter()                             # first thing in a program
    setup("install")
    with Machine("plain") as m:
        rc, out = m.run("apt-get install ...")
        with Machine("other", m) as n:  # begins as m is now; m is not to be used meanwhile
            ...

The changes are in memory and end with the machine. Commands run in a chroot, without a network:
such a machine has no kernel of its own.
"""

import os
import subprocess
import sys
import tempfile

import host

ENV = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "INITRD=No"]
# What a host needs neither to boot nor to run tests: makes its image smaller
HEAVY = ("boot/*", "usr/include", "usr/lib/gcc", "usr/libexec/gcc", "usr/share/doc", "usr/share/locale", "usr/share/man", "usr/src/linux-*",
         "var/cache/*", "var/lib/apt")
AGENT = """[Unit]
Description=Agent of the virtual host

[Service]
Type=exec
ExecStart=/mnt/l1/init
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
"""
# Units that do nothing for these hosts but take time
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
          "getty@tty1.service", "libvirt-guests.service", "logrotate.timer", "man-db.timer", "serial-getty@ttyS0.service", "systemd-tmpfiles-clean.timer")


def enter():
    """Go on in a mount namespace of our own: whatever happens, no mount is left behind."""
    if os.environ.get("NVMEVM_MOUNTS") != str(os.getpid()):
        os.environ["NVMEVM_MOUNTS"] = str(os.getpid())
        os.execvp("unshare", ["unshare", "-m", sys.executable, *sys.argv])


def mount(*argv):
    subprocess.run(["mount", *argv], check=True)


class Machine:
    """One machine."""

    def __init__(self, name, base=None):
        self.name = name
        self.base = base
        self.kernels = {s: self._read(f"kernel-{s}") for s in ("stable", "backports")}

    @staticmethod
    def _read(name):
        with open(os.path.join(host.path("install"), "tree/etc/nvmevm", name), encoding="ascii") as f:
            return f.read().strip()

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix=f"nvmevm-{self.name}-")
        mount("-t", "tmpfs", "tmpfs", self.directory)
        if self.base:
            self.base.unmount()
        for d in ("upper", "work", "root"):
            os.mkdir(os.path.join(self.directory, d))
        self.mount()
        return self

    def __exit__(self, *_):
        self.unmount()
        subprocess.run(["umount", self.directory], check=True)
        os.rmdir(self.directory)
        if self.base:
            self.base.mount()

    def layers(self):
        """Directories with its changes, the newest first, and the tree."""
        return [os.path.join(self.directory, "upper"), *(self.base.layers() if self.base else [os.path.join(host.path("install"), "tree")])]

    def mount(self):
        upper, *lower = self.layers()
        self.root = os.path.join(self.directory, "root")
        mount("-t", "overlay", "overlay", "-o", f"lowerdir={':'.join(lower)},upperdir={upper},workdir={self.directory}/work", self.root)
        for d in ("proc", "sys", "dev"):
            mount("--rbind", f"/{d}", f"{self.root}/{d}")

    def unmount(self):
        subprocess.run(["umount", "-R", "-l", self.root], check=True)

    def path(self, name):
        """A path of the machine, here."""
        return os.path.join(self.root, name.lstrip("/"))

    def read(self, name):
        with open(self.path(name), encoding="utf-8", errors="replace") as f:
            return f.read()

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)

    def run(self, command, timeout=600):
        """Run a shell command; returns (exit code, output)."""
        r = subprocess.run(["unshare", "-n", "chroot", self.root, *ENV, "sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout, check=False)
        return r.returncode, r.stdout

    def run_ok(self, command, timeout=600):
        """The same, returning the output; an error where the exit code is not 0."""
        rc, out = self.run(command, timeout)
        if rc:
            raise host.CommandError(f"machine {self.name}: exit code {rc} from: {command}\n{out[-4000:]}")
        return out

    def bootable(self, directory):
        """Make of it what a virtual host boots (HostSpec.boot), in this directory. It can do nothing else afterwards."""
        self.write("/etc/systemd/system/nvmevm-agent.service", AGENT)
        self.run_ok("rm -rf " + " ".join(f"/{name}" for name in HEAVY) + "; cat /proc/sys/kernel/random/uuid | tr -d - > /etc/machine-id; "
                    f"systemctl mask {' '.join(MASKED)}; systemctl set-default multi-user.target; "
                    "systemctl add-wants multi-user.target nvmevm-agent.service; touch /etc/.updated /var/.updated")
        for suite in self.kernels:
            for name in (f"vmlinuz-{suite}", f"initrd-{suite}"):
                os.symlink(os.path.join(host.path("install"), name), os.path.join(directory, name))
        for d in ("proc", "sys", "dev"):
            subprocess.run(["umount", "-R", "-l", self.path(d)], check=True)
        image = os.path.join(directory, "root.img")
        host.make_image(image, 3 << 30)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=1,root_owner=0:0", "-d", self.root, image], check=True)

