#!/usr/bin/env python3
"""arrows.py [ROOT] - the rules of the house that a compiler does not know (docs/architecture.md).

Prints file:line, the rule and what to do for each break, and exits 1 when there is one. tests/lint/arrows_test.py
breaks each rule once.
"""
import re
import subprocess
import sys
from pathlib import Path
from typing import Iterator, NamedTuple

# The one table of floors. A room includes itself and rooms of a strictly lower floor.
FLOORS = {
    "base": 0,
    "crypto": 1,
    "queue": 2, "qssh": 2, "dag": 2, "flow": 2, "quantum": 2, "watch": 2,
    "image": 3, "relay": 3, "rpc": 3, "validator": 3,
    "node": 4, "sim": 4,
    "serve": 5, "cli": 5,
    "apps": 6,
}
ANY_FLOOR = {"tests", "bench", "fuzz", "examples"}  # may include every room; no room may include them
GENERATED = {"qh"}  # "qh/version.h"

LINES_MAX = 500
SOURCE_SUFFIXES = {".cpp", ".h", ".c", ".cc", ".hpp", ".py", ".sh"}
CODE_SUFFIXES = {".cpp", ".h", ".cc", ".hpp"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
SLEEPS = {
    "code": re.compile(r"\bsleep_(?:for|until)\b|\b(?:u|nano)?sleep\s*\("),
    ".py": re.compile(r"\btime\.sleep\s*\(|\bfrom time import .*\bsleep\b"),
    ".sh": re.compile(r"(?:^|[;&|]|\b(?:do|then|else)\b)\s*sleep\s+[0-9$\"]"),
    ".ts": re.compile(r"\bwaitForTimeout\b"),
}
SLEEPS[".js"] = SLEEPS[".mjs"] = SLEEPS[".ts"]
# Written so that this file does not name one itself.
REGISTRY = re.compile(
    r"\b(?:deb|security|archive|snapshot|ports|http|ftp(?:\.[a-z]{2})?)\.(?:debian|ubuntu)\.(?:org|com)\b"
    r"|\bregistry\.(?:npmjs|yarnpkg)\.(?:org|com)\b|\b(?:test\.)?pypi\.org\b|\bfiles\.pythonhosted\.org\b"
    r"|\b(?:static\.|index\.)?crates\.io\b|\bproxy\.golang\.org\b|\bpackages\.cloud\.google\.com\b"
    r"|\bdeb\.nodesource\.com\b|\bapt\.llvm\.org\b")
MACHINE_PATH = re.compile(r"(?:^|[^A-Za-z0-9_.])/(?:work|farm)/")


class Finding(NamedTuple):
    file: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.text}"


class Include(NamedTuple):
    file: Path
    line: int
    angled: bool
    path: str


def tracked_files(root: Path) -> list[Path]:
    """What git tracks or would track; without git, everything but what builds leave behind."""
    listing = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "."],
        capture_output=True, check=False)
    if listing.returncode == 0:
        names = [Path(name) for name in listing.stdout.decode().split("\0") if name]
    else:
        skipped = {".git", "build", "node_modules", "__pycache__"}
        names = [path.relative_to(root) for path in root.rglob("*")
                 if not skipped.intersection(path.relative_to(root).parts)]
    return sorted({name for name in names if (root / name).is_file()})


def room_of(path: Path) -> str:
    """The room that a file stands in: src/queue/wal.cpp is in queue, sim/disk.h in sim, apps/qudag/main.cpp in apps."""
    parts = path.parts
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    return parts[0] if parts[0] in FLOORS or parts[0] in ANY_FLOOR else ""


