# SPDX-License-Identifier: GPL-2.0-only
"""A picture of live migrations: what the guest noticed, and what the driver did on both sides.

Trace collects the driver's tracepoints of a host, on the clock of this program. Chapter holds
what one guest and its migrations have told. draw() makes an SVG and a PNG of some chapters
with gnuplot.
"""

import bisect
import dataclasses
import re
import subprocess

from host import PING

TRACING = "/sys/kernel/debug/tracing"
EVENT = re.compile(r"^.*?\s(?P<time>\d+\.\d+): (?P<name>\w+): (?P<text>.*)$")
# What a picture shows of a migration: the side, and how it is told in the legend.
PHASES = {
    "pre-copy": ("source", "the guest works on"),
    "suspend": ("source", "VF stops"),
    "memory": ("source", "RAM is sent"),
    "save": ("source", "its state leaves"),
    "load": ("destination", "the state comes in"),
    "resume": ("destination", "VF goes on"),
}
COLOURS = {"pre-copy": "#9ecae1", "suspend": "#fdae6b", "memory": "#6baed6", "save": "#e6550d", "load": "#74c476", "resume": "#31a354"}
# where, how it is told; and what has no colour of its own
LEGEND = (("pre-copy", 0.32, "pre-copy: the guest works on"), ("suspend", 0.61, "the VF is stopped, moved, and goes on"))
CURVES = "curves: the guest's disk"
NOTE = "Both hosts are emulated in software on one machine: times compare with each other, not with those of hardware."
WIDTH, HEIGHT = 1280, 900
LEFT, RIGHT = 0.14, 0.015   # beside the bars, parts of WIDTH
LETTER = 8          # pixels
STEP = 1            # second, of a curve


class Trace:
    """The driver's tracepoints of a host."""

    def __init__(self, host):
        self.host = host
        host.run_ok(f"echo 1 > {TRACING}/events/nvme_vfio_pci/enable")

    def mark(self):
        """Have both clocks in the trace: a marker, and at once a line in the kernel log, which is told as it comes."""
        self.host.run_ok(f"for n in 1 2 3; do echo '{PING}' > {TRACING}/trace_marker; echo '{PING}' > /dev/kmsg; done")

    def read(self):
        """All since the last call: (seconds on our clock, name, fields), and what came with fields like from=STOP."""
        self.mark()
        self.host.sync_log()
        lines = self.host.run_ok(f"cat {TRACING}/trace; echo > {TRACING}/trace").splitlines()
        found = [m for m in map(EVENT.match, lines) if m]
        marks = [float(m["time"]) for m in found if PING in m["text"]]
        # The one that took the least time on its way tells best how far the clocks are apart.
        offset = min(arrival - mark for arrival, mark in zip(self.host.pings, marks))
        self.host.pings.clear()
        return [(float(m["time"]) + offset, m["name"], m["text"], dict(re.findall(r"(\w+)=(\S+)", m["text"])))
                for m in found if m["name"].startswith("nvmevf_")]


@dataclasses.dataclass
class Migration:
    """When each phase was, and when the guest stood still; seconds."""
    number: int
    way: str
    phases: dict
    stopped: tuple = None   # the guest, as it tells by its silence


def phases(source, destination):
    """The phases of one migration from the events of both sides: name -> (begin, end)."""
    found = {}
    arcs = {}
    for side, events in (("source", source), ("destination", destination)):
        for when, name, _, fields in events:
            if name == "nvmevf_arc" and fields["result"] == "0":
                arcs[side, fields["from"], fields["to"]] = (when - int(fields["us"]) / 1e6, when)
    # pre-copy, too, has a HELLO, which is checked and not loaded: the state begins with the last one
    records = {}
    for way, events in (("out", source), ("in", destination)):
        told = [(when, text) for when, name, text, _ in events if name == "nvmevf_record" and f" {way} " in text]
        if hellos := [when for when, text in told if "(HELLO)" in text]:
            records[way] = (hellos[-1], told[-1][0])

    suspend = arcs.get(("source", "PRE_COPY", "PRE_COPY_P2P")) or arcs.get(("source", "RUNNING", "RUNNING_P2P"))
    if suspend:
        found["suspend"] = suspend
    if suspend and (entry := arcs.get(("source", "RUNNING", "PRE_COPY"))):
        found["pre-copy"] = (entry[0], suspend[0])
    save = arcs.get(("source", "PRE_COPY_P2P", "STOP_COPY")) or arcs.get(("source", "STOP", "STOP_COPY"))
    if save and "out" in records:
        found["memory"] = (save[1], records["out"][0])
        found["save"] = records["out"]
    if "in" in records and (load := arcs.get(("destination", "RESUMING", "STOP"))):
        found["load"] = (records["in"][0], load[1])
    if resume := arcs.get(("destination", "RUNNING_P2P", "RUNNING")):
        found["resume"] = resume
    return found


