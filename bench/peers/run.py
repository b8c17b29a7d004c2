#!/usr/bin/env python3
"""run.py - ./dev bench peers: durable puts and takes, ours beside Redis, beanstalkd and PostgreSQL.

Closed loop, 256-byte messages; every server answers only what it has synced to disk (Redis is also measured with its
persistence off: that is what sockets cost here). In each round each shape of load meets each server in turn, alone on
the machine, started anew on an empty queue; puts first, then takes of what was put, and after each the server must have
exactly as many messages as were acknowledged. docs/performance.md says how to read the tables.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine
import scrapes
from report import Cell, Results, SHAPES, WORKS, goals_table, number_text, shape_table
from servers import ALL, GENERATOR, Server

# Our queue holds a million messages by default, and keeps a fifth of that for critical ones. The same for all.
MESSAGES_MOST = 750_000


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def generator(pin: list[str], *arguments: object) -> dict:
    command = [*pin, str(GENERATOR), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"{command} ended with {done.returncode}")
    return json.loads(done.stdout)


class Run:
    def __init__(self, options: argparse.Namespace, directory: Path) -> None:
        self.options = options
        self.directory = directory
        self.servers = {key: ALL[key](directory / key, options.server_pin) for key in options.servers}
        self.results = Results()
        self.disk: dict[str, list[float]] = {"overwrite": [], "append": []}
        self.busy: list[float] = []     # shares of the processors that others took before each round,
        self.others: list[float] = []   # and beside each measurement,
        self.stolen: list[float] = []   # and that the host of a virtual machine took there
        self.failures: list[str] = []

    def all_rounds(self) -> None:
        for round_ in range(self.options.rounds):
            began = time.monotonic()
            self.busy.append(machine.wait_for_quiet(0.1, self.options.wait_quiet))
            for name, rate in generator([], "disk", "--dir", self.directory, "--seconds", 1).items():
                self.disk[name].append(rate)
            for shape in self.options.shapes:
                self.one_shape(round_, shape)
            say(f"round {round_ + 1} of {self.options.rounds}: {time.monotonic() - began:.0f} s, "
                f"others took {100 * self.busy[-1]:.0f} % of the processors before it")

    def one_shape(self, round_: int, shape: str) -> None:
        keys = [key for key, server in self.servers.items() if SHAPES[shape].batch == 1 or server.batches]
        turn = round_ % max(1, len(keys))  # nobody is always first, and nobody always follows the same one
        for key in keys[turn:] + keys[:turn]:
            try:
                with self.servers[key] as server:
                    self.puts_and_takes(round_, key, server, shape)
            except RuntimeError as error:
                self.failures.append(f"round {round_ + 1}, {server_title(key)}, {SHAPES[shape].title}: {error}")
                say(self.failures[-1])

    def puts_and_takes(self, round_: int, key: str, server: Server, shape: str) -> None:
        left = 0
        for work, sign, most in (("put", 1, MESSAGES_MOST), ("take", -1, None)):
            seen = self.watched_load(server, shape, work, left if most is None else most)
            left += sign * seen["messages"]
            counted = server.count()
            if counted != left:
                raise RuntimeError(f"{counted} messages after {work}, but {left} by what was acknowledged")
            self.results.add(round_, key, shape, work, Cell(seen["rate"], seen["p50_us"], seen["p99_us"]))
            if self.options.verbose:
                say(f"  {SHAPES[shape].title:<55} {server.title:<26} {work:<4} {seen['rate']:>10,.0f}/s "
                    f"p50 {seen['p50_us']:>6,.0f} p99 {seen['p99_us']:>7,.0f} us; "
                    f"{seen['cpu_us']:.2f} us of the server's processor time a message ({seen['by_thread']}); "
                    f"others {100 * self.others[-1]:.0f} %; {seen['messages']} messages, measured for {seen['seconds']:.2f} s")

    def watched_load(self, server: Server, shape: str, work: str, messages: int) -> dict:
        watch, cpu, own, before = machine.Watch(), server.cpu_seconds(), own_cpu_seconds(), server.thread_seconds()
        seen = self.load(server, shape, work, messages)
        after = server.thread_seconds()
        server_s = server.cpu_seconds() - cpu
        for shares, share in zip((self.others, self.stolen), watch.others(server_s + own_cpu_seconds() - own)):
            shares.append(share)
        each = 1e6 / max(1, seen["messages"])
        by_thread = {name: each * (seconds - before.get(name, 0)) for name, seconds in after.items()}
        return seen | {"cpu_us": each * server_s, "by_thread": ", ".join(
            f"{name} {us:.2f}" for name, us in sorted(by_thread.items(), key=lambda one: -one[1]) if us >= 0.01)}

    def load(self, server: Server, shape: str, work: str, messages: int) -> dict:
        clients, kind, batch = SHAPES[shape]
        return generator(self.options.generator_pin, "load", "--protocol", server.protocol, "--port", server.port,
                         "--work", work, "--clients", clients, "--generator", kind, "--batch", batch,
                         "--messages", messages, "--seconds", self.options.seconds, "--warm-up", self.options.warm_up)

    # -- What is printed
    def text(self) -> str:
        titles = {key: server.title for key, server in self.servers.items()}
        durable_peers = [key for key, server in self.servers.items() if server.durable and not server.ours]
        ours = next((key for key, server in self.servers.items() if server.ours), None)
        parts = [self.head()]
        for shape in self.options.shapes:
            parts.append(f"### {SHAPES[shape].title}\n\n" + shape_table(self.results, shape, titles, ours).text())
        all_titles = {key: ALL[key].title for key in ALL}
        parts.append("### Goals\n\n" + goals_table(self.results, self.options.shapes, all_titles, durable_peers).text())
        return "\n\n".join(parts)

    def head(self) -> str:
        lines = [
            *machine.lines(self.directory),
            f"Raw disk in the same run, median [min-max] of the rounds: {number_text(self.disk['overwrite'])} durable "
            f"overwrites of 4 KiB a second, one after the other, and {number_text(self.disk['append'])} appends of "
            "300 bytes with fdatasync.",
            f"{self.options.rounds} rounds in turn, {self.options.seconds:g} s each of put and of take after "
            f"{self.options.warm_up:g} s of warm-up, 256-byte messages, at most {MESSAGES_MOST:,} of them; "
            + ("no server and no generator is pinned." if self.options.pin == "none" else
               "every server is pinned to processor 0, the generator to processor 1."),
            machine.quiet_line(self.busy, self.options.load_average)
            + f" Beside a measurement other processes took {machine.percents(self.others)} and the host of this "
              f"machine {machine.percents(self.stolen)}.",
        ]
        for server in self.servers.values():
            lines.append("; ".join([f"{server.title}: {server.settings}", *server.notes()]) + ".")
        return "\n".join(f"- {line}" for line in lines)


def own_cpu_seconds() -> float:
    """This process's, and those of its children that have ended."""
    return sum(os.times()[:4])


