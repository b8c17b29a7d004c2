#!/usr/bin/env python3
"""run_blocks.py BIN_DIR FILE - runs the ```sh blocks of a document in their order, as a reader would.

In one shell and one empty directory, with our programs on the PATH and a dev network beside it, on free ports that are
put in the place of the document's, as the directory is put in the place of /tmp. A ```text block behind one is its output: … stands for anything,
numbers only for numbers. A ```toml block that begins with `# NAME.toml` is that file. A JSON-RPC error that is not shown
is a failure. Other fences are not run. Every figure, method and flag that the document names has to be there.
"""
import os
import re
import signal
import subprocess
import sys
import threading
import time

from markdown import blocks
from running_node import PATIENCE_S, RunningNode


def as_pattern(line):
    """Of a line of output that the document shows."""
    parts = [".*" if part == "…" else r"\d+" if part.isdigit() else re.escape(part)
             for part in re.split(r"(…|\d+)", line)]
    return "".join(parts)


def check_output(told, given, where):
    told_lines, given_lines = told.splitlines(), given.splitlines()
    assert len(told_lines) == len(given_lines), f"{where}: other lines than told came out:\n{given}"
    for told_line, given_line in zip(told_lines, given_lines):
        assert re.fullmatch(as_pattern(told_line), given_line), f"{where}: told {told_line}\ngiven {given_line}"


class Shell:
    """A bash that lives as long as the document: what a block defines, the next ones use."""

    END = "--end-of-block--"

    def __init__(self, directory, environment):
        with open(f"{directory}/.curlrc", "w", encoding="utf-8") as file:
            file.write("silent\nshow-error\n")  # no progress meter, as on a terminal
        self._bash = subprocess.Popen(["bash", "-eu", "-o", "pipefail"], cwd=directory, env=environment, text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      start_new_session=True)

    def run(self, block, where):
        """Its output; a block that does not end is ended, which is a failure."""
        watchdog = threading.Timer(PATIENCE_S, self._end)
        watchdog.start()
        try:
            return self._run(block, where)
        finally:
            watchdog.cancel()

    def _end(self):
        os.killpg(self._bash.pid, signal.SIGKILL)  # the shell and what it has started

    def _run(self, block, where):
        self._bash.stdin.write(f"{{\n{block}\n}}\necho; echo {self.END}\n")
        self._bash.stdin.flush()
        lines = []
        for line in self._bash.stdout:
            if line == self.END + "\n":
                # The echo before it ended a last line that had no end, or gave an empty one.
                text = "".join(lines)
                return text[:-1] if text.endswith("\n\n") or text == "\n" else text
            lines.append(line)
        raise AssertionError(f"{where} ended with {self._bash.wait(PATIENCE_S)}:\n{''.join(lines)}")

    def close(self):
        self._bash.stdin.close()
        self._bash.wait(PATIENCE_S)


def run_all(path, text, shell, node, bin_dir):
    ran, all_blocks = 0, blocks(text)
    for block, behind in zip(all_blocks, [*all_blocks[1:], None]):
        where = f"{path}:{block.line}"
        if block.language == "toml" and (name := re.match(r"# (\S+\.toml)\n", block.text)):
            with open(os.path.join(node.directory, name[1]), "w", encoding="utf-8") as file:
                file.write(block.text)
        if block.language != "sh":
            continue
        command = node.here(block.text).replace("/tmp/", "./").replace("build/release/bin", bin_dir)
        output = shell.run(command, where)
        ran += 1
        if behind and behind.language == "text" and behind.before == "\n":
            check_output(behind.text, output, where)
        else:
            assert '"error":{' not in output, f"{where}: {output}"
    return ran


def all_metrics(node):
    """/metrics, when the figures are there that only a queue with a message has."""
    node.call("qssh_submitMessage", {"Gossip": {"topic": "x", "data": []}})
    deadline = time.monotonic() + PATIENCE_S
    while True:
        text = subprocess.run(["curl", "-sf", node.here("http://localhost:8080/metrics")], capture_output=True,
                              text=True, check=True).stdout
        if "quantumharmony_queue_oldest_timestamp_seconds{" in text:
            return text
        assert time.monotonic() < deadline, "the figures never show the message"


def check_names(text, node, program):
    """What is named is there."""
    metrics = all_metrics(node)
    methods = {method["name"] for method in node.call("rpc.discover")["result"]["methods"]}
    flags = "".join(subprocess.run([program, *command, "--help"], capture_output=True, text=True, check=True).stdout
                    for command in ([], ["wal"]))
    for name in set(re.findall(r"`(quantumharmony_\w+)", text)):
        assert re.search(rf"^# TYPE {name} |^{name}[ {{]", metrics, re.M), f"/metrics has no {name}"
    for name in set(re.findall(r"`(qssh_\w+|node_\w+)", text)):
        assert name in methods or name == "node_injectFault", f"there is no method {name}"
    for name in set(re.findall(r"`(--[a-z][a-z-]+)", text)):
        assert re.search(rf"{name}\b", flags), f"there is no flag {name}"


def main():
    bin_dir, path = os.path.abspath(sys.argv[1]), sys.argv[2]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with RunningNode(f"{bin_dir}/quantumharmony-node", ["--dev"]) as node:
        shell = Shell(node.directory, node.environment | {"PATH": f"{bin_dir}:{os.environ['PATH']}"})
        try:
            ran = run_all(path, text, shell, node, bin_dir)
        finally:
            shell.close()
        check_names(text, node, f"{bin_dir}/quantumharmony-node")
    assert ran > 0, f"{path} has no ```sh block"
    print(f"{ran} blocks of {path} do what it says")


if __name__ == "__main__":
    main()