class Tree:
    """The tracked files below root, and what the C++ ones include."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = tracked_files(root)
        self.includes = [include for path in self.files if path.suffix in CODE_SUFFIXES and room_of(path)
                         for include in self._includes_of(path)]

    def lines(self, path: Path) -> list[str]:
        data = (self.root / path).read_bytes()
        return [] if b"\0" in data[:8192] else data.decode(errors="replace").splitlines()

    def _includes_of(self, path: Path) -> Iterator[Include]:
        for number, text in enumerate(self.lines(path), 1):
            match = INCLUDE.match(text)
            if match:
                yield Include(path, number, match[1] == "<", match[2])

    def target(self, include: Include) -> Path | None:
        """The file of ours that an include names, if it is one."""
        if include.angled:
            return None
        for base in (Path("src"), Path("."), include.file.parent):
            if (self.root / base / include.path).is_file():
                return base / include.path
        return None


def arrows(tree: Tree) -> Iterator[Finding]:
    for include in tree.includes:
        room = room_of(include.file)
        if include.angled or "/" not in include.path or room in ANY_FLOOR:
            continue  # a name without a folder stands beside the file, in the same room
        other = include.path.split("/")[0]
        if other == room or other in GENERATED:
            continue
        if room not in FLOORS:
            text = f"src/{room} is no room of docs/architecture.md; give it a floor in tests/lint/arrows.py"
        elif other not in FLOORS:
            text = f'"{include.path}" is in no room that {room} may include'
        elif FLOORS[other] < FLOORS[room]:
            continue
        else:
            text = (f"{room} (floor {FLOORS[room]}) includes {other} (floor {FLOORS[other]}); "
                    "a room includes rooms of a lower floor only")
        yield Finding(str(include.file), include.line, "arrow", text)


def boost_in_headers(tree: Tree) -> Iterator[Finding]:
    """Boost may stand in a header as long as no other room sees that header, directly or through others."""
    seen_from: dict[Path, Path] = {}  # header -> the file of another room through which it is seen
    edges: dict[Path, list[Path]] = {}
    for include in tree.includes:
        target = tree.target(include)
        if target is None:
            continue
        edges.setdefault(include.file, []).append(target)
        if room_of(target) != room_of(include.file):
            seen_from.setdefault(target, include.file)
    reached = list(seen_from)
    while reached:
        header = reached.pop()
        for target in edges.get(header, []):
            if target not in seen_from:
                seen_from[target] = seen_from[header]
                reached.append(target)
    for include in tree.includes:
        if include.path.startswith("boost/") and include.file.suffix != ".cpp" and include.file in seen_from:
            yield Finding(str(include.file), include.line, "boost",
                          f"<{include.path}> in a header that {seen_from[include.file]} of another room sees; "
                          "move it to a .cpp, or the type to a header of the room's own")


def is_test(path: Path) -> bool:
    return path.parts[0] == "tests" or path.stem.endswith("_test") or ".test." in path.name


def sleeps(tree: Tree) -> Iterator[Finding]:
    for path in filter(is_test, tree.files):
        pattern = SLEEPS["code"] if path.suffix in CODE_SUFFIXES else SLEEPS.get(path.suffix)
        for number, text in enumerate(tree.lines(path) if pattern else [], 1):
            if pattern.search(text):
                yield Finding(str(path), number, "sleep",
                              "a test waits for the event with a deadline, or uses a virtual clock")


def long_files(tree: Tree) -> Iterator[Finding]:
    for path in tree.files:
        if path.parts[0] not in {"src", "apps", "sim"} or path.suffix not in SOURCE_SUFFIXES:
            continue
        count = len(tree.lines(path))
        if count > LINES_MAX:
            yield Finding(str(path), LINES_MAX + 1, "length", f"{count} lines; {LINES_MAX} is the most: split it by idea")


def places(tree: Tree) -> Iterator[Finding]:
    for path in tree.files:
        for number, text in enumerate(tree.lines(path), 1):
            if REGISTRY.search(text):
                yield Finding(str(path), number, "registry",
                              "names the host of a package registry; read it from the machine's own configuration")
            if MACHINE_PATH.search(text):
                yield Finding(str(path), number, "path", "names a path that only one machine has")


RULES = (arrows, boost_in_headers, sleeps, long_files, places)


def check(root: Path) -> list[Finding]:
    tree = Tree(root)
    return sorted(finding for rule in RULES for finding in rule(tree))


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    findings = check(root)
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
