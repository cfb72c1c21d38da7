#!/usr/bin/env python3
#
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Host managed live migration of NVMe controllers (TP4159)

A virtual function moves from one QEMU to another, which share a medium, as it
does between two hosts. There is no guest: the test is the driver.
"""

import os
import struct

from qemu.machine import QEMUQtestMachine
from qemu.qmp import ExecuteError
from qemu_test import QemuSystemTest

ECAM = 0xb0000000
BAR = 0xe0000000
VF_BAR = 0xe0800000
PF, VF = 4 << 3, (4 << 3) + 1

SRIOV_CAP = 0x10

# Registers
CC, CSTS, AQA, ASQ, ACQ, DOORBELLS = 0x14, 0x1c, 0x24, 0x28, 0x30, 0x1000

# Opcodes
WRITE, READ = 0x01, 0x02
CREATE_SQ, CREATE_CQ, IDENTIFY = 0x01, 0x05, 0x06
VIRT_MNGMT, MIGRATION_SEND, MIGRATION_RECV = 0x1c, 0x41, 0x42

SUSPEND, RESUME, SET = range(3)
ENTRIES = 16
STATE = 2 * 4096


class Host:
    """A machine with a PF that has one VF, and its memory"""

    def __init__(self, vm, cntlid):
        self.vm = vm
        self.cntlid = cntlid
        vm.launch()
        self.outl(0xcf8, 0x80000060)
        self.outl(0xcfc, ECAM | 1)
        self.pf = Controller(self, BAR, 0x100000)
        self.write_config(PF, 0x10, BAR)
        self.write_config(PF, 0x04, 6)
        self.pf.enable()

    def qtest(self, *words):
        return self.vm.qtest(' '.join(w if isinstance(w, str) else hex(w)
                                      for w in words)).split()

    def outl(self, port, value):
        self.qtest('outl', port, value)

    def readl(self, addr):
        return int(self.qtest('readl', addr)[1], 16)

    def writel(self, addr, value):
        self.qtest('writel', addr, value)

    def read(self, addr, size):
        return bytes.fromhex(self.qtest('read', addr, size)[1][2:])

    def write(self, addr, data):
        self.qtest('write', addr, len(data), '0x' + data.hex())

    def config(self, devfn, offset):
        return ECAM + (devfn << 12) + offset

    def write_config(self, devfn, offset, value):
        self.writel(self.config(devfn, offset), value)

    def sriov(self):
        offset = 0x100
        while True:
            header = self.readl(self.config(PF, offset))
            if header & 0xffff == SRIOV_CAP:
                return offset
            offset = header >> 20

    def enable_vf(self):
        """Give the VF two queue pairs and put it online."""
        cap = self.sriov()
        self.write_config(PF, cap + 0x24, VF_BAR)
        self.write_config(PF, cap + 0x28, 0)
        self.qtest('writew', self.config(PF, cap + 0x10), 1)
        self.qtest('writew', self.config(PF, cap + 0x08), 9)
        for resource, action, number in (0, 8, 3), (1, 8, 3), (0, 9, 0):
            self.pf.admin(VIRT_MNGMT, cdw11=number,
                          cdw10=self.vf_id << 16 | resource << 8 | action)
        self.write_config(VF, 0x04, 6)
        return Controller(self, VF_BAR, 0x200000)

    @property
    def vf_id(self):
        return self.cntlid + 1

    def send(self, select, cdw11=0, **kwargs):
        self.pf.admin(MIGRATION_SEND, cdw11=cdw11 | self.vf_id,
                      **({'cdw10': select} | kwargs))

    def save(self):
        self.send(SUSPEND, 1 << 16)
        result = self.pf.admin(MIGRATION_RECV, data=0x400000, cdw10=1 << 16,
                               cdw11=1 << 16 | self.vf_id,
                               cdw15=STATE // 4 - 1)
        header = self.read(0x400000, 48)
        nvmecss, _, vss = struct.unpack_from('<QQQ', header, 16)
        return result, self.read(0x400000, 48 + 4 * (nvmecss + vss))

    def load(self, state):
        self.send(SUSPEND, 1 << 16)
        self.write(0x400000, state)
        self.send(SET, 1 << 24 | 1 << 16, data=0x400000,
                  cdw10=3 << 16 | SET, cdw15=len(state) // 4)
        self.send(RESUME)


class Controller:
    """A controller, and the queues that a driver has for it"""

    def __init__(self, host, bar, memory):
        self.host = host
        self.bar = bar
        self.memory = memory
        self.tail, self.head, self.phase = [0, 0], [0, 0], [1, 1]

    def sq(self, qid):
        return self.memory + qid * 0x2000

    def cq(self, qid):
        return self.sq(qid) + 0x1000

    def enable(self):
        self.host.writel(self.bar + AQA,
                         (ENTRIES - 1) << 16 | ENTRIES - 1)
        self.host.qtest('writeq', self.bar + ASQ, self.sq(0))
        self.host.qtest('writeq', self.bar + ACQ, self.cq(0))
        self.host.writel(self.bar + CC, 4 << 20 | 6 << 16 | 1)
        while not self.host.readl(self.bar + CSTS) & 1:
            pass

    def submit(self, qid, opcode, nsid=0, data=0, cdw10=0, cdw11=0, cdw15=0):
        prp2 = data + 0x1000 if data else 0
        command = struct.pack('<BBHIQQQQ6I', opcode, 0, 0, nsid, 0, 0, data,
                              prp2, cdw10, cdw11, 0, 0, 0, cdw15)
        self.host.write(self.sq(qid) + 64 * self.tail[qid], command)
        self.tail[qid] = (self.tail[qid] + 1) % ENTRIES
        self.host.writel(self.bar + DOORBELLS + 8 * qid, self.tail[qid])

    def completed(self, qid):
        entry = self.host.read(self.cq(qid) + 16 * self.head[qid], 16)
        result, _, _, _, _, status = struct.unpack('<IIHHHH', entry)
        if status & 1 != self.phase[qid]:
            return None
        return result, status >> 1

    def complete(self, qid):
        """Wait for the next completion of this queue."""
        while not (entry := self.completed(qid)):
            pass
        self.head[qid] = (self.head[qid] + 1) % ENTRIES
        self.phase[qid] ^= not self.head[qid]
        self.host.writel(self.bar + DOORBELLS + 8 * qid + 4,
                         self.head[qid])
        assert not entry[1], f'status {entry[1]:#x}'
        return entry[0]

    def admin(self, opcode, **kwargs):
        self.submit(0, opcode, **kwargs)
        return self.complete(0)

    def create_queues(self):
        size_and_id = (ENTRIES - 1) << 16 | 1
        self.admin(CREATE_CQ, data=self.cq(1), cdw10=size_and_id, cdw11=1)
        self.admin(CREATE_SQ, data=self.sq(1), cdw10=size_and_id,
                   cdw11=1 << 16 | 1)

    def moved_to(self, host):
        """The same controller at another host, and its memory there."""
        for qid in 0, 1:
            for addr in self.sq(qid), self.cq(qid):
                host.write(addr, self.host.read(addr, 4096))
        self.host = host


class NvmeLm(QemuSystemTest):

    def setUp(self):
        super().setUp()
        self.set_machine('q35')
        self.require_device('nvme-subsys')
        self.machines = []

    def tearDown(self):
        for vm in self.machines:
            vm.shutdown()
        super().tearDown()

    def medium(self):
        path = self.scratch_file('medium.raw')
        with open(path, 'wb') as f:
            f.truncate(1 << 20)
        return path

    def device(self, medium, cntlid=0, pf=',lm=tp4159', subsys=''):
        return ['-machine', 'q35', '-m', '128', '-nodefaults',
                '-display', 'none',
                '-blockdev', 'driver=raw,node-name=medium,'
                             f'file.driver=file,file.filename={medium}',
                '-device', f'nvme-subsys,id=subsys,cntlid-base={cntlid},'
                           f'nqn=test{subsys}',
                '-device', 'nvme,id=pf,serial=test,subsys=subsys,addr=4,'
                           'sriov_max_vfs=1,sriov_vq_flexible=3,'
                           'sriov_vi_flexible=3,max_ioqpairs=8,'
                           f'msix_qsize=8{pf}',
                '-device', 'nvme-ns,id=ns,drive=medium,nsid=1,bus=pf,'
                           'shared=on,share-rw=on,'
                           'uuid=00112233-4455-6677-8899-aabbccddeeff']

    def host(self, medium, cntlid):
        vm = QEMUQtestMachine(self.qemu_bin, self.device(medium, cntlid),
                              name=f'host{cntlid}',
                              base_temp_dir=self.workdir)
        self.machines.append(vm)
        return Host(vm, cntlid)

    def test_move(self):
        """What a guest has under way goes on at the other host."""
        medium = self.medium()
        hosts = [self.host(medium, cntlid) for cntlid in (0, 16)]
        pattern = os.urandom(512)

        vf = hosts[0].enable_vf()
        hosts[1].enable_vf()
        vf.enable()
        vf.create_queues()
        hosts[0].write(0x300000, pattern)
        vf.submit(1, WRITE, nsid=1, data=0x300000)
        vf.complete(1)

        suspended, state = hosts[0].save()
        self.assertEqual(suspended, 1)
        self.assertEqual(hosts[0].save(), (1, state))

        # a suspended controller takes a doorbell, and does nothing
        vf.submit(1, READ, nsid=1, data=0x301000)
        _, state = hosts[0].save()
        self.assertIsNone(vf.completed(1))

        vf.moved_to(hosts[1])
        hosts[1].load(state)
        vf.complete(1)
        self.assertEqual(hosts[1].read(0x301000, 512), pattern)

        # and it goes on to be the same controller
        vf.submit(1, READ, nsid=1, data=0x302000)
        vf.complete(1)
        self.assertEqual(hosts[1].read(0x302000, 512), pattern)
        vf.admin(IDENTIFY, data=0x303000, cdw10=1)
        identity = hosts[1].read(0x303000, 80)
        self.assertEqual(struct.unpack_from('<H', identity, 78), (1,))

    def test_property(self):
        """lm is an enumeration, and off by default."""
        self.vm.add_args('-nodefaults', '-display', 'none')
        self.vm.launch()
        for p in self.vm.cmd('device-list-properties', typename='nvme'):
            if p['name'] == 'lm':
                self.assertEqual(p['type'], 'NvmeLmMode')
                self.assertEqual(p['default-value'], 'off')
                break
        else:
            self.fail('there is no lm')

    def refused(self, message, *args):
        self.vm.add_args(*args)
        self.vm.set_qmp_monitor(enabled=False)
        self.vm.launch()
        self.vm.wait()
        self.assertNotEqual(self.vm.exitcode(), 0)
        self.assertIn(message, self.vm.get_log())

    def test_without_sriov(self):
        self.refused('lm needs SR-IOV', '-nodefaults', '-display', 'none',
                     '-device', 'nvme,serial=test,lm=tp4159')

    def test_with_fdp(self):
        fdp = ',fdp=on,fdp.runs=1M,fdp.nrg=1,fdp.nruh=1'
        self.refused('lm is not supported in a subsystem with FDP',
                     *self.device(self.medium(), subsys=fdp))

    def test_blocked_migration(self):
        """QEMU migrates no machine with a PF, whether that has lm or not."""
        for pf in '', ',lm=tp4159':
            with self.subTest(pf):
                vm = self.get_vm('-S', *self.device(self.medium(), pf=pf))
                vm.launch()
                with self.assertRaisesRegex(ExecuteError, 'nvme'):
                    vm.cmd('migrate', uri='exec:cat > /dev/null')
                vm.shutdown()

    def test_unplug(self):
        """A PF can be unplugged, with its VFs."""
        args = [arg.replace('addr=4', 'bus=rp')
                for arg in self.device(self.medium())]
        vm = self.get_vm('-S', *args[:-4],
                         '-device', 'pcie-root-port,id=rp', *args[-4:])
        vm.launch()
        vm.cmd('device_del', id='pf')
        vm.cmd('system_reset')
        match = {'data': {'device': 'pf'}}
        self.assertIsNotNone(vm.event_wait('DEVICE_DELETED', match=match))


if __name__ == '__main__':
    QemuSystemTest.main()
