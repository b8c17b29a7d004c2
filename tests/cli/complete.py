#!/usr/bin/env python3
"""complete.py PROGRAM - asks a real bash, zsh and fish what they would complete, with the scripts that the program prints.

And a groff whether the manual page has warnings.
"""
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time

PROGRAM = sys.argv[1]


def completes(words):
    """What bash offers for the last of these words."""
    script = f"""
source <({PROGRAM} completion bash)
COMP_WORDS=(quantumharmony-node {' '.join(f"'{w}'" for w in words)})
COMP_CWORD={len(words)}
_quantumharmony_node
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=20, cwd="/", check=True)
    assert done.stderr == "", done.stderr
    return set(done.stdout.split())


class Zsh:
    """An interactive one on a terminal: nothing less runs a completion. The script is loaded by compinit from $fpath."""

    def __init__(self, directory):
        os.mkdir(f"{directory}/functions")
        with open(f"{directory}/functions/_quantumharmony-node", "w", encoding="utf-8") as file:
            subprocess.run([PROGRAM, "completion", "zsh"], stdout=file, check=True, timeout=20)
        with open(f"{directory}/lines.ndjson", "w", encoding="utf-8"):
            pass
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.execvpe("zsh", ["zsh", "-f", "-i"], {"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": directory})
        self.types("fpath=($PWD/functions $fpath); autoload -U compinit; compinit -D -u; zstyle ':completion:*' list-prompt ''\n")
        self.types("quantumharmony-node() { print -r -- \"<$*>\" }; stty -echo; print st''arted\n")
        self.until("started")

    def types(self, text):
        os.write(self.terminal, text.encode())

    def until(self, text):
        said, deadline = "", time.monotonic() + 20
        while text not in said:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.terminal], [], [], left)[0], f"zsh did not say {text!r}: {said!r}"
            said += os.read(self.terminal, 65536).decode()

    def completes(self, line, whole):
        """What is typed becomes this, once tab is pressed and it is run."""
        self.types(f"quantumharmony-node {line}\t\n")
        self.until(f"<{whole}>")

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.terminal)


def check_zsh():
    with tempfile.TemporaryDirectory() as directory:
        zsh = Zsh(directory)
        try:
            zsh.completes("wal du", "wal dump")
            zsh.completes("wal dump --outp", "wal dump --output")
            zsh.completes("config sh", "config show")
            zsh.completes("--port-o", "--port-offset")
            zsh.completes("config show --log-format j", "config show --log-format json")
            zsh.completes("--log-format=j", "--log-format=json")
            zsh.completes("--name config --validator co", "--name config --validator co")  # config or completion
            zsh.completes("--name config compl", "--name config completion")  # the name is no command
            zsh.completes("wal import lin", "wal import lines.ndjson")
            zsh.completes("wal import --data-dir funct", "wal import --data-dir functions")  # without its slash, as zsh has it
        finally:
            zsh.end()


def fish_completes(line):
    done = subprocess.run(["fish", "--no-config", "-c", f"source ({PROGRAM} completion fish | psub); complete -C '{line}'"],
                          capture_output=True, text=True, timeout=20, cwd="/", check=True,
                          env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"})
    return {one.split("\t")[0] for one in done.stdout.splitlines()}


def check_fish():
    assert fish_completes("quantumharmony-node wal du") == {"dump"}
    assert fish_completes("quantumharmony-node config ") >= {"check", "show"}
    assert fish_completes("quantumharmony-node --port-o") == {"--port-offset"}
    assert fish_completes("quantumharmony-node --log-format ") == {"text", "json"}
    assert "etc/" in fish_completes("quantumharmony-node wal import e")


def main():
    assert completes(["--port-o"]) == {"--port-offset"}
    assert {"config", "wal", "man", "completion", "--dev"} <= completes([""])
    assert completes(["config", ""]) >= {"check", "show"}
    assert "check" not in completes([""])
    assert completes(["config", "show", "--output", ""]) == {"text", "json"}
    assert completes(["wal", "re"]) == {"repair"}
    assert completes(["completion", ""]) == {"bash", "zsh", "fish", "--help"}
    assert completes(["--log-level", ""]) == {"trace", "debug", "info", "warn", "error", "off"}
    assert completes(["config", "show", "--log-format", "j"]) == {"json"}
    assert completes(["--queue-write-method", "d"]) == {"direct", "dsync"}
    assert completes(["config", "show", "--data"]) == {"--data-dir"}
    assert completes(["wal", "verify", "--da"]) == {"--data-dir"}
    assert completes(["wal", "verify", "--port-o"]) == set()
    assert "etc" in completes(["--data-dir", "et"])
    assert completes(["--log-format", "=", "j"]) == {"json"} and completes(["--log-format", "="]) == {"text", "json"}
    assert "etc" in completes(["wal", "import", "et"]) and "etc" not in completes(["wal", "verify", "et"])
    assert completes(["wal", "import", "--renu"]) == {"--renumber"}
    for name in (["--name", "config"], ["--name", "=", "config"]):  # a value is no command
        assert completes([*name, "conf"]) == {"config"} and completes([*name, "che"]) == set()
    man = subprocess.run([PROGRAM, "man"], capture_output=True, text=True, timeout=20, check=True).stdout
    assert man.startswith(".TH quantumharmony-node 1 ")
    groff = subprocess.run(["groff", "-man", "-ww", "-Tutf8"], input=man, capture_output=True, text=True,
                           timeout=20, check=True, env=dict(os.environ, MANWIDTH="100"))
    assert groff.stderr == "", groff.stderr
    assert "--data-dir" in groff.stdout.replace("\u2010", "-").replace("\u2212", "-"), groff.stdout
    check_zsh()
    check_fish()


if __name__ == "__main__":
    main()
