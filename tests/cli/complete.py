#!/usr/bin/env python3
"""complete.py PROGRAM - asks a real bash what it would complete, with the script that the program prints.

And, where there is a groff, whether the manual page has warnings.
"""
import os
import shutil
import subprocess
import sys

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
    man = subprocess.run([PROGRAM, "man"], capture_output=True, text=True, timeout=20, check=True).stdout
    assert man.startswith(".TH quantumharmony-node 1 ")
    if shutil.which("groff"):
        groff = subprocess.run(["groff", "-man", "-ww", "-Tutf8"], input=man, capture_output=True, text=True,
                               timeout=20, check=True, env=dict(os.environ, MANWIDTH="100"))
        assert groff.stderr == "", groff.stderr
        assert "--data-dir" in groff.stdout.replace("\u2010", "-").replace("\u2212", "-"), groff.stdout
    for shell, check in (("fish", ["fish", "-n"]), ("zsh", ["zsh", "-n"])):
        if shutil.which(shell):
            text = subprocess.run([PROGRAM, "completion", shell], capture_output=True, text=True, check=True).stdout
            subprocess.run(check + ["/dev/stdin"], input=text, text=True, check=True, timeout=20)


if __name__ == "__main__":
    main()
