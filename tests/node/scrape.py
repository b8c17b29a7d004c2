#!/usr/bin/env python3
"""scrape.py PROGRAM - starts a node, scrapes /metrics in both formats and reads them with Python's prometheus_client.

A parser that we did not write: it refuses wrong names, types, escapes and, for OpenMetrics, the order and the end.
"""
import re
import socket
import subprocess
import sys
import tempfile
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics
from prometheus_client.parser import text_string_to_metric_families as read_prometheus


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def free_offset():
    return next(o for o in range(22000, 23000, 16) if all(is_free(p + o) for p in (8080, 9944, 9945, 9946, 9950)))


def scrape(port, accept):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=20) as reply:
        return reply.headers["Content-Type"], reply.read().decode()


def main():
    offset = free_offset()
    with tempfile.TemporaryDirectory() as data:
        node = subprocess.Popen([sys.argv[1], "--dev", "--port-offset", str(offset), "--data-dir", data],
                                stderr=subprocess.PIPE, text=True)
        try:
            for line in node.stderr:
                if re.search(r"charlie: ready on port", line):
                    break
            kind, text = scrape(8080 + offset, "text/plain")
            assert kind.startswith("text/plain; version=0.0.4"), kind
            plain = {family.name: family for family in read_prometheus(text)}
            kind, text = scrape(8080 + offset, "application/openmetrics-text; version=1.0.0")
            assert kind.startswith("application/openmetrics-text; version=1.0.0"), kind
            families = {family.name: family for family in read_open_metrics(text)}
        finally:
            node.terminate()
            node.wait(20)
    assert node.returncode == 0, node.returncode
    depth = families["quantumharmony_queue_depth"]
    assert {s.labels["validator"] for s in depth.samples} == {"alice", "bob", "charlie"}
    assert families["quantumharmony_queue_enqueued"].type == "counter"
    assert families["quantumharmony_wal_fsync_seconds"].type == "summary"
    # prometheus_client takes _total off a counter's name in both formats; an info is a gauge of its full name in one.
    names = {name.removesuffix("_info") for name in plain}
    assert names == set(families), names ^ set(families)
    print(f"{len(families)} families, the same in both formats")


if __name__ == "__main__":
    main()
