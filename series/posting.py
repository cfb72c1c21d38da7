# SPDX-License-Identifier: GPL-2.0-only
"""A series of patches made of steps: what all postings share."""

import concurrent.futures
import fnmatch
import os
import re
import shutil
import subprocess
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


class Mismatch(Exception):
    """A source is not what a step expects of it."""


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


def project(path):
    return read(TOP, path)


def replace(text, *rules):
    """Apply rules (old, new) or (regular expression, new), each of which has to match exactly once."""
    for old, new in rules:
        if isinstance(old, re.Pattern):
            text, n = old.subn(new, text)
        else:
            n = text.count(old)
            text = text.replace(old, new)
        if n != 1:
            raise Mismatch(f"found {n} times, not once: {old.pattern if isinstance(old, re.Pattern) else old!r}")
    return text


def without_tools(text):
    """Drop what documents say of programs of this project: sentences, or what follows a semicolon, that begin with them."""
    said = r"``(?:tests/[\w-]+|nvme-lm-dump)[^`]*``(?:[^.]|\.(?=\S))*\."
    text = re.sub(rf";\s+{said}", ".", text)
    text = re.sub(rf" {said}|(?m:^){said}[ \n]", "", text)
    return re.sub(r"\n{3,}", "\n\n", text)


def without_project(text):
    """Drop what only holds in this project: blocks of ".. only:: project"."""
    return re.sub(r"(?m)^\.\. only:: project\n(?:\n|[ ]+.*\n)+?(?=\S|\Z)", "", text)


def without_references(text, targets):
    """Drop references in brackets to documents and labels that are not among the targets; others of that kind are a mismatch."""
    def absent(m):
        return "" if m[1] not in targets else m[0]
    text = re.sub(r"\s+\((?:see )?:(?:ref|doc):`([\w-]+)`\)", absent, text)
    for target in re.findall(r":(?:ref|doc):`([\w-]+)`", text):
        if target not in targets:
            raise Mismatch(f"a reference to {target}, which is not in the tree")
    return text


class Step:
    """One patch: its message, and the files that it changes or adds."""

    def __init__(self, message):
        self.message = message.strip() + "\n"
        self.files = {}

    @property
    def subject(self):
        return self.message.split("\n", 1)[0]


