# SPDX-License-Identifier: GPL-2.0-only
"""Build a source tree again and again, with one patch more each time."""

import contextlib
import fcntl
import os
import subprocess
import time

from posting import Applied, TOP, part, patched, read, verdict, write


def in_tree(directory, command):
    """Run a shell command in vm/setup's Debian tree with DIRECTORY at /mnt; returns its exit code and all that it printed."""
    tree = part("tree")
    r = subprocess.run(["bash", "-euc", '. "$1/vm/lib.sh"; in_tree "$2" "$3" nice -n 5 sh -ec "$4"', "sh", TOP, tree, directory, command],
                       check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       errors="replace")
    return r.returncode, r.stdout


class Sources:
    """The copy of a source that a part of vm/setup was built from, DIRECTORY/src. It is as it was before and after."""

    def __init__(self, directory, source, patches):
        self.directory = directory
        self.source = source
        self.applied = Applied(source, patches)
        self.noted = os.path.join(directory, "changed")

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.lock = stack.enter_context(open(os.path.join(self.directory, "lock"), "w", encoding="utf-8"))
            fcntl.flock(self.lock, fcntl.LOCK_EX)
            self.restore()      # whoever was interrupted could not
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.restore()
        self.stack.close()

    def restore(self):
        """Undo what is noted as changed."""
        if not os.path.exists(self.noted):
            return
        for path in read(self.noted).split():
            original = os.path.join(self.source, path)
            if os.path.exists(original):
                self.update(path, read(original))
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(self.directory, "src", path))
        os.unlink(self.noted)

    def update(self, path, text):
        """Only where it differs: what is newer is compiled again."""
        copy = os.path.join(self.directory, "src", path)
        if not os.path.exists(copy) or read(copy) != text:
            write(self.directory, os.path.join("src", path), text)

    def apply(self, patch):
        """Returns the files that changed."""
        wrong = self.applied.apply(patch)
        if wrong:
            raise SystemExit("\n".join(wrong))
        changed = patched(patch)[0]
        with open(self.noted, "a", encoding="utf-8") as f:
            f.writelines(f"{path}\n" for path in changed)
        for path in changed:
            self.update(path, read(self.applied.dir.name, path))
        return changed


BUILT = set()       # patches that were built after, for another series on the same one


def build(name, directory, source, patches, commands, complaints, last=False):
    """Build after each patch what COMMANDS(changed, all so far) says, (title, shell command) each; COMPLAINTS(output) are faults.

    With LAST only after the last one.
    """
    ok = True
    seen = set()
    with Sources(directory, source, patches) as sources:
        for patch in patches:
            changed = sources.apply(patch)
            seen.update(changed)
            if patch in BUILT or last and patch != patches[-1]:
                continue
            BUILT.add(patch)
            changed = seen if last else changed
            wrong, titles, start = [], [], time.monotonic()
            for title, command in commands(changed, seen, patch == patches[-1]):
                titles.append(title)
                rc, output = in_tree(directory, command)
                wrong += complaints(output)
                if rc:
                    wrong += [f"{title}: exit code {rc}", *output.splitlines()[-30:]]
            which = f"{os.path.basename(os.path.dirname(patch))}: patch {os.path.basename(patch)[:4]}"
            took = f" ({time.monotonic() - start:.0f} s)" if titles else ""
            ok &= verdict(f"{name}, {which}: {', '.join(titles) or 'nothing to build'}{took}", wrong)
    return ok
