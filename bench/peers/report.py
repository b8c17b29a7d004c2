"""report.py - from the figures of all rounds to tables, paired ratios and goals. No I/O; report_test.py holds it.

A ratio is paired: ours by the peer's of the same round, and the median of these; the disk changes from hour to hour, and
both have had the same minute of it.
"""
from statistics import median
from typing import Callable, Iterable, NamedTuple

WORKS = ("put", "take")


class Shape(NamedTuple):
    clients: int
    generator: str  # blocking: a thread a client; epoll: one event loop
    batch: int      # messages a request

    @property
    def title(self) -> str:
        clients = f"{self.clients} client{'s' if self.clients > 1 else ''}"
        generator = "a thread each" if self.generator == "blocking" else "one event loop"
        return f"{clients}, {generator}" + (f", {self.batch} messages a request" if self.batch > 1 else "")


SHAPES = {
    "1": Shape(1, "blocking", 1), "16": Shape(16, "blocking", 1), "64": Shape(64, "blocking", 1),
    "64-epoll": Shape(64, "epoll", 1), "64x16": Shape(64, "blocking", 16), "64x16-epoll": Shape(64, "epoll", 16)}


class Cell(NamedTuple):
    """One measurement: a server, a shape, put or take."""
    rate: float
    p50_us: float
    p99_us: float