def server_title(key: str) -> str:
    return ALL[key].title


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench peers", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path("/var/tmp"), help="where data is kept: the disk under test")
    parser.add_argument("--rounds", type=int, help="8; 2 with --quick")
    parser.add_argument("--seconds", type=float, help="of each measurement: 2; 0.5 with --quick")
    parser.add_argument("--warm-up", type=float, default=0.3)
    parser.add_argument("--quick", action="store_true", help="few and short, without waiting: to see that it works")
    parser.add_argument("--pin", choices=("none", "split"), default="none",
                        help="split: servers on processor 0, generator on processor 1")
    parser.add_argument("--servers", default=",".join(ALL), help="some of " + ",".join(ALL))
    parser.add_argument("--shapes", default=",".join(SHAPES), help="some of " + ",".join(SHAPES))
    parser.add_argument("--part", choices=("all", "peers", "scrapes"), default="all")
    parser.add_argument("--wait-quiet", type=float, default=60, metavar="SECONDS",
                        help="at most, before each round, until others take less than a tenth of the processors (60)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="writes what is printed to FILE as well")
    parser.add_argument("--verbose", action="store_true", help="a line for each measurement")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 8)
    options.seconds = options.seconds or (0.5 if options.quick else 2)
    options.wait_quiet = 0 if options.quick else options.wait_quiet
    for name, known in (("servers", ALL), ("shapes", SHAPES)):
        given = getattr(options, name).split(",")
        unknown = [key for key in given if key not in known]
        if unknown or options.rounds < 1:
            parser.error(f"--{name}: unknown {unknown}" if unknown else "--rounds: at least 1")
        setattr(options, name, given)
    absent = [key for key in options.servers if ALL[key].program() is None]
    for key in absent:
        say(f"{ALL[key].title} is not installed: it is left out")
    options.servers = [key for key in options.servers if key not in absent]
    options.server_pin = ["taskset", "-c", "0"] if options.pin == "split" else []
    options.generator_pin = ["taskset", "-c", "1"] if options.pin == "split" else []
    options.load_average = machine.load_average()
    return options


def main() -> int:
    options = arguments()
    directory = Path(tempfile.mkdtemp(prefix="qh-bench-peers-", dir=options.dir))
    os.chmod(directory, 0o755)  # PostgreSQL runs as a user of its own
    failures, parts = [], []
    try:
        if options.part in ("all", "peers"):
            run = Run(options, directory)
            run.all_rounds()
            parts.append(run.text())
            failures += run.failures
        if options.part in ("all", "scrapes"):
            parts.append(scrapes.measure(options, directory, generator, say))
    finally:
        for data in directory.iterdir() if failures else [directory]:
            if data.is_dir():
                shutil.rmtree(data, ignore_errors=True)
        if failures:
            say(f"The servers' logs are in {directory}")
    text = "\n\n".join(parts + ([f"### Failed\n\n" + "\n".join(f"- {line}" for line in failures)] if failures else []))
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
