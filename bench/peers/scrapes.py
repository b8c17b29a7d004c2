"""scrapes.py - what reading /metrics costs the node while it works: its processor time over the same offered load, with
1,000 scrapes spread over it and without, in pairs."""
import argparse
import http.client
import threading
import time
from pathlib import Path
from statistics import median
from typing import Callable

from report import Table, ratio_text, verdict
from servers import Node

SCRAPES = 1000
SECONDS = 20
LOAD = 1000  # durable submits/s
MOST_PERCENT = 2.0


class Scraper(threading.Thread):
    """SCRAPES of them at even times over one kept connection, as Prometheus does it."""

    def __init__(self, port: int, seconds: float) -> None:
        super().__init__()
        self.port, self.seconds, self.read, self.bytes = port, seconds, 0, 0

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        began = time.monotonic()
        for i in range(SCRAPES):
            time.sleep(max(0.0, began + i * self.seconds / SCRAPES - time.monotonic()))
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            self.bytes = len(answer.read())
            self.read += answer.status == 200
        connection.close()


Generator = Callable[..., dict]


def cpu_of_one(options: argparse.Namespace, directory: Path, generator: Generator, scraped: bool) -> tuple[float, int]:
    """Seconds of the node's processor time, and the bytes of an answer."""
    seconds = SECONDS if not options.quick else 5
    with Node(directory / "scrapes", options.server_pin) as node:
        scraper = Scraper(node.ports_from["web"] + node.offset, seconds)
        before = node.cpu_seconds()
        if scraped:
            scraper.start()
        seen = generator(options.generator_pin, "offered", "--protocol", "http", "--port", node.port, "--work", "put",
                         "--clients", 16, "--rate", LOAD, "--seconds", seconds, "--warm-up", 0)
        if scraped:
            scraper.join()
        cpu = node.cpu_seconds() - before
        if scraped and scraper.read != SCRAPES:
            raise RuntimeError(f"only {scraper.read} of {SCRAPES} scrapes were answered")
        if seen["lost"] or seen["not_sent"]:
            raise RuntimeError(f"not the same load: {seen}")
        return cpu, scraper.bytes


def measure(options: argparse.Namespace, directory: Path, generator: Generator, say: Callable[[str], None]) -> str:
    seconds = SECONDS if not options.quick else 5
    rows, percents, size = [], [], 0
    for round_ in range(min(options.rounds, 4)):
        order = (False, True) if round_ % 2 == 0 else (True, False)
        cpu = {}
        for scraped in order:
            cpu[scraped], answer = cpu_of_one(options, directory, generator, scraped)
            size = max(size, answer)
        cost = cpu[True] - cpu[False]
        percents.append(100 * cost / seconds)
        rows.append([str(round_ + 1), f"{cpu[False]:.2f} s", f"{cpu[True]:.2f} s", f"{1e6 * cost / SCRAPES:,.0f} us",
                     f"{percents[-1]:.2f} %"])
        say(f"scrapes, round {round_ + 1}: {percents[-1]:.2f} % of a core")
    rows.append(["median", "", "", "", f"{ratio_text(percents)} %, goal < {MOST_PERCENT:g} %: "
                 + verdict(median(percents) < MOST_PERCENT)])
    head = ["round", "processor time without", f"with {SCRAPES:,} scrapes", "a scrape", "of a core"]
    return (f"### /metrics under load\n\n{SCRAPES:,} scrapes of {size:,} bytes within {seconds} s, {LOAD:,} durable "
            "submits/s by HTTP from 16 connections meanwhile; the node's own processor time.\n\n" + Table(head, rows).text())