class Series:
    """Steps on top of a source tree, which is read and never written to, or of another series on it.

    What a series is: the name of it and of the directory below series/TREE with its messages, and the series that it needs.
    """

    NAME = ""
    ON = None

    def __init__(self, source, messages):
        self.source = source
        self.messages = os.path.join(TOP, messages, self.NAME)
        self.on = self.ON(source) if self.ON else None
        self.steps = []
        self.now = {}       # contents after the last step
        self.base = {}      # contents before the first one of what a step changes

    def step(self, message):
        self.steps.append(Step(read(self.messages, message)))

    def before(self, path):
        """A file that this series finds, or None."""
        if self.on:
            return self.on.now[path] if path in self.on.now else self.on.before(path)
        return read(self.source, path) if os.path.exists(os.path.join(self.source, path)) else None

    def get(self, path):
        """A file as the steps so far leave it."""
        text = self.now[path] if path in self.now else self.before(path)
        if text is None:
            raise Mismatch(f"the source has no {path}")
        return text

    def index(self, path):
        """Whether the file was there before, and lists what is not in the series."""
        return path in self.base and path.endswith("index.rst")

    def exists(self, path):
        return path in self.now or self.before(path) is not None

    def put(self, path, text):
        if path not in self.now and (before := self.before(path)) is not None:
            self.base[path] = before
        self.now[path] = self.steps[-1].files[path] = text

    def add(self, path, text):
        if self.exists(path):
            raise Mismatch(f"the source has {path} already")
        self.put(path, text)

    def edit(self, path, *rules):
        try:
            self.put(path, replace(self.get(path), *rules))
        except Mismatch as e:
            raise Mismatch(f"{path}: {e}") from None

    def tree_file(self, path):
        """Add a file that a tree has in a form of its own."""
        self.add(path, read(self.messages, "files", path))

    def tree_patch(self, name):
        """Apply a patch that a tree alone needs."""
        self.patch(os.path.relpath(os.path.join(self.messages, "patches", name), TOP), fuzz=0)

    def insert(self, path, text):
        """Put text before the end of a header."""
        self.edit(path, (re.compile(r"\n(#endif[^\n]*\n)\Z"), lambda m: "\n" + text.strip("\n") + "\n\n" + m[1]))

    def has(self, patch):
        """Whether one of the project's patches is in the files already."""
        text = project(patch)
        with tempfile.TemporaryDirectory(prefix="series-") as work:
            for name in re.findall(r"(?m)^--- a/(\S+)", text):
                write(work, name, self.get(name))
            return not subprocess.run(["patch", "-p1", "-s", "-f", "-R", "-F0", "--dry-run", "-d", work], input=text, text=True,
                                      stdout=subprocess.DEVNULL, check=False).returncode

    def patch(self, patch, only=None, fuzz=2):
        """Apply one of the project's patches, or the part of it that changes the file ONLY."""
        text = project(patch)
        parts = re.split(r"(?m)^(?=--- a/)", text)[1:]
        with tempfile.TemporaryDirectory(prefix="series-") as work:
            names = []
            for part in parts:
                name = re.match(r"--- a/(\S+)", part)[1]
                if only and name not in only:
                    continue
                names.append(name)
                write(work, name, self.get(name))
                r = subprocess.run(["patch", "-p1", "-s", f"-F{fuzz}", "--no-backup-if-mismatch", "-d", work], input=part,
                                   text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
                if r.returncode:
                    raise Mismatch(f"{patch} does not apply to {name}:\n{r.stdout}")
            for name in names:
                self.put(name, read(work, name))


def write(top, path, text):
    """Write a file anew: in a copy made of hard links the original stays what it is."""
    path = os.path.join(top, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def git(where, *args, **kwargs):
    return subprocess.run(["git", "-C", where, *args], check=True, stdout=subprocess.PIPE, text=True, **kwargs).stdout


def identity():
    """Whoever runs this: author and Signed-off-by."""
    for key in ("user.name", "user.email"):
        if subprocess.run(["git", "-C", TOP, "config", key], check=False, stdout=subprocess.DEVNULL).returncode:
            raise SystemExit(f"error: git does not know who signs off: git config --global {key} ...")
    return [git(TOP, "config", key).strip() for key in ("user.name", "user.email")]


def export(series, cover, prefix, output):
    """Write the series as git makes it; returns the names of the patches, cover letter first."""
    name, email = identity()
    who = ["-c", f"user.name={name}", "-c", f"user.email={email}", "-c", "commit.gpgsign=false"]
    with tempfile.TemporaryDirectory(prefix="series-") as work:
        git(work, "init", "-q", "-b", "posting")
        for path, text in series.base.items():
            write(work, path, text)
        git(work, "add", "-A")
        git(work, *who, "commit", "-q", "--allow-empty", "-m", "base")
        git(work, "tag", "base")
        for step in series.steps:
            for path, text in step.files.items():
                write(work, path, text)
            git(work, "add", "-A")
            git(work, *who, "commit", "-q", "-s", "-F", "-", input=step.message)
        git(work, "config", "branch.posting.description", cover)
        os.makedirs(output, exist_ok=True)
        for old in os.listdir(output):
            if re.fullmatch(r"\d{4}-.*\.patch", old):
                os.unlink(os.path.join(output, old))
        git(work, *who, "format-patch", "-q", "--cover-letter", "--cover-from-description=subject", "--zero-commit",
            "--no-signature", "--no-thread", "--subject-prefix", prefix, "-o", output, "base..posting")
    return [os.path.join(output, f) for f in sorted(os.listdir(output)) if re.fullmatch(r"\d{4}-.*\.patch", f)]


def patched(patch):
    """The files that a patch changes, and those of them that it adds."""
    text = read(patch)
    return (re.findall(r"(?m)^\+\+\+ b/(\S+)", text), re.findall(r"(?m)^--- /dev/null\n\+\+\+ b/(\S+)", text))


class Applied:
    """A directory with the files of a source that a series touches, to which patch after patch is applied."""

    def __init__(self, source, patches):
        self.source = source
        self.dir = tempfile.TemporaryDirectory(prefix="series-applied-")
        for patch in patches:
            changed, added = patched(patch)
            for path in changed:
                original = os.path.join(source, path)
                if path not in added and os.path.exists(original):
                    write(self.dir.name, path, read(original))

    def apply(self, patch):
        """Without fuzz; returns what went wrong."""
        r = subprocess.run(["patch", "-p1", "-s", "-F0", "--no-backup-if-mismatch", "-d", self.dir.name, "-i", patch],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return [f"{patch}: {line}" for line in r.stdout.splitlines()] if r.returncode else []


def part(name):
    """Make a part of vm/setup; returns where it is."""
    setup = os.path.join(TOP, "vm", "setup")
    subprocess.run([setup, name], check=True)
    return subprocess.run([setup, "--print", name], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def checkpatch(command, source, patches):
    """What checkpatch has to say, in the order of the patches."""
    def run(patch):
        with tempfile.TemporaryDirectory(prefix="series-") as work:     # for what it leaves behind
            r = subprocess.run([*command(source, patched(patch)[1]), os.path.abspath(patch)], cwd=work, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, check=False)
        # whether somebody maintains a file that is added is what unmaintained() finds out
        lines = [line for line in r.stdout.splitlines() if line.strip() and not line.endswith("added, moved or deleted file(s):")]
        return lines
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [line for lines in pool.map(run, patches) for line in lines]


def unmaintained(series):
    """Added files that no entry of MAINTAINERS covers."""
    patterns = re.findall(r"(?m)^F:\s+(\S+)$", series.get("MAINTAINERS"))
    return [path for path in series.now if path not in series.base
            and not any(path.startswith(p) if p.endswith("/") else fnmatch.fnmatch(path, p) for p in patterns)]


def sphinx(series, root):
    """What Sphinx has to say of the documents under ROOT that the series and those that it needs add or change, by themselves."""
    documents, below = [], series
    while below:
        documents += [path for path in below.now if path.startswith(root) and path.endswith(".rst") and not below.index(path)]
        below = below.on
    with tempfile.TemporaryDirectory(prefix="series-") as work:
        for path in documents:
            # kernel-doc needs the whole tree
            write(work, os.path.relpath(path, root), re.sub(r"(?m)^\.\. kernel-doc::.*\n(?: +.*\n)*", "", series.get(path)))
        write(work, "contents.rst", ".. toctree::\n   :glob:\n\n   **\n")
        r = subprocess.run(["sphinx-build", "-q", "-W", "--keep-going", "-n", "-C", "-D", "root_doc=contents", "-b", "dummy", work,
                            os.path.join(work, "out")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return [line.replace(work, root) for line in r.stdout.splitlines()]


def verdict(what, complaints):
    """A line of TAP; returns whether all is well."""
    print(f"{'not ok' if complaints else 'ok'} - {what}")
    for line in complaints:
        print(f"    {line}")
    return not complaints


def make(module, cls, below, output):
    """Write one series, for a source with the patches BELOW, and check it; returns whether all is well, and its patches."""
    source = module.source()
    series = cls(source)
    written = export(series, read(series.messages, "cover"), module.PREFIX, output)
    patches = written[1:]
    name = f"{module.version(source)}, {cls.NAME}"
    applied = Applied(source, below + patches)
    ok = verdict(f"{name}: {len(patches)} patches apply", [line for patch in below + patches for line in applied.apply(patch)])
    ok &= verdict(f"{name}: every new file has a maintainer", unmaintained(series))
    ok &= verdict(f"{name}: checkpatch", checkpatch(module.checkpatch_command, source, patches))
    if shutil.which("sphinx-build"):
        ok &= verdict(f"{name}: documents", sphinx(series, module.DOCUMENTS_ROOT))
    else:
        print(f"ok - {name}: documents # SKIP no sphinx-build; \"make htmldocs\" installs it")
    for patch in written:
        print(f"    {patch}")
    for patch in patches:
        if unknown := re.search(r'(?m)^Fixes: \?+ (\(".*"\))$', read(patch)):
            print(f"# to be filled in by whoever posts it: the commit {unknown[1]} in {patch}")
    return ok, patches


def chain(cls):
    """A series and all that it needs, in the order in which they are applied."""
    return [*(chain(cls.ON) if cls.ON else []), cls]


def longest(series):
    """Chains that no other one begins with: what has to be built to build all of these series."""
    needed = {cls.ON for cls in series}
    return [chain(cls) for cls in series if cls not in needed]


def make_all(module, output):
    """Write all series for one tree; returns whether all is well, and the patches of each series."""
    ok, patches = True, {}
    for cls in module.SERIES:
        below = [patch for other in chain(cls)[:-1] for patch in patches[other]]
        fine, patches[cls] = make(module, cls, below, os.path.join(output, cls.NAME))
        ok &= fine
    return ok, patches
