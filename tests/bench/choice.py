# SPDX-License-Identifier: GPL-2.0-only
"""Which rows are wanted: options of tests/bench/bench."""

quick = False       # without what takes minutes
texts = []          # only rows with one of these in their names


def wanted(*names):
    """Whether one of the rows is."""
    return not texts or any(text in name for text in texts for name in names)
