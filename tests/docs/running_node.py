"""A node on free loopback ports in a directory of its own, for tests that are scripts."""
import json
import os
import re
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

PATIENCE_S = 60
BETWEEN_STATES = {"starting", "stopping", "restarting"}
PORTS = (8080, 9944, 9945, 9946, 9947, 9950)


def _is_free(port):
    """Nobody listens on it, on neither loopback address."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family) as probe:
                if probe.connect_ex((address, port)) == 0:
                    return False
        except OSError:
            pass  # a machine without IPv6
    return True


def free_offset():
    """Below the ports that the kernel gives to outgoing connections; scripts that run together start apart."""
    start = os.getpid() * 16 % 20_000
    for offset in ((start + 16 * i) % 20_000 + 1_000 for i in range(1_250)):
        if all(_is_free(port + offset) for port in PORTS):
            return offset
    raise AssertionError("no free ports")


class RunningNode:
    """with RunningNode(program, ["--dev"]) as node: its ports are moved by node.offset."""

    def __init__(self, program, flags=(), directory=None):
        self.offset = free_offset()
        self._own = None if directory else tempfile.TemporaryDirectory()
        self.directory = directory or self._own.name
        self.environment = {**os.environ, "HOME": self.directory, "XDG_STATE_HOME": f"{self.directory}/state",
                            "QUANTUMHARMONY_PORT_OFFSET": str(self.offset)}
        self._command = [program, *flags]
        self._last_words = []

    def __enter__(self):
        self._process = subprocess.Popen(self._command, cwd=self.directory, env=self.environment, text=True,
                                         stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for line in self._process.stderr:
            self._last_words.append(line)
            if re.search(r"metrics on port", line):
                break
        else:
            raise AssertionError("the node did not start:\n" + "".join(self._last_words))
        # What it says later is read away, or it would stand still at a full pipe.
        threading.Thread(target=lambda: self._last_words.extend(self._process.stderr), daemon=True).start()
        return self

    def __exit__(self, failed, *_):
        self._process.terminate()
        code = self._process.wait(PATIENCE_S)
        if self._own:
            self._own.cleanup()
        assert failed or code == 0, f"the node ended with {code}:\n" + "".join(self._last_words)

    def send_signal(self, number):
        self._process.send_signal(number)

    def here(self, text):
        """A document's text with the ports of this node."""
        return re.sub(r"\b(localhost|127\.0\.0\.1):(8080|99[45]\d)\b",
                      lambda m: f"{m[1]}:{int(m[2]) + self.offset}", text)

    def call(self, method, params=None, port=9944):
        body = {"jsonrpc": "2.0", "method": method, "id": 1} | ({} if params is None else {"params": params})
        request = urllib.request.Request(f"http://127.0.0.1:{port + self.offset}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:
            return json.load(reply)

    def settle(self):
        """Waits until no validator is on its way from one state to another."""
        deadline = time.monotonic() + PATIENCE_S
        while any(v["state"] in BETWEEN_STATES for v in self.call("node_listValidators")["result"]):
            assert time.monotonic() < deadline, "a validator never settles"
