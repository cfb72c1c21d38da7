# SPDX-License-Identifier: GPL-2.0-only
"""Brings up the physical functions of the virtual host and their VFs."""

import fcntl
import os
import select
import socket
import struct
import subprocess
import time

ADMIN_CMD = 0xC0484E41  # NVME_IOCTL_ADMIN_CMD
IDENTIFY = 0x06
VIRT_MGMT = 0x1C
VQ, VI = 0, 1
WAIT = 120


class Uevents:
    """Waits for a condition, looked at again whenever the kernel reports a device event."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 15)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind((0, 1))

    def wait(self, what, condition):
        end = time.monotonic() + WAIT
        while not (value := condition()):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                raise RuntimeError(f"waited {WAIT} s in vain for {what}")
            self.sock.recv(65536)
        return value


def write(path, text):
    """Write one value to a sysfs file."""
    with open(path, "w", encoding="ascii") as f:
        f.write(str(text))


def read(path):
    with open(path, encoding="ascii") as f:
        return f.read().strip()


def admin(ctrl, opcode, cdw10, cdw11=0, size=0):
    """One admin command through the character device of a controller; returns its data."""
    import ctypes
    data = ctypes.create_string_buffer(size or 1)
    cmd = struct.pack("=BBHIIIQQIIIIIIIIII", opcode, 0, 0, 0, 0, 0, 0,
                      ctypes.addressof(data) if size else 0, 0, size,
                      cdw10, cdw11, 0, 0, 0, 0, WAIT * 1000, 0)
    with open(ctrl, "rb") as f:
        status = fcntl.ioctl(f, ADMIN_CMD, bytearray(cmd))
    if status:
        raise RuntimeError(f"{ctrl}: opcode {opcode:#x} cdw10 {cdw10:#x} gave status {status:#x}")
    return data.raw[:size]


def virt_mgmt(ctrl, cntlid, action, resource=0, count=0):
    admin(ctrl, VIRT_MGMT, action | resource << 8 | cntlid << 16, count)


def secondary(ctrl):
    """Controller ids of the VFs by VF number."""
    data = admin(ctrl, IDENTIFY, 0x15, size=4096)
    entries = [struct.unpack_from("<HHB3xHHH", data, 32 * (i + 1)) for i in range(data[0])]
    return {vfn: scid for scid, _pcid, _scs, vfn, _nvq, _nvi in entries}


def find_ctrl(bdf):
    """Controller device of a PCI function, once the driver has made it ready."""
    base = f"/sys/bus/pci/devices/{bdf}/nvme"
    for name in os.listdir(base) if os.path.isdir(base) else []:
        if read(f"{base}/{name}/state") == "live":
            return name
    return None


def find_namespace(ctrl):
    """Name of the namespace's block device, shared by all controllers of a subsystem."""
    base = "/sys/class/nvme-subsystem"
    for subsys in os.listdir(base):
        if os.path.exists(f"{base}/{subsys}/{ctrl}"):
            for name in sorted(os.listdir(f"{base}/{subsys}")):
                if os.path.exists(f"/sys/block/{name}"):
                    return name
    return None


def give_up_flexible(uevents, bdf, ctrl):
    """All flexible queues and interrupts of the PF go to its VFs; that takes a reset."""
    cntlid = int(read(f"/sys/class/nvme/{ctrl}/cntlid"))
    virt_mgmt(f"/dev/{ctrl}", cntlid, 1, VQ)
    virt_mgmt(f"/dev/{ctrl}", cntlid, 1, VI)
    write(f"/sys/bus/pci/devices/{bdf}/reset", 1)
    uevents.wait(f"{bdf} after its reset", lambda: find_ctrl(bdf))


def find_vf(bdf, n):
    """Address of the n-th VF of a PF."""
    return os.path.basename(os.readlink(f"/sys/bus/pci/devices/{bdf}/virtfn{n - 1}"))


def provide_vfs(bdf, dev, vfs, vq, vi):
    """Give a PF its VFs, each with its resources and online; their controller ids by number."""
    numvfs = f"/sys/bus/pci/devices/{bdf}/sriov_numvfs"
    if int(read(numvfs)) != vfs:
        write(f"/sys/bus/pci/devices/{bdf}/sriov_drivers_autoprobe", 0)
        write(numvfs, vfs)
    cntlids = secondary(dev)
    for n in range(1, vfs + 1):
        virt_mgmt(dev, cntlids[n], 7)
        virt_mgmt(dev, cntlids[n], 8, VQ, vq)
        virt_mgmt(dev, cntlids[n], 8, VI, vi)
        virt_mgmt(dev, cntlids[n], 9)
    return cntlids


def setup_pf(uevents, number, bdf, vfs, vq, vi):
    """Bring up one PF and its VFs; returns what commands find in their environment."""
    ctrl = uevents.wait(f"the controller at {bdf}", lambda: find_ctrl(bdf))
    dev = f"/dev/{ctrl}"
    env = {f"LM_PF{number}": bdf, f"LM_CTRL{number}": dev, f"LM_CNTLID{number}": read(f"/sys/class/nvme/{ctrl}/cntlid")}
    env[f"LM_NS{number}"] = "/dev/" + uevents.wait(f"the namespace of {bdf}", lambda: find_namespace(ctrl))
    if vfs:
        env[f"LM_VFS{number}"] = f"{vfs} {vq} {vi}"
        give_up_flexible(uevents, bdf, ctrl)
        for n, cntlid in sorted(provide_vfs(bdf, dev, vfs, vq, vi).items())[:vfs]:
            env[f"LM_VF{number}_{n}"] = find_vf(bdf, n)
            env[f"LM_CNTLID{number}_{n}"] = str(cntlid)
    return env


def restore_pf(bdf, vfs, vq, vi):
    """The VFs again, after the PF was reset, bound anew or found anew; their addresses."""
    ctrl = Uevents().wait(f"the controller at {bdf}", lambda: find_ctrl(bdf))
    provide_vfs(bdf, f"/dev/{ctrl}", vfs, vq, vi)
    return [find_vf(bdf, n) for n in range(1, vfs + 1)]


def setup(ip, functions):
    """Everything the outer machine asked for; the environment of commands."""
    uevents = Uevents()
    env = {}
    if ip:
        name = uevents.wait("the network card", lambda: [n for n in os.listdir("/sys/class/net") if n != "lo"])[0]
        subprocess.run(["ip", "link", "set", name, "mtu", "16000", "up"], check=True)
        subprocess.run(["ip", "addr", "add", ip, "dev", name], check=True)
        address = ip.split("/")[0]
        net, _, last = address.rpartition(".")
        env.update(LM_IP=address, LM_PEER=f"{net}.{3 - int(last)}")
    for n, f in enumerate(functions):
        env.update(setup_pf(uevents, n, **f))
    return env
