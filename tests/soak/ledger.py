# SPDX-License-Identifier: GPL-2.0-only
"""The disk of a guest that has ended, read from its image: is all there that the guest knew to be written?

The guest's vm/guest/ledger.c describes the rings of blocks; vm/guest/lane has the region that nobody writes.
"""

import hashlib
import struct

WORKERS, SLOTS, BLOCK, BEGIN = 4, 64, 4096, 48 << 20
STILL = 8 << 20
WORDS = struct.Struct(f"<{BLOCK // 8}Q")


def still(path):
    """A digest of the region that the guest fills once."""
    with open(path, "rb") as f:
        return hashlib.md5(f.read(STILL)).hexdigest()


def number(block, worker):
    """Which block of a worker's this is; 0: none, it was never written; None: no whole one of them."""
    words = WORDS.unpack(block)
    if not any(words):
        return 0
    first = words[0]
    n = (first & (1 << 56) - 1) >> 9
    return n if words == tuple(range((worker + 1) << 56 | n << 9, ((worker + 1) << 56 | n << 9) + len(words))) else None


def ring(path, worker):
    """The numbers of the blocks in the slots of a worker's ring."""
    with open(path, "rb") as f:
        f.seek(BEGIN + worker * SLOTS * BLOCK)
        return [number(f.read(BLOCK), worker) for _ in range(SLOTS)]


def wrong(path, acked):
    """What is wrong with a disk whose guest has ended; acked: the last block of each worker that the guest knew to be written."""
    for worker, last in enumerate(acked):
        found = ring(path, worker)
        newest = max(n or 0 for n in found)
        if newest < last:
            yield f"worker {worker}: block {last} was acknowledged, the last one on the disk is {newest}"
        for slot, n in enumerate(found):
            # the last block that belongs here
            want = max(0, newest - (newest - slot) % SLOTS)
            if n != want:
                yield f"worker {worker}: slot {slot} holds {'nothing whole' if n is None else f'block {n}'}, not block {want}"


def written(path):
    """The number of the last block of each worker on the disk."""
    return tuple(max(n or 0 for n in ring(path, worker)) for worker in range(WORKERS))
