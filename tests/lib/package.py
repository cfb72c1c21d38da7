# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of the Debian package and of libvirt share: the package, and how a result is judged."""

import glob
import os
import re
import shutil
import subprocess
import time

import host
from tap import Tap

TOP = os.path.dirname(host.VM)
MODULE = "nvme-vfio-pci"
PACKAGE = f"{MODULE}-dkms"
CHECKOUT = "/root/checkout"
APT = "apt-get -q -y --no-install-recommends"


class Failure(Exception):
    """Something is not as it has to be."""


def expect(condition, what):
    if not condition:
        raise Failure(what)


def expect_in(pattern, text, where):
    expect(re.search(pattern, text), f"no '{pattern}' in {where}:\n{text[-3000:]}")


def show(title, *lines):
    print("".join(f"# {title}: {line}\n" for line in lines), end="", flush=True)


class Results:
    """TAP of tests that are functions, which raise a Failure or an error of the host."""

    def __init__(self):
        self.tap = Tap()

    def one(self, name, test, *args):
        started = time.monotonic()
        try:
            test(*args)
            ok = True
        except (Failure, host.HostError, OSError, subprocess.SubprocessError) as e:
            ok = False
            show("failed", *str(e).splitlines()[-60:])
        self.tap.result(name, ok)
        show("time", f"{time.monotonic() - started:.0f} s")
        return ok


def copy_checkout(m):
    """What git knows of this checkout, and what is new in it."""
    files = subprocess.run(["git", "-C", TOP, "ls-files", "-z", "-co", "--exclude-standard"], check=True, stdout=subprocess.PIPE).stdout
    for name in files.decode().rstrip("\0").split("\0"):
        os.makedirs(os.path.dirname(m.path(f"{CHECKOUT}/{name}")), exist_ok=True)
        shutil.copy2(os.path.join(TOP, name), m.path(f"{CHECKOUT}/{name}"), follow_symlinks=False)


def build(m, directory):
    """Build the packages on a machine; returns where the driver's is, in a directory here."""
    copy_checkout(m)
    m.run_ok(f"cd {CHECKOUT} && dpkg-buildpackage -us -uc")
    for deb in glob.glob(m.path("/root/*.deb")):
        shutil.copy(deb, directory)
    return glob.glob(os.path.join(directory, f"{PACKAGE}_*.deb"))[0]
