"""machine.py - what the figures depend on besides the servers: the disk, its file system, and who else is busy."""
import os
import re
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple


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


class Ticks(NamedTuple):
    """Of all processors, since the start of the machine."""
    work: int   # interrupts included: most kernels put their time down to the process that they met
    steal: int  # what the host of this virtual machine gave to others
    all: int


def _ticks() -> Ticks:
    user, nice, system_, idle, wait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return Ticks(user + nice + system_ + irq + softirq, steal, user + nice + system_ + idle + wait + irq + softirq + steal)


class Watch:
    """What others take of the processors from its making on, as shares of all of them."""

    def __init__(self) -> None:
        self.begin = _ticks()

    def others(self, ours_s: float) -> tuple[float, float]:
        """The share of other processes, when ours have taken `ours_s` seconds of processor time; and that of the host."""
        now = _ticks()
        every = max(1, now.all - self.begin.all)
        ours = ours_s * os.sysconf("SC_CLK_TCK")
        return max(0.0, now.work - self.begin.work - ours) / every, (now.steal - self.begin.steal) / every


def busy_share(seconds: float = 1.0) -> float:
    """Of all processors, while nothing of ours runs: 0..1."""
    watch = Watch()
    time.sleep(seconds)
    return watch.others(0)[0]


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


def percents(shares: list[float]) -> str:
    if not shares:
        return "an unknown share"
    low, middle, high = (100 * f(shares) for f in (min, median, max))
    return f"{middle:.0f} % [{low:.0f}-{high:.0f}]"


def quiet_line(busy: list[float], load_average_at_start: str) -> str:
    return (f"Before a round others took {percents(busy)} of the processors; load average at the start "
            f"{load_average_at_start}.")
