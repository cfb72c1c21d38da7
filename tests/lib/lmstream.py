# SPDX-License-Identifier: GPL-2.0-only
"""Device streams and controller states, made by Documentation/stream.rst, Documentation/device-state.rst and
the NVM Express Base Specification 2.1: a reading of its own, which shares nothing with tools/, the driver and
the C tests on purpose, since it is compared with them."""

import struct
import uuid

HELLO, STATE, END = b"HELO", b"STAT", b"END "
MANDATORY = 1
MAGIC = b"\x89NVMVFLM"
TP4159, VENDOR_SET = 1, 2
NO_NVME_STATE = 0xffff
EMULATED = uuid.UUID("ed05abd7-bd03-4191-92dd-512313b66b83")

TABLE = []
for i in range(256):
    for _ in range(8):
        i = i >> 1 ^ (0x82f63b78 if i & 1 else 0)
    TABLE.append(i)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


def record(tag, payload, flags=MANDATORY, length=None):
    return struct.pack("<4sIQ", tag, flags, len(payload) if length is None else length) + payload


# field of HELLO: offset, format
HELLO_FIELDS = {
    "magic": (0, "8s"), "version": (8, "<H"), "cmdset": (10, "B"), "ident": (11, "B"), "state_ver": (12, "<H"),
    "msix": (14, "<H"), "state_len": (16, "<Q"), "uuid": (24, "16s"), "cap": (40, "<Q"), "vs": (48, "<I"), "nvq": (52, "<H"),
    "nvi": (54, "<H"), "vid": (56, "<H"), "ssvid": (58, "<H"), "oncs": (60, "<H"), "mdts": (62, "B"), "aerl": (63, "B"),
    "sgls": (64, "<I"), "rsvd68": (68, "4s"), "sn": (72, "20s"), "mn": (92, "40s"), "subnqn": (132, "256s"), "rsvd388": (388, "4s"),
}
HELLO_LEN = 392


def packed(fields, size, values):
    data = bytearray(size)
    for name, value in values.items():
        offset, form = fields[name]
        struct.pack_into(form, data, offset, value)
    return bytes(data)


def hello(**values):
    return packed(HELLO_FIELDS, HELLO_LEN, {"magic": MAGIC, "version": 1} | values)


def pieces(state, size):
    return [record(STATE, struct.pack("<Q", at) + state[at:at + size]) for at in range(0, len(state), size)]


def end(records, total, rsvd=0, crc=None):
    """END for these records, of which the first is the last HELLO."""
    head = struct.pack("<4sIQQ", END, MANDATORY, 16, total)
    return head + struct.pack("<II", crc32c(b"".join(records) + head) if crc is None else crc, rsvd)


def stream(values, state, size=1 << 20, before=()):
    """A whole one; @before are records that come before its last HELLO."""
    records = [record(HELLO, hello(**{"state_len": len(state)} | values)), *pieces(state, size)]
    return b"".join([*before, *records, end(records, len(state))])


def refit(data):
    """The stream with the checksum that its bytes have now; as it is if its records have no end."""
    at = hello_at = 0
    while data[at:at + 4] != END:
        if len(data) - at < 16:
            return data
        if data[at:at + 4] == HELLO:
            hello_at = at
        at += 16 + struct.unpack_from("<Q", data, at + 8)[0]
    return data[:at + 24] + struct.pack("<I", crc32c(data[hello_at:at + 24])) + data[at + 28:]


def submission_queue(prp1, qsize, qid, cqid, head, tail, pc=1, qprio=0):
    return struct.pack("<QHHHHHHI", prp1, qsize, qid, cqid, pc | qprio << 1, head, tail, 0)


def completion_queue(prp1, qsize, qid, head, tail, pc=1, ien=1, s0pt=0, iv=0):
    return struct.pack("<QHHHHHHI", prp1, qsize, qid, head, tail, pc | ien << 1 | s0pt << 2, iv, 0)


def nvme_part(sqs, cqs):
    return struct.pack("<HHHH", 0, len(sqs), len(cqs), 0) + b"".join(sqs) + b"".join(cqs)


