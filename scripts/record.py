"""Runs commands in a terminal and writes what it showed as an SVG.

    scripts/record.py OUT.svg COMMAND [COMMAND ...]     (each one a string for the shell; shown after a prompt)

The commands really run; nothing is drawn that they did not print."""

import html
import os
import pty
import re
import subprocess
import sys

COLORS = {"31": "#f7768e", "32": "#9ece6a", "33": "#e0af68", "36": "#7dcfff"}
WIDTH, LINE, SIZE = 8.4, 20, 14


def run(command):
    master, slave = pty.openpty()
    subprocess.run(["stty", "cols", "80", "rows", "40"], stdin=slave, check=True)
    environment = {**os.environ, "TERM": "xterm-256color"}
    child = subprocess.Popen(command, shell=True, stdin=slave, stdout=slave, stderr=slave, env=environment, close_fds=True)
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    child.wait()
    return shown.decode("utf-8", "replace")


def settle(text):
    """What is left on the screen: carriage returns and line erasure applied, colours kept."""
    lines = []
    for line in text.replace("\r\n", "\n").split("\n"):
        last = re.split(r"\r|\x1b\[2K|\x1b\[K", line)
        line = next((part for part in reversed(last) if part.strip()), "")
        lines.append(re.sub(r"\x1b\[[0-9;?]*[A-HJ-ln-z]", "", line))
    return lines


def spans(line):
    style, column, out = {}, 0, []
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        codes = re.fullmatch(r"\x1b\[([0-9;]*)m", part)
        if codes:
            for code in (codes.group(1) or "0").split(";"):
                if code == "0":
                    style = {}
                elif code == "1":
                    style["font-weight"] = "bold"
                elif code == "2":
                    style["fill-opacity"] = "0.6"
                elif code in COLORS:
                    style["fill"] = COLORS[code]
        elif part:
            attributes = " ".join(f'{k}="{v}"' for k, v in style.items())
            out.append((column, f'<tspan x="{20 + column * WIDTH:.1f}" {attributes}>{html.escape(part)}</tspan>'))
            column += len(part)
    return "".join(s for _, s in out), column


def main():
    out, commands = sys.argv[1], sys.argv[2:]
    lines = []
    for command in commands:
        shown = settle(run(command))
        while shown and not shown[-1].strip():
            shown.pop()
        lines += [f"\x1b[32m$\x1b[0m \x1b[1m{command}\x1b[0m", *[s for s in shown if s.strip()], ""]
    rows, columns = [], 0
    for number, line in enumerate(lines[:-1]):
        body, width = spans(line)
        columns = max(columns, width)
        rows.append(f'<text y="{52 + number * LINE}" xml:space="preserve">{body}</text>')
    width, height = 40 + columns * WIDTH, 52 + len(rows) * LINE
    dots = "".join(f'<circle cx="{22 + 18 * i}" cy="20" r="6" fill="{c}"/>' for i, c in enumerate(("#f7768e", "#e0af68", "#9ece6a")))
    open(out, "w").write(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" viewBox="0 0 {width:.0f} {height}">'
        f'<rect width="100%" height="100%" rx="8" fill="#1a1b26"/>{dots}'
        f'<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="{SIZE}" fill="#c0caf5">'
        + "\n".join(rows) + "</g></svg>\n")


main()
