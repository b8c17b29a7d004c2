#!/usr/bin/env python3
"""Makes docs/start-screen.svg, the picture in the README: what ./dev run really writes on a terminal, drawn.

usage: scripts/picture.py [--state DIRECTORY] [--columns N] [--out FILE]
The one that is there was made with --state /home/you/.local/state.

It runs ./dev run on a pseudoterminal with a new, empty state directory (which it removes), waits for the last line of
the start-up screen, stops it with Ctrl-C, and draws the characters with their colours. Ports 9944 to 9946, 9950 and 8080 must be free.
"""
import argparse
import fcntl
import html
import os
import pty
import re
import select
import shutil
import signal
import struct
import sys
import termios
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LAST_LINE = b"Ctrl-C stops"
PATIENCE_S = 600
CELL_W, CELL_H, FONT_PX, MARGIN, BAR_H = 8.4, 20, 14, 22, 38
INK = {"": "#c9d1d9", "1": "#ffffff", "2": "#8b949e", "32": "#56d364"}
STYLE = re.compile(r"\x1b\[([0-9;]*)m")


def screen_of(command, columns, environment):
    """Everything that the command writes up to the line with LAST_LINE."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execvpe(command[0], command, environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    said, end = b"", time.monotonic() + PATIENCE_S
    try:
        while LAST_LINE not in said or not said.endswith(b"\n"):
            if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
                sys.exit("it did not get ready in time; it said:\n" + said.decode(errors="replace"))
            try:
                more = os.read(terminal, 65536)
            except OSError:
                more = b""
            if not more:
                sys.exit("it ended; it said:\n" + said.decode(errors="replace"))
            said += more
    finally:
        os.kill(pid, signal.SIGINT)
        os.waitpid(pid, 0)
    return said.decode().replace("\r\n", "\n")


def cells_of(line, columns):
    """The line's runs of one style, as (row, column, text, style), wrapped as a terminal wraps."""
    style, row, column = "", 0, 0
    for number, part in enumerate(STYLE.split(line)):
        if number % 2:
            style = "" if part in ("", "0") else part
            continue
        while part:
            if column == columns:
                row, column = row + 1, 0
            text, part = part[: columns - column], part[columns - column :]
            yield row, column, text, style
            column += len(text)


def draw(lines, columns, title):
    rows, runs = 0, []
    for line in lines:
        used = 0
        for row, column, text, style in cells_of(line, columns):
            used = row
            if text.strip():
                runs.append((rows + row, column, text, style))
        rows += used + 1
    width = round(columns * CELL_W + 2 * MARGIN)
    height = rows * CELL_H + BAR_H + 2 * MARGIN - 8
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{html.escape(title)}">',
        f"<title>{html.escape(title)}</title>",
        f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="10" fill="#0d1117" stroke="#30363d"/>',
        f'<path d="M.5 {BAR_H}V10.5a10 10 0 0 1 10-10H{width - 10.5}a10 10 0 0 1 10 10V{BAR_H}z" fill="#161b22" '
        'stroke="#30363d"/>',
    ]
    for number, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        out.append(f'<circle cx="{22 + 20 * number}" cy="{BAR_H / 2}" r="6" fill="{colour}"/>')
    out.append(
        f'<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,\'DejaVu Sans Mono\',monospace" '
        f'font-size="{FONT_PX}" style="white-space:pre">'
    )
    for row, column, text, style in runs:
        # What stands at the margins of a run is only space: the place says it.
        start = column + len(text) - len(text.lstrip(" "))
        text = text.strip(" ")
        x, y = MARGIN + start * CELL_W, BAR_H + MARGIN + row * CELL_H + 10
        bold = ' font-weight="700"' if style == "1" else ""
        out.append(
            f'<text x="{x:.1f}" y="{y}" fill="{INK[style]}"{bold} textLength="{len(text) * CELL_W:.1f}" '
            f'xml:space="preserve">{html.escape(text, quote=False)}</text>'
        )
    return "\n".join(out + ["</g>", "</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", default="/tmp/picture", help="a state directory that does not exist")
    parser.add_argument("--columns", type=int, default=104)
    parser.add_argument("--out", default=os.path.join(ROOT, "docs", "start-screen.svg"))
    arguments = parser.parse_args()
    if os.path.exists(arguments.state):
        sys.exit(f"{arguments.state} exists: give --state a directory that does not")
    environment = dict(os.environ, XDG_STATE_HOME=arguments.state, TERM="xterm-256color")
    environment.pop("NO_COLOR", None)
    try:
        screen = screen_of(["./dev", "run"], arguments.columns, environment)
    finally:
        shutil.rmtree(arguments.state, ignore_errors=True)
    lines = ["\x1b[2m$\x1b[0m \x1b[1m./dev run\x1b[0m"] + screen.rstrip("\n").split("\n")
    title = "A terminal after ./dev run: Alice, Bob and Charlie are ready on ports 9944 to 9946"
    with open(arguments.out, "w", encoding="utf-8") as file:
        file.write(draw(lines, arguments.columns, title))


if __name__ == "__main__":
    main()
