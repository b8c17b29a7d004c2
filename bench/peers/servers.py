"""servers.py - the servers that are measured: each is started alone, on loopback, on a free port, in a directory of its
own below the one under test, and stopped by its process id."""
import glob
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Callable

PROGRAMS = Path(__file__).resolve().parents[2] / "build/release/bin"
GENERATOR = PROGRAMS / "bench_peers"
START_SECONDS = 30
STOP_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def ask(port: int, request: bytes, end: bytes) -> bytes:
    """One request of a text protocol, and its answer up to `end`."""
    with socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS) as connection:
        connection.sendall(request)
        answer = b""
        while end not in answer:
            piece = connection.recv(65536)
            if not piece:
                raise RuntimeError(f"port {port} closed after {answer!r}")
            answer += piece
        return answer


class Server:
    """`title` stands in the tables. `durable`: answers only what is on disk. `settings`: for the reader."""
    title = protocol = settings = ""
    durable = True
    batches = False  # several messages in one request
    ours = False

    def __init__(self, directory: Path, pin: list[str]) -> None:
        self.directory = directory
        self.pin = pin
        self.port = 0
        self.process: subprocess.Popen | None = None

    # -- What each has of its own
    @classmethod
    def program(cls) -> str | None:
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def count(self) -> int:
        """Messages that it has now."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Before a start: an empty directory."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)

    def after_start(self) -> None:
        pass

    def user(self) -> dict:
        return {}

    stop_signal = signal.SIGTERM

    def notes(self) -> list[str]:
        """After the last run, for the reader."""
        return []

    # -- What all have
    def cpu_seconds(self) -> float:
        """Of all its threads and its children, ended ones included."""
        total = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                pid, rest = int(stat.parent.name), stat.read_text().rsplit(") ", 1)[1].split()
            except OSError:
                continue  # ended meanwhile
            if pid == self.process.pid:
                total += sum(map(int, rest[11:15]))
            elif int(rest[1]) == self.process.pid:
                total += int(rest[11]) + int(rest[12])
        return total / os.sysconf("SC_CLK_TCK")

    def thread_seconds(self) -> dict[str, float]:
        """Of the process itself, by the names of its threads that run now."""
        seconds: Counter[str] = Counter()
        for stat in Path(f"/proc/{self.process.pid}/task").glob("[0-9]*/stat"):
            try:
                name, rest = stat.read_text().split("(", 1)[1].rsplit(") ", 1)
            except OSError:
                continue  # ended meanwhile
            fields = rest.split()
            seconds[name] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return dict(seconds)

    def __enter__(self) -> "Server":
        self.port = free_port()
        self.prepare()
        log = open(self.directory.parent / f"{self.directory.name}.log", "ab")
        self.process = subprocess.Popen(self.pin + self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        cwd=self.directory, **self.user())
        log.close()
        try:
            self._wait_until(lambda: self.count() == 0)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        error: Exception | None = None
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.title} ended with {self.process.returncode}; see {self.directory}.log")
            try:
                self.after_start()
                if ready():
                    return
            except (OSError, RuntimeError, ValueError, http.client.HTTPException, subprocess.SubprocessError) as e:
                error = e
            time.sleep(0.02)
        raise RuntimeError(f"{self.title} does not answer: {error}; see {self.directory}.log")


class Redis(Server):
    title, protocol, batches = "Redis", "redis", True
    settings = "appendonly yes, appendfsync always, no snapshots, else its defaults; RPUSH and LPOP"
    append_only = ["--appendonly", "yes", "--appendfsync", "always"]

    @classmethod
    def program(cls) -> str | None:
        return shutil.which("redis-server")

    def command(self) -> list[str]:
        return [self.program(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory),
                "--save", "", "--daemonize", "no", *self.append_only]

    def count(self) -> int:
        return int(ask(self.port, b"*2\r\n$4\r\nLLEN\r\n$5\r\nqueue\r\n", b"\r\n")[1:])


class RedisOff(Redis):
    title, durable = "Redis, persistence off", False
    settings = "appendonly no, no snapshots"
    append_only = ["--appendonly", "no"]


class Beanstalkd(Server):
    title, protocol = "beanstalkd", "beanstalkd"
    settings = "-b DIRECTORY -f 0; put, and reserve with delete"

    @classmethod
    def program(cls) -> str | None:
        return shutil.which("beanstalkd")

    def command(self) -> list[str]:
        return [self.program(), "-l", "127.0.0.1", "-p", str(self.port), "-b", str(self.directory), "-f", "0"]

    def count(self) -> int:
        answer = ask(self.port, b"stats-tube default\r\n", b"cmd-pause-tube").decode()
        parts = dict(line.split(": ", 1) for line in answer.splitlines() if ": " in line)
        return int(parts["current-jobs-ready"]) + int(parts["current-jobs-reserved"])


class Postgres(Server):
    title, protocol = "PostgreSQL", "postgres"
    settings = ("fsync and synchronous_commit on, else its defaults; INSERT, and DELETE ... FOR UPDATE SKIP LOCKED "
                "RETURNING, prepared")
    stop_signal = signal.SIGINT  # its "fast": does not wait for its clients

    @classmethod
    def program(cls) -> str | None:
        installed = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda path: int(path.split("/")[4]))
        return installed[-1] if installed else shutil.which("postgres")

    def user(self) -> dict:
        # It refuses to run as root; Debian's package has a user for it.
        return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}

    def prepare(self) -> None:
        """A cluster takes seconds to make: it is made once, and the table anew at each start."""
        if (self.directory / "PG_VERSION").exists():
            return
        super().prepare()
        if os.geteuid() == 0:
            shutil.chown(self.directory, "postgres", "postgres")
        initdb = str(Path(self.program()).with_name("initdb"))
        subprocess.run([initdb, "-D", str(self.directory), "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale", "C"],
                       check=True, stdout=subprocess.DEVNULL, cwd=self.directory, **self.user())

    def command(self) -> list[str]:
        return [self.program(), "-D", str(self.directory), "-p", str(self.port), "-k", str(self.directory),
                "-c", "listen_addresses=127.0.0.1", "-c", "fsync=on", "-c", "synchronous_commit=on"]

    def after_start(self) -> None:
        self._sql("DROP TABLE IF EXISTS queue; CREATE TABLE queue (id bigserial PRIMARY KEY, body bytea NOT NULL)")
        self._sql("CHECKPOINT")

    def count(self) -> int:
        return int(self._sql("SELECT count(*) FROM queue"))

    def _sql(self, text: str) -> str:
        psql = str(Path(self.program()).with_name("psql"))
        return subprocess.run([psql, "-XqAt", "-h", "127.0.0.1", "-p", str(self.port), "-U", "bench", "-d", "postgres",
                               "-c", text], check=True, capture_output=True, text=True, cwd="/").stdout


class Node(Server):
    """By default but for the directory and the ports."""
    title, protocol, batches, ours = "QuantumHarmony, HTTP", "http", True, True
    settings = ("one validator, options as by default; Gossip with durability sync by qssh_submitMessage or "
                "qssh_submitBatch, and qssh_popMessage; 16 takes are a JSON-RPC batch")
    arguments = ["--validator", "--name", "bench"]
    ports_from = {"rpc": 9944, "metrics": 9950, "web": 8080}  # the first answers JSON-RPC

    @classmethod
    def program(cls) -> str | None:
        node = PROGRAMS / "quantumharmony-node"
        return str(node) if node.exists() else None

    def command(self) -> list[str]:
        # Below the ports that the kernel gives to outgoing connections.
        self.offset = next(offset for offset in range(1000 + os.getpid() % 10000, 22000)
                           if all(is_free(port + offset) for port in self.ports_from.values()))
        self.port = next(iter(self.ports_from.values())) + self.offset
        return [self.program(), *self.arguments, "--port-offset", str(self.offset), "--data-dir", str(self.directory)]

    def rpc(self, method: str, params: object, port: int = 0) -> object:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=START_SECONDS)
        try:
            body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1})
            connection.request("POST", "/", body)
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "result" not in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def count(self) -> int:
        return int(self.rpc("qssh_getQueueDepth", []))

    def notes(self) -> list[str]:
        """What the node has measured at its starts, and chosen by it."""
        log = Path(f"{self.directory}.log")
        methods = Counter(re.findall(r"durable writes by (\w+)", log.read_text() if log.exists() else ""))
        chosen = ", ".join(f"{name} ({count} of {methods.total()} starts)" for name, count in methods.most_common())
        return [f"durable writes by {chosen}"]


class BinaryNode(Node):
    title, protocol = "QuantumHarmony, binary", "binary"
    settings = "the same methods by the binary port"
    arguments = [*Node.arguments, "--binary-port", "9960"]
    ports_from = {**Node.ports_from, "binary": 9960}

    def command(self) -> list[str]:
        command = super().command()
        self.rpc_port, self.port = self.port, self.ports_from["binary"] + self.offset
        return command

    def rpc(self, method: str, params: object, port: int = 0) -> object:
        return super().rpc(method, params, port or self.rpc_port)


ALL: dict[str, type[Server]] = {
    "binary": BinaryNode, "http": Node, "redis": Redis, "beanstalkd": Beanstalkd, "postgres": Postgres,
    "redis-off": RedisOff}