@dataclasses.dataclass
class Chapter:
    """One guest: samples of (seconds, reads, ms of reads, writes, ms of writes), each counted from its start."""
    title: str
    samples: list = dataclasses.field(default_factory=list)
    migrations: list = dataclasses.field(default_factory=list)

    def without(self):
        """(begin, end) of each time without the VF."""
        return [(m.phases["suspend"][0], m.phases["resume"][1]) for m in self.migrations]

    def _worked(self, when):
        """Seconds with the VF up to then. The counters grow in these only."""
        return when - sum(min(b, when) - a for a, b in self.without() if a < when)

    def _counted(self, worked):
        """(I/O, ms of it) after so many seconds with the VF. Samples arrive late and in heaps: what is between two is spread evenly."""
        n = bisect.bisect_right(self.samples, worked, key=lambda s: self._worked(s[0]))
        (t0, *before), (t1, *after) = self.samples[max(n - 1, 0)], self.samples[min(n, len(self.samples) - 1)]
        part = (worked - self._worked(t0)) / (self._worked(t1) - self._worked(t0)) if self._worked(t1) > self._worked(t0) else 0
        r, a, w, b = (x + (y - x) * part for x, y in zip(before, after))
        return r + w, a + b

    def rates(self):
        """(begin, end, I/O per second, ms for each) of pieces of the time, about STEP long; of the times without the VF (..., 0, None)."""
        without = [t for pair in self.without() for t in pair]
        edges = [self.samples[0][0], *without, max(self.samples[-1][0], *without[-1:])]
        for n, (begin, end) in enumerate(zip(edges, edges[1:])):
            if n % 2:
                yield begin, end, 0, None
                continue
            pieces = max(1, round((end - begin) / STEP))
            times = [begin + (end - begin) * i / pieces for i in range(pieces + 1)]
            counts = [self._counted(self._worked(t)) for t in times]
            for t0, t1, (done0, ms0), (done1, ms1) in zip(times, times[1:], counts, counts[1:]):
                done = done1 - done0
                yield t0, t1, done / (t1 - t0), (ms1 - ms0) / done if done >= 1 else None


def _block(name, rows):
    text = "\n".join(" ".join(f"{v:.4f}" for v in row) for row in rows)
    return f"${name} << END\n{text}\nEND\n"


def _span(chapter):
    """Where its time begins, and how long it is."""
    begin = chapter.samples[0][0]
    return begin, chapter.samples[-1][0] - begin


def _bands(chapter, begin):
    """Each migration behind the curves: pre-copy, then the time without the VF."""
    lines = []
    for m in chapter.migrations:
        marks = [("pre-copy", m.phases["pre-copy"])] if "pre-copy" in m.phases else []
        marks.append(("suspend", (m.phases["suspend"][0], m.phases["resume"][1])))
        for name, (x0, x1) in marks:
            lines.append(f"set object rectangle from {x0 - begin:.4f}, graph 0 to {x1 - begin:.4f}, graph 1 "
                         f"fillcolor rgb '{COLOURS[name]}' fillstyle solid 0.45 noborder behind")
    return lines


def _numbers(chapter, begin):
    return [f"set label '{m.number}' at {(m.phases['suspend'][0] + m.phases['resume'][1]) / 2 - begin:.4f}, graph 0.93 center"
            for m in chapter.migrations]


def _legend():
    """One line below the title."""
    lines = [f"set label '{NOTE}' at screen 0.5, screen 0.018 center font ',11' textcolor rgb '#606060'",
             f"set label \"{CURVES}\" at screen 0.08, screen 0.927 left"]
    for name, x, text in LEGEND:
        lines += [f"set object rectangle from screen {x}, screen 0.917 to screen {x + 0.022}, screen 0.937 "
                  f"fillcolor rgb '{COLOURS[name]}' fillstyle solid 0.45 noborder",
                  f"set label '{text}' at screen {x + 0.03}, screen 0.927 left"]
    return lines


def _curves(n, chapter, x, width):
    begin, length = _span(chapter)
    common = ["unset object", "unset label", f"set lmargin at screen {x + 0.07}", f"set rmargin at screen {x + width - RIGHT}",
              f"set xrange [0:{length:.3f}]", *_bands(chapter, begin)]
    return [
        *common, *_numbers(chapter, begin), *(_legend() if n == 0 else []),
        "set tmargin at screen 0.86", "set bmargin at screen 0.69", "set format x ''", "unset logscale", "set xlabel",
        f"set title '{chapter.title}' font ',15'",
        "set ylabel 'I/O per second'", "set yrange [0:*]",
        f"plot $rate{n} using 1:2 with lines linecolor rgb '#08519c' linewidth 2 notitle",
        *common, "set tmargin at screen 0.66", "set bmargin at screen 0.51", "set format x '%g'", "unset title",
        "set xlabel \"seconds since the guest's load began\"",
        "set ylabel 'latency, ms'", "set yrange [*:*]", "set logscale y",
        f"plot $latency{n} using 1:2 with lines linecolor rgb '#54278f' linewidth 2 notitle",
        "unset logscale", "set xlabel", "set format x '%g'",
    ]


