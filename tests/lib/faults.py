# SPDX-License-Identifier: GPL-2.0-only
"""Shell commands for a virtual host that go to a PF: is a VF suspended, and fault points (Documentation/device-faults.rst)."""

import re

# Migration Send and Migration Receive of TP4159, and what the first one does (its SEL)
SEND, RECEIVE = 0x41, 0x42
SUSPEND, RESUME, SET_STATE = 0, 1, 2
# The vendor set
VS_SUSPEND, VS_RESUME, VS_SAVE, VS_LOAD = 0xc8, 0xcc, 0xd2, 0xd5

POINT = "nvme admin-passthru $LM_CTRL{pf} -O 0xe0 --cdw10={op:#x}"
MATCH, ARM, RELEASE, CLEAR = 0x1, 0x20002, 0x6, 0x0     # slot 0; to arm it with Hold

# Get Controller State of its first bytes; bit 0 of the result: the VF is suspended
STATE = "nvme admin-passthru $LM_CTRL{pf} -O 0x42 --cdw10=0x10000 --cdw11={cntlid} --cdw15=11 -l 48 -r -b 2>&1 > /dev/null"


def hold(pf, opcode, skip=0, select=None):
    """Hold the next command with this opcode (and SEL) behind so many others, once."""
    match = "" if select is None else f" --cdw12={select} --cdw13=0xff"
    return f"{POINT.format(pf=pf, op=MATCH)} --cdw11={opcode:#x}{match} && {POINT.format(pf=pf, op=ARM)} --cdw11={skip} --cdw12=1"


def release(pf):
    """Let what is held go on, and hold nothing more."""
    return f"{POINT.format(pf=pf, op=RELEASE)} && {POINT.format(pf=pf, op=CLEAR)}"


def suspended(h, pf, vf):
    """Whether the device counts a VF (by its number) as suspended; TP4159 only."""
    out = h.run_ok(STATE.format(pf=pf, cntlid=h.env[f"LM_CNTLID{pf}_{vf}"]))
    return int(re.search(r"result: (0x[0-9a-f]+)", out)[1], 16) & 1
