# SPDX-License-Identifier: GPL-2.0-only
"""Memory of a virtual host's kernel, before and after.

A host on which nothing runs is looked at several times with its caches dropped; of each number the least counts,
since what is about to be freed only adds to it. What a step leaks grows by at least one object, or one page, for each
step: so growth is tolerated up to half an object of one slab cache, or half a page, for each step. Where only one of
several steps does the same, less is tolerated of the objects. Pages vary too much for that, by a MiB between two looks.

The kernel frees areas of vmalloc() lazily, many at a time: those that it has not purged yet do not count, nor does the
slab cache that describes them.
"""

import re

LOOKS = 4
LOOK = "sync; echo 3 > /proc/sys/vm/drop_caches; cat /proc/meminfo /proc/slabinfo; grep -vc unpurged /proc/vmallocinfo"
PAGE = 4        # KiB
LAZY = "vmap_area"
# What /proc/meminfo lists of memory that is not free
KNOWN = ("Buffers", "Cached", "AnonPages", "Slab", "KernelStack", "PageTables", "VmallocUsed", "Percpu")
FIELDS = ("SUnreclaim", "SReclaimable", "VmallocUsed", "Percpu", "KernelStack", "PageTables", "unlisted")
SLAB = re.compile(r"^(\S+) +(\d+) +\d+ +\d+ +\d+ +(\d+) : tunables .* : slabdata +\d+ +(\d+) ", re.M)


def parse(text):
    """The numbers of one look: KiB by field, and objects by slab cache."""
    info = {m[1]: int(m[2]) for m in re.finditer(r"^(\w+): +(\d+) kB$", text, re.M)}
    info["unlisted"] = info["MemTotal"] - info["MemFree"] - sum(info[k] for k in KNOWN)
    slabs = {m[1]: (int(m[2]), int(m[3]) * int(m[4]) * PAGE) for m in SLAB.finditer(text)}
    lazy = slabs.pop(LAZY)[1]
    info["SUnreclaim"] -= lazy
    info["MemAvailable"] += lazy
    return {**{k: info[k] for k in (*FIELDS, "MemAvailable")}, **{f"slab {k}": objects for k, (objects, _) in slabs.items()},
            "vmalloc areas": int(text.split()[-1])}


def look(h):
    """The memory of a host on which nothing runs."""
    looks = [parse(h.run_ok(LOOK, timeout=300)) for _ in range(LOOKS)]
    return {k: (max if k == "MemAvailable" else min)(one.get(k, 0) for one in looks) for k in looks[0]}


def grown(before, after, steps, share):
    """What has grown in so many steps, one of share of which does the same, by more than is tolerated: (name, before, after)."""
    for name, value in after.items():
        old = before.get(name, 0)
        more = old - value if name == "MemAvailable" else value - old
        if more > steps * (PAGE if name in (*FIELDS, "MemAvailable") else 1 / share) / 2:
            yield name, old, value
