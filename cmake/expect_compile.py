#!/usr/bin/env python3
"""expect_compile.py fail|pass REGEX COMMAND... - runs a compiler and judges what it did.

fail: the command must fail and REGEX must be found in what it printed; another error is not the one meant.
pass: the command must succeed.
"""
import re
import subprocess
import sys


def main() -> int:
    verdict, regex = sys.argv[1:3]
    command = [argument for argument in sys.argv[3:] if argument]  # newer CMakes pass an empty list as an empty argument
    run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if verdict == "pass":
        wrong = "" if run.returncode == 0 else "it does not compile"
    elif run.returncode == 0:
        wrong = "it compiles, and must not"
    else:
        wrong = "" if re.search(regex, run.stdout) else f"it fails, but for another reason than /{regex}/"
    if wrong:
        print(f"{command[-1]}: {wrong}\n{' '.join(command)}\n{run.stdout}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
