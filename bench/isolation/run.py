#!/usr/bin/env python3
"""run.py - ./dev bench isolation: what a validator's clients feel of what happens to its neighbours.

Three validators of one node get the same offered load of durable submits: requests at fixed times, each timed from when
it was due. In each round once undisturbed, and once while bob's loop stands still from begin to end and alice's loop is
ended by errors, and started again by its supervisor. Compared is charlie, to whom nothing is done: the p99 of its
submits may at most double.
"""
import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "peers"))
import machine  # noqa: E402
from report import paired_table  # noqa: E402
from servers import GENERATOR, Node  # noqa: E402

MOST = 2.0
ERRORS = 3  # in one run, at even times
LAST_BACK_OFF_US = 100_000 * 2 ** (ERRORS - 1)  # node/back_off.h


class ThreeValidators(Node):
    title = "QuantumHarmony, three validators"
    arguments = ["--dev", "--validators", "3", "--allow-faults"]
    ports_from = {"alice": 9944, "bob": 9945, "charlie": 9946, "metrics": 9950, "web": 8080}

    def port_of(self, name: str) -> int:
        return self.ports_from[name] + self.offset

    def count(self) -> int:
        return sum(int(self.rpc("qssh_getQueueDepth", [], self.port_of(name))) for name in ("alice", "bob", "charlie"))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def offer(node: ThreeValidators, name: str, options: argparse.Namespace) -> subprocess.Popen:
    """A process of its own for each: what one waits for must not delay the others."""
    go_on = [] if name == "charlie" else ["--go-on"]
    return subprocess.Popen(
        [str(GENERATOR), "offered", "--protocol", "http", "--work", "put", "--port", str(node.port_of(name)), *go_on,
         "--clients", str(options.clients), "--rate", str(options.rate), "--seconds", str(options.seconds),
         "--warm-up", str(options.warm_up)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def disturb(node: ThreeValidators, options: argparse.Namespace) -> None:
    """From the end of the warm-up to the end of the load."""
    stall_ms = int(options.seconds * 1000)
    node.rpc("node_injectFault", {"fault": "stall", "duration_ms": stall_ms}, node.port_of("bob"))
    for _ in range(ERRORS):
        node.rpc("node_injectFault", {"fault": "error"}, node.port_of("alice"))
        time.sleep(options.seconds / ERRORS)


def check_disturbed(node: ThreeValidators, seen: dict[str, dict], seconds: float) -> None:
    """A fault that did not happen would make any node look good."""
    states = {line["name"]: line for line in node.rpc("node_listValidators", [], node.port_of("charlie"))}
    if states["alice"]["restarts"] < ERRORS:
        raise RuntimeError(f"alice was not ended {ERRORS} times: {states['alice']}")
    # What was due while she was down waited for her; that a request was just under way and is lost is mere chance.
    if seen["alice"]["max_us"] < 0.9 * LAST_BACK_OFF_US:
        raise RuntimeError(f"nobody noticed that alice was ended: {seen['alice']}")
    if seen["bob"]["max_us"] < 0.9e6 * seconds:
        raise RuntimeError(f"nobody noticed that bob stood still: {seen['bob']}")


def one_run(directory: Path, options: argparse.Namespace, disturbed: bool) -> dict[str, dict]:
    with ThreeValidators(directory / "node", []) as node:
        offers = {name: offer(node, name, options) for name in ("alice", "bob", "charlie")}
        try:
            time.sleep(options.warm_up)
            if disturbed:
                disturb(node, options)
            seen = {}
            for name, process in offers.items():
                out, err = process.communicate(timeout=options.seconds + 60)
                if process.returncode != 0:
                    raise RuntimeError(f"{name}: {err.strip()}")
                seen[name] = json.loads(out)
        finally:
            for process in offers.values():
                process.kill()
                process.wait()
        if disturbed:
            check_disturbed(node, seen, options.seconds)
        depth = int(node.rpc("qssh_getQueueDepth", [], node.port_of("charlie")))
        if seen["charlie"]["lost"] or depth != seen["charlie"]["messages"]:
            raise RuntimeError(f"charlie has {depth} messages: {seen['charlie']}")
        return seen


def describe(seen: dict[str, dict]) -> str:
    return "; ".join(f"{name} {figures['messages']:,} stored, {figures['lost']} lost, {figures['not_sent']} not sent, "
                     f"p50 {figures['p50_us']:,.0f} p99 {figures['p99_us']:,.0f} us" for name, figures in seen.items())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench isolation", description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path("/var/tmp"), help="the disk under test")
    parser.add_argument("--rounds", type=int, help="8; 2 with --quick")
    parser.add_argument("--seconds", type=float, help="of each measurement, at most 60: 8; 3 with --quick")
    parser.add_argument("--warm-up", type=float, default=1)
    parser.add_argument("--rate", type=float, default=500, help="durable submits/s to each validator")
    parser.add_argument("--clients", type=int, default=16, help="connections to each")
    parser.add_argument("--quick", action="store_true", help="few and short, without waiting: to see that it works")
    parser.add_argument("--wait-quiet", type=float, default=60, metavar="SECONDS",
                        help="at most, before each round, until others take less than a tenth of the processors (60)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="writes what is printed to FILE as well")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 8)
    options.seconds = options.seconds or (3 if options.quick else 8)
    options.wait_quiet = 0 if options.quick else options.wait_quiet
    if options.rounds < 1 or not 1 <= options.seconds <= 60:
        parser.error("--rounds: at least 1; --seconds: 1 to 60")
    return options


def main() -> int:
    options = arguments()
    directory = Path(tempfile.mkdtemp(prefix="qh-bench-isolation-", dir=options.dir))
    rounds, busy, load_average = [], [], machine.load_average()
    try:
        for round_ in range(options.rounds):
            busy.append(machine.wait_for_quiet(0.1, options.wait_quiet))
            p99 = {}
            for disturbed in ((False, True) if round_ % 2 == 0 else (True, False)):
                seen = one_run(directory, options, disturbed)
                p99[disturbed] = seen["charlie"]["p99_us"]
                say(f"round {round_ + 1}, {'disturbed' if disturbed else 'undisturbed'}: {describe(seen)}")
            rounds.append((p99[False], p99[True]))
        text = "\n".join(
            f"- {line}" for line in [
                *machine.lines(directory), machine.quiet_line(busy, load_average),
                f"{options.rate:g} durable submits a second to each of three validators by HTTP over {options.clients} "
                f"connections, {options.seconds:g} s after {options.warm_up:g} s of warm-up; disturbed: bob stands still "
                f"all that time, alice is ended by an error {ERRORS} times."])
        text += "\n\n" + paired_table("p99 of charlie's submits", rounds, MOST, lambda us: f"{us:,.0f} us").text()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
