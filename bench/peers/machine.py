"""machine.py - what the figures depend on besides the servers: the disk, its file system, and who else is busy."""
import os
import re
import time
from pathlib import Path
from statistics import median


def file_system(directory: Path) -> str:
    """For example "ext4 on /dev/vda, no journal"."""
    device = os.stat(directory).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ")
        if left.split()[2] == wanted:
            kind, source = right.split()[:2]
            return f"{kind} on {source}{journal(kind, source)}"
    return "unknown file system"


def journal(kind: str, source: str) -> str:
    if kind in ("ext3", "ext4"):
        name = os.path.basename(os.path.realpath(source))
        # The kernel has a directory here for each journal that is mounted: "vda-8".
        found = any(re.fullmatch(re.escape(name) + r"(-\d+)?", entry.name) for entry in Path("/proc/fs/jbd2").glob("*"))
        return ", with a journal" if found else ", no journal"
    return {"xfs": ", with a journal", "btrfs": ", with a log tree", "tmpfs": ", memory: nothing is durable"}.get(kind, "")


def processor() -> str:
    names = re.findall(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return f"{len(names) or os.cpu_count()} x {names[0] if names else os.uname().machine}"


def system() -> str:
    release = re.search(r'^PRETTY_NAME="?([^"\n]*)', Path("/etc/os-release").read_text(), re.M)
    return f"{release[1] if release else 'unknown'}, kernel {os.uname().release}"


def _busy_and_all() -> tuple[int, int]:
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def busy_share(seconds: float = 1.0) -> float:
    """Of all processors, while nothing of ours runs: 0..1."""
    busy, every = _busy_and_all()
    time.sleep(seconds)
    busy_then, every_then = _busy_and_all()
    return (busy_then - busy) / max(1, every_then - every)


def wait_for_quiet(share: float, seconds: float) -> float:
    """Until the others take less than `share`, or for `seconds`; returns what they take now."""
    deadline = time.monotonic() + seconds
    while (busy := busy_share()) > share and time.monotonic() < deadline:
        pass
    return busy


def load_average() -> str:
    return " ".join(Path("/proc/loadavg").read_text().split()[:3])


def lines(directory: Path) -> list[str]:
    """What the figures of this run are from."""
    return [f"{time.strftime('%Y-%m-%d')}, {processor()}, {system()}; {file_system(directory)}."]


def quiet_line(busy: list[float], load_average_at_start: str) -> str:
    low, middle, high = (100 * f(busy) for f in (min, median, max))
    return (f"Before a round others took {middle:.0f} % [{low:.0f}-{high:.0f}] of the processors; load average at the start "
            f"{load_average_at_start}.")
