# SPDX-License-Identifier: GPL-2.0-only
"""Domains of libvirt on virtual hosts: a guest with a VF of PF 0 each, which checks its disk all the time.

    boots = bootable(m, directory, 1)           # m: a Machine with libvirt
    spec = dataclasses.replace(host.one_host(), boot=boots[0], share=share(...))
    guest = Guest()
    h.run_ok(guest.start())
    guest.works(h)
"""

import os
import shutil
import subprocess

import host
from package import MODULE, expect, show

PF0, VF = "0000:01:00.0", "0000:01:00.1"
CONSOLES = "/var/log/libvirt/qemu"
AUTOPROBE = f"/sys/bus/pci/devices/{PF0}/sriov_drivers_autoprobe"
KERNEL = "cp /mnt/share/vmlinux /mnt/share/initramfs /var/lib/libvirt/images/"

# The driver for a kernel that the package is not built for, found by its alias like the package's
OTHER_DRIVER = """
set -e
d=/lib/modules/$(uname -r)
mkdir -p $d/updates
cp /mnt/share/modules/$(uname -r)/nvme-vfio-pci.ko $d/updates/
depmod
"""

DOMAIN = """<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>160</memory>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>/var/lib/libvirt/images/vmlinux</kernel>
    <initrd>/var/lib/libvirt/images/initramfs</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 nvme.write_queues=1 nvme.poll_queues=1 nvme_core.admin_timeout=30 {append}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='host-passthrough'/>
  <devices>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='file'><source path='{console}'/><target port='0'/></serial>
    <serial type='unix'><source mode='bind' path='{socket}'/><target port='1'/></serial>
    <hostdev mode='subsystem' type='pci' managed='yes'>
      <source><address domain='0x{vf[0]}' bus='0x{vf[1]}' slot='0x{vf[2]}' function='0x{vf[3]}'/></source>
      <alias name='ua-disk'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x05' function='0x0'/>
    </hostdev>
  </devices>
{override}</domain>
"""
# For a domain that is migrated without tracking of memory
OVERRIDE = """  <qemu:override>
    <qemu:device alias='ua-disk'>
      <qemu:frontend>
        <qemu:property name='enable-migration' type='string' value='on'/>
      </qemu:frontend>
    </qemu:device>
  </qemu:override>
"""

# Asks the guest to work for a while, and prints its answer: socket, number of the question, request.
# Until the first question the guest says "ready".
ASK = """
import socket, sys
path, number, request = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as s:
    s.settimeout(240)
    s.connect(path)
    f = s.makefile("rw")
    for line in f if number == "1" else ():
        if line.strip() == "ready":
            break
    f.write(f"{number} {request}\\n")
    f.flush()
    for line in f:
        if line.startswith(number + " "):
            print(line)
            break
"""


def script(text, *args):
    """A command that runs a program in Python in a host."""
    return f"python3 -S - {' '.join(args)} <<'END'{text}END\n"


class Guest:
    """A domain; load: what it does with its disk."""

    def __init__(self, name="guest", vf=VF, untracked=False, append="", load="progress 20"):
        self.name, self.vf, self.untracked, self.append, self.load = name, vf, untracked, append, load
        self.socket = f"/var/lib/libvirt/qemu/{name}.sock"
        self.console = f"{CONSOLES}/{name}-console.log"
        self.asked = 0

    def xml(self, **fields):
        """Its description, with other values of these."""
        values = vars(self) | fields
        domain, bus, rest = values["vf"].split(":")
        override = OVERRIDE if values["untracked"] else ""
        uuid = f"00000000-0000-4000-8000-{sum(map(ord, self.name)):012x}"
        return DOMAIN.format(**values | {"vf": (domain, bus, *rest.split(".")), "override": override, "uuid": uuid})

    def start(self):
        """A command that defines and starts it."""
        self.asked = 0
        return f"cat > /root/{self.name}.xml <<'END'\n{self.xml()}END\nvirsh define /root/{self.name}.xml && virsh start {self.name}"

    def asking(self, request):
        """A command that asks the guest."""
        self.asked += 1
        return script(ASK, self.socket, str(self.asked), f"'{request}'")

    def works(self, h):
        """It reads and writes the disk, and has seen no error."""
        rc, answer = h.run(self.asking(self.load), timeout=300)
        self.judge(h, rc, answer)

    def judge(self, h, rc, answer):
        """The same by its answer."""
        if rc or not answer.startswith(f"{self.asked} "):
            answer += f"\nits console: {h.run(f'cat {self.console}')[1]}"
        expect(rc == 0 and answer.startswith(f"{self.asked} "), f"the guest does not answer: {answer}")
        status = dict(word.partition("=")[::2] for word in answer.split()[1:])
        show(f"{self.name} on {h.name}", answer.strip())
        moved = ("swept",) if "sweep" in self.load else ("reads", "writes", "admin")
        expect(status["stalled"] == "0" and all(int(status[k]) >= 20 for k in moved), "the guest does not work")
        errors = ("ended", "io_errors", "verify_errors", "resets", "timeouts", "admin_errors", "stale", "other", "log_lost")
        expect(not any(int(status[k]) for k in errors), f"the guest sees errors: {answer}")


def driver(h, vf=VF):
    """The driver that a VF is bound to; none: an empty string."""
    return h.run_ok(f"basename $(readlink /sys/bus/pci/devices/{vf}/driver) 2> /dev/null; true").strip()


def mark(h):
    """A position in the log."""
    h.sync_log()
    return len(h.kernel_log)


def log_of(h, since, vf=VF):
    """What the driver has logged of a VF from there on."""
    h.sync_log()
    return [text for _, _, text in h.kernel_log[since:] if text.startswith(f"{MODULE} {vf}: ")]


def bound(h, since, vf=VF):
    """The VF is bound to the driver, which reports that it can be migrated."""
    expect(driver(h, vf) == MODULE, f"{vf} is bound to {driver(h, vf)}")
    lines = log_of(h, since, vf)
    expect(any("migration by TP4159" in line for line in lines), f"the log does not say that {vf} can be migrated: {lines}")
    show("log", *lines)


def share(directory, name):
    """A directory that a host gets."""
    path = os.path.join(directory, f"share-{name}")
    os.mkdir(path)
    shutil.copy(host.path("guest-kernel"), os.path.join(path, "vmlinux"))
    shutil.copy(host.path("guest-initramfs"), os.path.join(path, "initramfs"))
    return path


def bootable(m, directory, number):
    """So many directories to boot (HostSpec.boot), which begin alike, of a machine; it can do nothing else afterwards."""
    boots = [os.path.join(directory, f"boot-{m.name}-{n}") for n in range(number)]
    os.mkdir(boots[0])
    m.bootable(boots[0])
    for kernel in host.OWN_KERNELS:
        for name in (f"vmlinuz-{kernel}", f"initrd-{kernel}"):
            if name in host.paths():
                os.symlink(host.path(name), os.path.join(boots[0], name))
    for other in boots[1:]:
        subprocess.run(["cp", "-a", "--sparse=always", boots[0], other], check=True)
    return boots
