# SPDX-License-Identifier: GPL-2.0-only
"""Results of tests, printed as TAP.

    tap = Tap()
    tap.result("the device is found", ok, ["what was seen"])
    sys.exit(tap.end())
"""


class Tap:
    """The results of one program."""

    def __init__(self, planned=None):
        self.passed = self.failed = self.skipped = 0
        self.planned = planned
        print("TAP version 13" + ("" if planned is None else f"\n1..{planned}"), flush=True)

    def result(self, name, ok, details=(), skip=None):
        """One test; details are strings, whose lines are printed before it. skip: why it was not done. Returns ok."""
        self.skipped += skip is not None
        self.passed += bool(ok) and skip is None
        self.failed += not ok
        for line in "\n".join(details).splitlines():
            print(line if line.startswith("#") else f"# {line}")
        number = self.passed + self.failed + self.skipped
        print(f"{'' if ok else 'not '}ok {number} - {name}{'' if skip is None else f' # SKIP {skip}'}", flush=True)
        return ok

    def end(self):
        """Print the totals; returns the exit code, which is 1 if a test failed or there was none."""
        number = self.passed + self.failed + self.skipped
        if self.planned is None:
            print(f"1..{number}")
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return 1 if self.failed or not number else 0