class Results:
    """Cells by server, shape and work, at most one a round."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str, str], dict[int, Cell]] = {}

    def add(self, round_: int, server: str, shape: str, work: str, cell: Cell) -> None:
        self.cells.setdefault((server, shape, work), {})[round_] = cell

    def of(self, server: str, shape: str, work: str) -> list[Cell]:
        return list(self.cells.get((server, shape, work), {}).values())

    def rate(self, server: str, shape: str, work: str) -> float:
        return median(cell.rate for cell in self.of(server, shape, work))

    def ratios(self, ours: str, peer: str, shape: str, work: str, what: str = "rate") -> list[float]:
        mine, theirs = (self.cells.get((server, shape, work), {}) for server in (ours, peer))
        return [getattr(cell, what) / getattr(theirs[round_], what) for round_, cell in mine.items()
                if round_ in theirs and getattr(theirs[round_], what) > 0]

    def best(self, servers: Iterable[str], shape: str, work: str) -> str | None:
        measured = [server for server in servers if self.of(server, shape, work)]
        return max(measured, key=lambda server: self.rate(server, shape, work)) if measured else None


def ratio_text(ratios: list[float]) -> str:
    if not ratios:
        return ""
    if len(ratios) == 1:
        return f"{ratios[0]:.2f}"
    return f"{median(ratios):.2f} [{min(ratios):.2f}-{max(ratios):.2f}]"


def number_text(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:,.0f}"
    return f"{median(values):,.0f} [{min(values):,.0f}-{max(values):,.0f}]"


class Table(NamedTuple):
    head: list[str]
    rows: list[list[str]]

    def text(self) -> str:
        """A table in Markdown whose columns also stand below each other on a terminal."""
        widths = [max(len(row[i]) for row in [self.head, *self.rows]) for i in range(len(self.head))]
        lines = [self.head, ["-" * width for width in widths], *self.rows]
        return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines)


def shape_table(results: Results, shape: str, servers: dict[str, str], ours: str | None) -> Table:
    """`servers`: keys and titles in the order of the rows; the ratios are `ours` by each."""
    head = ["server"]
    for work in WORKS:
        head += [f"{work}/s", "p50 · p99 us"] + (["ratio to it"] if ours else [])
    rows = []
    for server, title in servers.items():
        if not any(results.of(server, shape, work) for work in WORKS):
            continue
        row = [title]
        for work in WORKS:
            cells = results.of(server, shape, work)
            if not cells:
                row += ["failed"] + [""] * (2 if ours else 1)
                continue
            row += [number_text([cell.rate for cell in cells]),
                    f"{median(c.p50_us for c in cells):,.0f} · {median(c.p99_us for c in cells):,.0f}"]
            if ours:
                row.append("" if server == ours else ratio_text(results.ratios(ours, server, shape, work)))
        rows.append(row)
    return Table(head, rows)


# -- What is to be reached (issue 4, section 3) -----------------------------------------------------------------------

class Goal(NamedTuple):
    shape: str
    peer: str      # a server, "best" for the best durable peer, or "" for a rate of its own
    least: float   # a ratio, or messages/s
    ours: str = "binary"
    works: tuple[str, ...] = WORKS


GOALS = [
    Goal("1", "redis", 1.25), Goal("1", "beanstalkd", 1.0),
    Goal("16", "best", 1.4),
    Goal("64", "best", 1.15), Goal("64", "redis-off", 0.85),
    Goal("64-epoll", "best", 1.4),
    Goal("64x16", "redis", 1.3), Goal("64x16", "", 450_000),
    Goal("64x16-epoll", "redis", 1.3), Goal("64x16-epoll", "", 450_000),
    Goal("64", "", 20_000, ours="http", works=("put",)), Goal("64-epoll", "", 20_000, ours="http", works=("put",))]
P99_MOST = 1.0


def verdict(reached: bool) -> str:
    return "reached" if reached else "NOT REACHED"


def goal_rows(results: Results, goal: Goal, titles: dict[str, str], durable_peers: list[str]) -> list[list[str]]:
    rows = []
    for work in goal.works:
        peer = results.best(durable_peers, goal.shape, work) if goal.peer == "best" else goal.peer
        about = [SHAPES[goal.shape].title, work]
        mine = [cell.rate for cell in results.of(goal.ours, goal.shape, work)]
        against = titles.get(peer or "", "the best durable peer" if goal.peer else "")
        name = titles.get(goal.ours, goal.ours) + (f" to {against}" if goal.peer else "")
        wanted = f">= {goal.least:.2f}" if goal.peer else f">= {goal.least:,.0f}/s"
        ratios = results.ratios(goal.ours, peer, goal.shape, work) if peer else []
        if not mine or (goal.peer and not ratios):
            rows.append([*about, name, "", wanted, "not measured"])
            continue
        if not goal.peer:
            rows.append([*about, name, number_text(mine) + "/s", wanted, verdict(median(mine) >= goal.least)])
            continue
        rows.append([*about, name, ratio_text(ratios), wanted, verdict(median(ratios) >= goal.least)])
        if peer in durable_peers:
            slower = results.ratios(goal.ours, peer, goal.shape, work, "p99_us")
            rows.append([*about, f"p99: {name}", ratio_text(slower), f"<= {P99_MOST:.2f}",
                         verdict(median(slower) <= P99_MOST)])
    return rows


def goals_table(results: Results, shapes: list[str], titles: dict[str, str], durable_peers: list[str]) -> Table:
    rows = [row for goal in GOALS if goal.shape in shapes for row in goal_rows(results, goal, titles, durable_peers)]
    return Table(["clients", "", "what", "median [min-max]", "goal", ""], rows)


def paired_table(name: str, rounds: list[tuple[float, float]], most: float, unit: Callable[[float], str]) -> Table:
    """One row a round of something undisturbed and disturbed, and their ratio with its goal."""
    rows = [[str(i + 1), unit(quiet), unit(loud), f"{loud / quiet:.2f}"] for i, (quiet, loud) in enumerate(rounds)]
    ratios = [loud / quiet for quiet, loud in rounds]
    rows.append(["median", unit(median(q for q, _ in rounds)), unit(median(d for _, d in rounds)),
                 f"{ratio_text(ratios)}, goal <= {most:g}: {verdict(median(ratios) <= most)}"])
    return Table(["round", f"{name}, undisturbed", "disturbed", "ratio"], rows)
