#!/usr/bin/env python3
"""consumer.py BUILD_DIR COMPILER - what is installed is all that another program needs.

Installs the component `dev`, moves it elsewhere, builds examples/consumer against it out of the tree, and puts and takes.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def run(*command, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    if done.returncode != 0 and "check" not in more:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


def check_headers(include):
    """They include one another and the public ones of others, and nothing that stayed at home."""
    for header in include.rglob("*.h"):
        for name in re.findall(r'^\s*#\s*include ["<]([^">]+)[">]', header.read_text(), re.M):
            assert not name.startswith("boost/"), f"{header}: {name} is private"
            assert (include / name).exists() or "/" not in name or name.startswith(("tl/", "sys/")), \
                f"{header} includes {name}, which is not installed"


def check_places(prefix, *homes):
    """It works wherever it lies, so it names no place of this machine."""
    for file in prefix.rglob("*"):
        if file.is_file():
            for home in homes:
                assert home.encode() not in file.read_bytes(), f"{file} names {home}"


def check_symbols(library):
    """OpenSSL's are nobody's but ours, or the system's."""
    symbols = run("nm", "--extern-only", "--defined-only", library).stdout
    assert "ValidatorQueue" in symbols
    foreign = re.findall(r"\b(?:EVP|OSSL|OPENSSL|CRYPTO|SHA256|BN)_\w+", symbols)
    assert not foreign, f"{library} defines {foreign[:5]}"


def main():
    build, compiler, root = Path(sys.argv[1]), sys.argv[2], Path.cwd()
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        run("cmake", "--install", build, "--component", "dev", "--prefix", place / "first")
        prefix = shutil.move(place / "first", place / "moved")
        check_headers(prefix / "include/quantumharmony")
        check_places(prefix, f"{root}/", directory)
        check_symbols(next(prefix.rglob("libquantumharmony.a")))
        shutil.copytree(root / "examples/consumer", place / "source")
        run("cmake", "-S", place / "source", "-B", place / "build", "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}",
            f"-DCMAKE_CXX_COMPILER={compiler}", "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")
        run("cmake", "--build", place / "build")
        consumer, queue = place / "build/consumer", place / "queue"
        assert run(consumer, queue, "put", "one").stdout == "job 1 is on disk\n"
        assert run(consumer, queue, "put", "two").stdout == "job 2 is on disk\n"
        assert run(consumer, queue, "take").stdout == "one\n"
        assert run(consumer, queue, "take").stdout == "two\n"
        assert run(consumer, queue, "take", check=False).returncode == 3
    print("installed, moved, found, built, put and taken")


if __name__ == "__main__":
    main()
