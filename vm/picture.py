# SPDX-License-Identifier: GPL-2.0-only
"""A picture of live migrations: what the guest noticed, and what the driver did on both sides.

Trace collects the driver's tracepoints of a host, on the clock of this program. Chapter holds
what one guest and its migrations have told. draw() makes an SVG and a PNG of some chapters
with gnuplot.
"""

import bisect
import dataclasses
import itertools
import re
import statistics
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
# Pixels: all is below the title and the legend, a row for each chapter; then what they have in common
WIDTH, TOP, ROW, BAR, BOTTOM = 1280, 88, 290, 28, 126
CURVES_LEFT, CURVES_RIGHT = 104, 640
BARS_LEFT, BARS_RIGHT = 830, 1262
LETTER = 8
STEP = 1            # second, of a curve
MIB = 1 << 20


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
    downtime: int           # ms, as QEMU counts it
    sent: int               # bytes of RAM in that time
    stopped: tuple = None   # the guest, as it tells by its silence

    def total(self):
        """Seconds without the VF."""
        return self.phases["resume"][1] - self.phases["suspend"][0]


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

    def typical(self):
        """The migration in the middle, by the time without the VF."""
        return sorted(self.migrations, key=Migration.total)[len(self.migrations) // 2]

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


def _margins(height, left, right, top, bottom):
    """Where a plot is; pixels from the left and from the top."""
    return [f"set lmargin at screen {left / WIDTH:.5f}", f"set rmargin at screen {right / WIDTH:.5f}",
            f"set tmargin at screen {1 - top / height:.5f}", f"set bmargin at screen {1 - bottom / height:.5f}"]


def _legend(height):
    """One line below the title, and one at the end."""
    y, half = 1 - 52 / height, 9 / height
    lines = [f"set label '{NOTE}' at screen 0.5, screen {15 / height:.5f} center font ',11' textcolor rgb '#606060'",
             f"set label \"{CURVES}\" at screen 0.08, screen {y:.5f} left"]
    for name, x, text in LEGEND:
        lines += [f"set object rectangle from screen {x}, screen {y - half:.5f} to screen {x + 0.022}, screen {y + half:.5f} "
                  f"fillcolor rgb '{COLOURS[name]}' fillstyle solid 0.45 noborder",
                  f"set label '{text}' at screen {x + 0.03}, screen {y:.5f} left"]
    return lines


def _step(most):
    """Between the marks of an axis that begins at 0, so that there are few."""
    return next(s for e in itertools.count(-3) for s in (10 ** e, 2 * 10 ** e, 5 * 10 ** e) if 5 * s >= most)


def _curves(n, chapter, height, last):
    begin, length = _span(chapter)
    top = TOP + n * ROW
    most = max(rate for _, _, rate, _ in chapter.rates())
    common = ["unset object", "unset label", f"set xrange [0:{length:.3f}]", *_bands(chapter, begin)]
    return [
        *common, *_numbers(chapter, begin), *(_legend(height) if n == 0 else []),
        *_margins(height, CURVES_LEFT, CURVES_RIGHT, top + 26, top + 138), "set format x ''", "unset logscale", "set xlabel",
        f"set title '{chapter.title}' font ',14'",
        "set ylabel 'I/O per second'", "set yrange [0:*]", f"set ytics 0, {_step(most)}",
        f"plot $rate{n} using 1:2 with lines linecolor rgb '#08519c' linewidth 2 notitle",
        *common, *_margins(height, CURVES_LEFT, CURVES_RIGHT, top + 160, top + 244), "set format x '%g'", "set ytics autofreq", "unset title",
        "set xlabel" + (" \"seconds since the guest's load began\"" if last else ""),
        "set ylabel 'latency, ms'", "set yrange [*:*]", "set logscale y",
        f"plot $latency{n} using 1:2 with lines linecolor rgb '#54278f' linewidth 2 notitle",
        "unset logscale", "set xlabel", "set format x '%g'",
    ]


def _time(ms):
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"


def _bar(row, begin, end, colour):
    return (f"set object rectangle from {begin:.4f}, {row - 0.32} to {end:.4f}, {row + 0.32} "
            f"fillcolor rgb '{colour}' fillstyle solid 0.9 border linecolor rgb '#404040'")


def _bars_of(m):
    """A migration as bars: row, begin, end (ms since the VF was told to stop), colour, text."""
    zero = m.phases["suspend"][0]
    if m.stopped:
        yield 0, *[(t - zero) * 1000 for t in m.stopped], "#bdbdbd", "no sign of it"
    for row, name in enumerate(PHASES, 1):
        if name in m.phases:
            yield row, *[(t - zero) * 1000 for t in m.phases[name]], COLOURS[name], PHASES[name][1]


def _one(n, chapter, height, last, longest):
    """One migration, enlarged: a bar for each phase, on its side. All chapters have the same scale."""
    m = chapter.typical()
    names = ["guest stands still", *(f"{side}: {name}" for name, (side, _) in PHASES.items())]
    left, right = -0.25 * longest, 1.04 * longest
    lines = ["unset object", "unset label", f"set title 'migration {m.number}, from {m.way}, enlarged' font ',12'",
             *_margins(height, BARS_LEFT, BARS_RIGHT, TOP + n * ROW + 26, TOP + n * ROW + 244), f"set xrange [{left * 1.02:.3f}:{right:.3f}]",
             f"set yrange [{len(names) - 0.4}:-0.6]", "unset ylabel",
             "set xlabel" + (" 'milliseconds since the VF was told to stop'" if last else ""),
             "set ytics (" + ", ".join(f"'{name}' {i}" for i, name in enumerate(names)) + ")"]
    for row, begin, b, colour, what in _bars_of(m):
        a = max(begin, left)
        lines.append(_bar(row, a, max(b, a + longest / 400), colour))
        text = f"{what}, {_time(b - begin)}" + (" in all" if begin < a else "")
        room = LETTER * len(text) / (BARS_RIGHT - BARS_LEFT) * (right - left)
        at, how = (a + b) / 2, "center"
        if b - a < room < right - b:
            at, how = b, "left offset 0.6,0"
        elif b - a < room < a - left:
            at, how = a, "right offset -0.6,0"
        lines.append(f"set label '{text}' at {at:.4f}, {row} {how} front")
    return [*lines, "plot NaN notitle", "set ytics autofreq"]


def _compared(chapters, height, left, right, title, values, colour, names):
    """A bar for each chapter: the median of its migrations; values: of a chapter."""
    top = TOP + len(chapters) * ROW + 64
    found = [values(c) for c in chapters]
    most = max(map(statistics.median, found)) or 1
    tics = ", ".join(f"'{c.title if names else ''}' {i}" for i, c in enumerate(chapters))
    lines = ["unset object", "unset label", f"set title '{title}' font ',14'", *_margins(height, left, right, top, top + BAR * len(chapters)),
             # beside the longest bar there is room for its numbers
             f"set xrange [0:{most * 1.9:.4f}]", f"set yrange [{len(chapters) - 0.4}:-0.6]", "unset ylabel", "set xlabel",
             f"set ytics ({tics})", f"set xtics 0, {_step(1.9 * most)}"]
    for row, v in enumerate(found):
        middle = statistics.median(v)
        number = "{:.0f}" if middle >= 100 else "{:.1f}"
        text = number.format(middle) + (f"  ({number.format(min(v))} to {number.format(max(v))})" if len(v) > 1 else "")
        lines += [_bar(row, 0, middle, colour), f"set label '{text}' at {middle:.4f}, {row} left offset 0.6,0 front"]
    return [*lines, "plot NaN notitle", "set ytics autofreq", "set xtics autofreq"]


def script(chapters, title):
    """Commands for gnuplot, except for the kind and name of the result."""
    height = height_of(chapters)
    lines = ["set encoding utf8", f"set multiplot title '{title}' font ',18'", "set grid linecolor rgb '#d9d9d9'", "set border 3",
             "set xtics nomirror", "set ytics nomirror"]
    data = ""
    longest = max(end for c in chapters for _, _, end, *_ in _bars_of(c.typical()))
    for n, chapter in enumerate(chapters):
        begin, _ = _span(chapter)
        rates = [(t - begin, rate, ms) for t0, t1, rate, ms in chapter.rates() for t in (t0, t1)]
        data += _block(f"rate{n}", [(t, rate) for t, rate, _ in rates])
        data += _block(f"latency{n}", [(t, ms) if ms else () for t, _, ms in rates])
        last = chapter is chapters[-1]
        lines += _curves(n, chapter, height, last) + _one(n, chapter, height, last, longest)
    lines += _compared(chapters, height, 330, 740, "downtime, ms: median (least to most)",
                       lambda c: [m.downtime for m in c.migrations], COLOURS["suspend"], True)
    lines += _compared(chapters, height, 830, 1262, "RAM sent in that time, MiB", lambda c: [m.sent / MIB for m in c.migrations],
                       COLOURS["memory"], False)
    return data + "\n".join([*lines, "unset multiplot", ""])


def height_of(chapters):
    return TOP + len(chapters) * (ROW + BAR) + BOTTOM


def draw(chapters, title, base):
    """Write BASE.svg and BASE.png; returns their names."""
    return _plot(script(chapters, title), height_of(chapters), base)


def _left(n, m):
    """What is left to copy, in the course of a migration: MiB."""
    told = sorted([*m.progress, *((t, e["dirty"]) for t, e in m.rounds), m.stopped, (m.done[0], 0)])
    return _block(f"left{n}", [(t - m.begun, d / MIB) for t, d in told])


def _parts(m):
    """What was sent: in the first round, in those after it, and while the guest was stopped; MiB."""
    sent = [e["sent"] / MIB for _, e in m.rounds]
    total = m.done[1]["sent"] / MIB
    return sent[0], sent[-1] - sent[0], total - sent[-1]


def rounds_script(moved, title):
    """Commands for gnuplot: migrations with a copy (local.Moved)."""
    height = TOP + ROW + BOTTOM
    data = "".join(_left(n, m) for n, m in enumerate(moved))
    data += _block("parts", [(n, *_parts(m)) for n, m in enumerate(moved, 1)])
    curves = ", ".join(f"$left{n} using 1:2 with lines linecolor rgb '{'#08519c' if n == 0 else '#9ecae1'}' notitle" for n in reversed(range(len(moved))))
    return data + "\n".join([
        "set encoding utf8", f"set multiplot title '{title}' font ',18'", "set grid linecolor rgb '#d9d9d9'", "set border 3",
        "set xtics nomirror", "set ytics nomirror", f"set label '{NOTE}' at screen 0.5, screen {15 / height:.5f} center font ',11' textcolor rgb '#606060'",
        *_margins(height, CURVES_LEFT, CURVES_RIGHT - 40, TOP, height - BOTTOM + 30), "set title 'left to copy, MiB (the first migration dark)'",
        "set xlabel 'seconds since the copy began'", "set xrange [0:*]", "set yrange [0:*]", f"plot {curves}", "unset label",
        *_margins(height, BARS_LEFT - 110, BARS_RIGHT, TOP, height - BOTTOM + 30), "set title 'sent, MiB'", "set xlabel 'migration'",
        f"set xrange [0.3:{len(moved) + 0.7}]", "set xtics 1", f"set yrange [0:{1.4 * max(sum(_parts(m)) for m in moved):.3f}]",
        "set style fill solid 0.9", "set boxwidth 0.6", "set key top right",
        f"plot $parts using 1:($2+$3+$4) with boxes linecolor rgb '{COLOURS['resume']}' title 'while the guest is stopped', "
        f"$parts using 1:($2+$3) with boxes linecolor rgb '{COLOURS['suspend']}' title 'again, by the log', "
        f"$parts using 1:2 with boxes linecolor rgb '{COLOURS['memory']}' title 'first round'",
        "unset multiplot", ""])


def draw_rounds(moved, title, base):
    """Write BASE.svg and BASE.png of migrations with a copy; returns their names."""
    return _plot(rounds_script(moved, title), TOP + ROW + BOTTOM, base)


def _plot(text, height, base):
    """Write BASE.svg and BASE.png."""
    size = f"size {WIDTH},{height} font 'DejaVu Sans,12'"
    names = []
    for kind, terminal in (("svg", f"svg {size} background rgb 'white' dynamic"), ("png", f"pngcairo {size}")):
        names.append(f"{base}.{kind}")
        subprocess.run(["gnuplot"], input=f"set terminal {terminal}\nset output '{names[-1]}'\n{text}", text=True, check=True)
    return names


def stood_still(samples, between):
    """The longest time without a sign of the guest around a migration."""
    gaps = [(a[0], b[0]) for a, b in zip(samples, samples[1:]) if b[0] > between[0] and a[0] < between[1]]
    return max(gaps, key=lambda g: g[1] - g[0], default=None)