def _time(ms):
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"


def _one(chapter, x, width):
    """One migration, enlarged: a bar for each phase, on its side."""
    m = sorted(chapter.migrations, key=lambda m: m.phases["resume"][1] - m.phases["suspend"][0])[len(chapter.migrations) // 2]
    zero = m.phases["suspend"][0]
    ms = {name: ((a - zero) * 1000, (b - zero) * 1000) for name, (a, b) in m.phases.items()}
    total = ms["resume"][1]
    right = max(total, (m.stopped[1] - zero) * 1000 if m.stopped else 0) * 1.04
    left = max(min(a for a, _ in ms.values()), -0.45 * total)
    names = ["guest", *PHASES]
    lines = ["unset object", "unset label", f"set title 'migration {m.number}, from {m.way}, enlarged'",
             f"set lmargin at screen {x + LEFT}", f"set rmargin at screen {x + width - RIGHT}",
             "set tmargin at screen 0.375", "set bmargin at screen 0.115", f"set xrange [{left * 1.02:.3f}:{right:.3f}]",
             f"set yrange [{len(names) - 0.4}:-0.6]", "unset ylabel", "set xlabel 'milliseconds since the VF was told to stop'",
             "set ytics (" + ", ".join([f"'guest stands still' {0}"] + [f"'{PHASES[n][0]}: {n}' {i}" for i, n in enumerate(names) if i]) + ")"]
    bars = [(0, *[(t - zero) * 1000 for t in m.stopped], "#bdbdbd", "from its last sign to the next")] if m.stopped else []
    bars += [(i, *ms[n], COLOURS[n], PHASES[n][1]) for i, n in enumerate(names) if n in ms]
    for row, begin, b, colour, what in bars:
        a = max(begin, left)
        lines.append(f"set object rectangle from {a:.4f}, {row - 0.32} to {max(b, a + total / 400):.4f}, {row + 0.32} "
                     f"fillcolor rgb '{colour}' fillstyle solid 0.9 border linecolor rgb '#404040'")
        text = f"{what}, {_time(b - begin)}" + (" in all" if begin < a else "")
        room = LETTER * len(text) / ((width - LEFT - RIGHT) * WIDTH) * (right - left)
        at, how = (a + b) / 2, "center"
        if b - a < room < right - b:
            at, how = b, "left offset 0.6,0"
        elif b - a < room < a - left:
            at, how = a, "right offset -0.6,0"
        lines.append(f"set label '{text}' at {at:.4f}, {row} {how} front")
    return [*lines, "plot NaN notitle", "set ytics autofreq"]


def script(chapters, title):
    """Commands for gnuplot, except for the kind and name of the result."""
    width = 1 / len(chapters)
    lines = ["set encoding utf8", f"set multiplot title '{title}' font ',18'", "set grid linecolor rgb '#d9d9d9'", "set border 3",
             "set xtics nomirror", "set ytics nomirror"]
    data = ""
    for n, chapter in enumerate(chapters):
        begin, _ = _span(chapter)
        rates = [(t - begin, rate, ms) for t0, t1, rate, ms in chapter.rates() for t in (t0, t1)]
        data += _block(f"rate{n}", [(t, rate) for t, rate, _ in rates])
        data += _block(f"latency{n}", [(t, ms) if ms else () for t, _, ms in rates])
        lines += _curves(n, chapter, n * width, width) + _one(chapter, n * width, width)
    return data + "\n".join([*lines, "unset multiplot", ""])


def draw(chapters, title, base):
    """Write BASE.svg and BASE.png; returns their names."""
    text = script(chapters, title)
    size = f"size {WIDTH},{HEIGHT} font 'DejaVu Sans,12'"
    names = []
    for kind, terminal in (("svg", f"svg {size} background rgb 'white' dynamic"), ("png", f"pngcairo {size}")):
        names.append(f"{base}.{kind}")
        subprocess.run(["gnuplot"], input=f"set terminal {terminal}\nset output '{names[-1]}'\n{text}", text=True, check=True)
    return names


def stood_still(samples, between):
    """The longest time without a sign of the guest around a migration."""
    gaps = [(a[0], b[0]) for a, b in zip(samples, samples[1:]) if b[0] > between[0] and a[0] < between[1]]
    return max(gaps, key=lambda g: g[1] - g[0], default=None)
