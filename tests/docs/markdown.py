"""The fenced blocks of a Markdown file."""
import re
from typing import NamedTuple


class Block(NamedTuple):
    language: str
    text: str
    line: int      # of its first line, from 1
    before: str    # what stands between it and the block before
    end: int       # where its closing fence has ended, in the file's text


def blocks(text):
    found, at = [], 0
    for match in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```\n", text, re.S | re.M):
        found.append(Block(match[1], match[2], text.count("\n", 0, match.start()) + 2,
                           text[at:match.start()], match.end()))
        at = match.end()
    return found
