# SPDX-License-Identifier: GPL-2.0-only
"""The table that `make bench` prints: what was measured, beside its limit and its goal."""

import argparse
import dataclasses
import os
import sys

import host
import nested


@dataclasses.dataclass
class Row:
    """One measurement. Times and counts come from one run of one machine, so only their ratio means something elsewhere."""
    name: str
    value: float                # what was measured
    limit: float = None         # what nothing can be better than: of the device, or the number that is needed
    unit: str = ""
    goal: float = None          # most of value / limit; None: the row is only shown

    @property
    def ratio(self):
        return self.value / self.limit if self.limit else None

    @property
    def missed(self):
        return self.goal is not None and (self.ratio is None or self.ratio > self.goal)


def number(value):
    """As few digits as say something."""
    if value is None:
        return ""
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value)}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def show(rows):
    """Print the table; True if all goals hold."""
    head = ("", "value", "limit", "unit", "ratio", "goal", "")
    lines = [head] + [(r.name, number(r.value), number(r.limit), r.unit, number(r.ratio), "" if r.goal is None else f"<= {number(r.goal)}",
                       "MISSED" if r.missed else "") for r in rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    for line in lines:
        cells = [line[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(line[1:], widths[1:])]
        print("  ".join(cells).rstrip())
    missed = sum(r.missed for r in rows)
    judged = sum(r.goal is not None for r in rows)
    print(f"{judged - missed} of {judged} goals hold")
    return not missed


def main(rows, description, kernels, default):
    """A program that shows the rows of one module; returns its exit code."""
    p = argparse.ArgumentParser(prog=f"tests/bench/{os.path.basename(sys.argv[0])}", description=description,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--kernel", choices=kernels, default=default, help=f"kernel of the hosts (default: {default})")
    try:
        return 0 if show(rows(p.parse_args().kernel)) else 1
    except (nested.Failure, host.HostError) as e:
        return f"error: {e}"
    except KeyboardInterrupt:
        host.end_all()
        return 130