def container(nvme, vendor, csattr=1, ver=0):
    assert len(nvme) % 4 == 0 and len(vendor) % 4 == 0
    return struct.pack("<HB13xQQQQ", ver, csattr, len(nvme) // 4, 0, len(vendor) // 4, 0) + nvme + vendor


# field of the vendor specific part's fixed part: offset, format
FIXED_FIELDS = {
    "magic": (0, "8s"), "revision": (8, "<H"), "fixed_len": (10, "<H"), "len": (12, "<I"), "flags": (16, "<I"),
    "nr_ns": (20, "<H"), "nr_aer": (22, "<H"), "nr_event": (24, "<H"), "rsvd26": (26, "<H"), "nr_held": (28, "<I"),
    "cap": (32, "<Q"), "bar_size": (40, "<Q"), "vs": (48, "<I"), "effects_crc": (52, "<I"), "queue_pairs": (56, "<H"),
    "vectors": (58, "<H"), "events_max": (60, "<I"), "vsl": (64, "B"), "zasl": (65, "B"), "logs": (66, "B"), "rsvd67": (67, "5s"),
    "cc": (72, "<I"), "csts": (76, "<I"), "aqa": (80, "<I"), "intms": (84, "<I"), "asq": (88, "<Q"), "acq": (96, "<Q"),
    "cmbmsc": (104, "<Q"), "sq_addr": (112, "<Q"), "cq_addr": (120, "<Q"), "sq_size": (128, "<H"), "sq_head": (130, "<H"),
    "sq_tail": (132, "<H"), "page_shift": (134, "<H"), "cq_size": (136, "<H"), "cq_head": (138, "<H"), "cq_tail": (140, "<H"),
    "cq_phase": (142, "B"), "events_masked": (143, "B"), "doorbells": (144, "<Q"), "eventidx": (152, "<Q"),
    "timestamp": (160, "<Q"), "timestamp_age": (168, "<Q"), "temp_over": (176, "<H"), "temp_under": (178, "<H"),
    "async_config": (180, "<I"), "rsvd184": (184, "8s"), "changed": (192, "40s"), "rsvd232": (232, "24s"),
    "host_behavior": (256, "512s"), "identify": (768, "4096s"),
}
FIXED_LEN = 4864
# what continues it if there is extra state
EXTRA_LEN = 16
EXTRA_FLAG = 0x100
REVISION = 2


def identify(**values):
    return packed({"vid": (0, "<H"), "ssvid": (2, "<H"), "sn": (4, "20s"), "mn": (24, "40s"), "fr": (64, "8s"), "cntlid": (78, "<H"),
                   "subnqn": (768, "256s")}, 4096, values)


def namespace(nsid, nsze, uid=bytes(16), nguid=bytes(16), eui64=0, err_rec=0, crc=0, flbas=0, dps=0, nmic=0, pif=0, attr=0, ind_crc=0):
    return struct.pack("<IBB2xQ16s16sQIIBBBBI", nsid, 0, attr, nsze, uid, nguid, eui64, err_rec, crc, flbas, dps, nmic, pif, ind_crc)


def held(sqid, cid, status, dw0, dw1):
    return struct.pack("<HHHHII", sqid, cid, status, 0, dw0, dw1)


def extra_state(seed, size):
    """So many bytes of the generator SplitMix64."""
    data = b""
    for n in range(-(-size // 8)):
        z = (seed + (n + 1) * 0x9e3779b97f4a7c15) % (1 << 64)
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9 % (1 << 64)
        z = (z ^ z >> 27) * 0x94d049bb133111eb % (1 << 64)
        data += struct.pack("<Q", z ^ z >> 31)
    return data[:size]


def emulated(values, namespaces=(), aers=(), events=(), helds=()):
    """The vendor specific part of the emulated device; "extra" is the seed of extra state and how much of that there is,
    "appended" are bytes that a later revision has in its fixed part."""
    values = dict(values)
    appended, extra = values.pop("appended", b""), values.pop("extra", None)
    last = b""
    if extra:
        values["flags"] |= EXTRA_FLAG
        appended = struct.pack("<QII", *extra, 0) + appended
        last = extra_state(*extra)
    arrays = b"".join(namespaces) + b"".join(struct.pack("<H", a) for a in aers) + bytes(len(aers) % 2 * 2)
    arrays += b"".join(bytes([*e, 0]) for e in events) + b"".join(helds) + last
    counts = {"nr_ns": len(namespaces), "nr_aer": len(aers), "nr_event": len(events), "nr_held": len(helds)}
    fixed_len = FIXED_LEN + len(appended)
    fixed = packed(FIXED_FIELDS, FIXED_LEN, {"magic": b"NVMEVFST", "revision": REVISION, "fixed_len": fixed_len,
                                             "len": fixed_len + len(arrays)} | counts | values)
    return fixed + appended + arrays


class Wrong(Exception):
    """A controller state is not what it should be."""


def want(condition, what):
    if not condition:
        raise Wrong(what)


def check_queues(sqs, cqs):
    for queues, heads in ((sqs, 16), (cqs, 12)):
        last = 0
        for q in queues:
            prp1, qsize, qid = struct.unpack_from("<QHH", q)
            head, tail = struct.unpack_from("<HH", q, heads)
            want(prp1 % 4096 == 0 and qsize and qid > last and head <= qsize and tail <= qsize, "queue")
            want(not any(q[20:]), "reserved bytes of a queue")
            last = qid
    want(not any(struct.unpack_from("<H", q, 14)[0] & ~7 for q in sqs), "attributes of a submission queue")
    want(not any(struct.unpack_from("<H", q, 16)[0] & ~7 for q in cqs), "attributes of a completion queue")
    ids = {struct.unpack_from("<H", q, 10)[0] for q in cqs}
    want(all(struct.unpack_from("<H", q, 12)[0] in ids for q in sqs), "CQID")
    return {struct.unpack_from("<H", q, 10)[0] for q in sqs}


def check_nvme(part):
    ver, niosq, niocq, rsvd = struct.unpack_from("<HHHH", part)
    want(ver == 0 and rsvd == 0 and len(part) == 8 + 24 * (niosq + niocq), "NVMe state")
    queues = [part[8 + 24 * i:32 + 24 * i] for i in range(niosq + niocq)]
    return check_queues(queues[:niosq], queues[niosq:]), niosq + niocq


def check_emulated(part, suspended, sqids, queues):
    f = {name: struct.unpack_from(form, part, at)[0] for name, (at, form) in FIXED_FIELDS.items()}
    first, fixed_len = f["revision"] == 1, f["fixed_len"]
    want(f["magic"] == b"NVMEVFST" and 0 < f["revision"] <= REVISION and f["len"] == len(part), "layout")
    want(fixed_len == FIXED_LEN or not first and fixed_len > FIXED_LEN and fixed_len % 4 == 0, "length of the fixed part")
    extra = 0
    if f["flags"] & EXTRA_FLAG:
        want(not first and fixed_len >= FIXED_LEN + EXTRA_LEN, "flag of extra state")
        seed, extra, rsvd = struct.unpack_from("<QII", part, FIXED_LEN)
        want(not rsvd and extra < len(part) and part[len(part) - extra:] == extra_state(seed, extra), "extra state")
    size = fixed_len + 72 * f["nr_ns"] + (2 * f["nr_aer"] + 3) // 4 * 4 + 4 * f["nr_event"] + 16 * f["nr_held"] + extra
    want(size == len(part), "counts")
    want(not f["flags"] & ~0x1ff and f["flags"] & 1 == suspended, "flags")
    want(not f["rsvd26"] and not any(f["rsvd67"] + f["rsvd184"] + f["rsvd232"]), "reserved")
    want(f["logs"] <= (not first) and struct.unpack_from("<H", f["identify"], 78)[0] <= (0 if first else 0xffef), "revision")
    want(f["flags"] & 8 or not f["doorbells"] | f["eventidx"], "shadow doorbells")
    want(f["flags"] & 2 or not queues, "queues without admin queues")
    if f["flags"] & 2:
        want(f["cc"] & 1 and 12 <= f["page_shift"] <= 27 and f["cq_phase"] < 2, "admin queues")
        for q in ("sq", "cq"):
            want(2 <= f[q + "_size"] <= 4096 and max(f[q + "_head"], f[q + "_tail"]) < f[q + "_size"], q)
        addresses = f["sq_addr"] | f["cq_addr"] | f["doorbells"] | f["eventidx"]
        want(addresses % (1 << f["page_shift"]) == 0, "addresses")
    else:
        want(not any(part[112:143]), "admin queues without their flag")
    check_arrays(f, part[fixed_len:], sqids)


def check_arrays(f, data, sqids):
    nsids = []
    for i in range(f["nr_ns"]):
        ns = data[72 * i:72 * i + 72]
        want(not any(ns[4:5] + ns[6:8]) and ns[5] <= (f["revision"] > 1), "namespace")
        want(f["revision"] > 1 or not any(ns[68:]), "namespace of revision 1")
        nsids.append(struct.unpack_from("<I", ns)[0])
    want(nsids == sorted(set(nsids) - {0}), "NSIDs")
    data = data[72 * f["nr_ns"] + 2 * f["nr_aer"]:]
    if f["nr_aer"] % 2:
        want(not any(data[:2]), "AERs")
        data = data[2:]
    want(not any(data[3:4 * f["nr_event"]:4]), "events")
    data = data[4 * f["nr_event"]:]
    for i in range(f["nr_held"]):
        sqid, _, status, rsvd = struct.unpack_from("<HHHH", data, 16 * i)
        want((not sqid or sqid in sqids) and status < 0x8000 and not rsvd, "held completion")


def check_state(data):
    """Raises Wrong unless it is a controller state, of the emulated device or with an unknown vendor specific part."""
    want(len(data) >= 48, "header")
    ver, csattr, rsvd, nvmecss, high, vss, high2 = struct.unpack_from("<HB13sQQQQ", data)
    want(not ver and csattr < 2 and not any(rsvd) and not high | high2 and nvmecss + vss, "header")
    split, size = 48 + 4 * nvmecss, 48 + 4 * (nvmecss + vss)
    want(len(data) >= size and not any(data[size:]), "sizes")
    sqids, queues = set(), 0
    if nvmecss:
        want(nvmecss >= 2, "NVMECSS")
        sqids, queues = check_nvme(data[48:split])
    if data[split:split + 8] == b"NVMEVFST":
        want(4 * vss >= FIXED_LEN, "VSS")
        check_emulated(data[split:size], csattr, sqids, queues)
