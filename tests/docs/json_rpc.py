#!/usr/bin/env python3
"""json_rpc.py PROGRAM - every call of docs/json-rpc.md gets the answer that stands behind it.

In the document's order to one new node; below "Errors" to a new node each, with the flags that the text names. With
QH_WRITE_DOCS set it writes the answers instead.
"""
import json
import os
import re
import subprocess
import sys

from markdown import blocks
from running_node import PATIENCE_S, RunningNode

PATH = "docs/json-rpc.md"
# Figures of a clock, a disk or a moment: there, and of the same type.
OF_THE_MOMENT = re.compile(r"created_at|uptime|latency|msg_rate|health|last_message_time|oldest_ready_s|.*_ms|.*_s")
PARTS_OF_THE_MOMENT = {"rates", "submit_latency", "fsync_latency", "batch_records", "wal", "health_parts"}


def shown(answer):
    """What the document shows of an answer: all of it, but of rpc.discover one of each."""
    document = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(document, dict) or "openrpc" not in document:
        return answer
    ack = next(m for m in document["methods"] if m["name"] == "qssh_ack")
    parts = document["components"]
    few = {"schemas": {"LeaseOutcome": parts["schemas"]["LeaseOutcome"], "…": "…"},
           "errors": {"InvalidParams": parts["errors"]["InvalidParams"], "…": "…"}}
    return answer | {"result": document | {"methods": ["…", ack, "…"], "components": few}}


def without_offset(answer, offset):
    """Ports as on a node without one."""
    if isinstance(answer, list):
        return [without_offset(part, offset) for part in answer]
    if isinstance(answer, dict):
        return {key: part - offset if key in ("port", "binary_port") and isinstance(part, int)
                else without_offset(part, offset) for key, part in answer.items()}
    return answer


def without_times(value):
    return re.sub(r"\d+ ms\b", "0 ms", value) if isinstance(value, str) else value


def differences(told, given, path="", of_the_moment=False):
    if type(told) is not type(given) and not {type(told), type(given)} <= {int, float}:
        if not (of_the_moment and None in (told, given)):
            yield f"{path}: {told!r} in the document, {given!r} from the node"
    elif isinstance(told, dict):
        if list(told) != list(given):
            yield f"{path} has {list(told)} in the document, {list(given)} from the node"
        for key in told.keys() & given.keys():
            moment = of_the_moment or key in PARTS_OF_THE_MOMENT or bool(OF_THE_MOMENT.fullmatch(key))
            yield from differences(told[key], given[key], f"{path}.{key}", moment)
    elif isinstance(told, list):
        if len(told) != len(given):
            yield f"{path} has {len(told)} elements in the document, {len(given)} from the node"
        for i, (a, b) in enumerate(zip(told, given)):
            yield from differences(a, b, f"{path}[{i}]", of_the_moment)
    elif without_times(told) != without_times(given) and not of_the_moment:
        yield f"{path}: {told!r} in the document, {given!r} from the node"


def text_of(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def pretty(value, indent=0, width=116):
    """JSON in lines of at most `width` where it has a place to break."""
    text = text_of(value)
    if len(text) + indent <= width or not isinstance(value, (dict, list)):
        return text
    inner = indent + 1
    if isinstance(value, list):
        parts = [pretty(part, inner, width) for part in value]
    else:
        parts = [f"{text_of(key)}:" + pretty(part, inner + len(key) + 3, width) for key, part in value.items()]
    lines, column = parts[0], inner + len(parts[0].rsplit("\n", 1)[-1])
    for part in parts[1:]:
        simple = "\n" not in part and "\n" not in lines.rsplit(",\n", 1)[-1]
        if simple and column + len(part) + 1 < width and part[-1] not in "]}":
            lines, column = lines + "," + part, column + len(part) + 1
        else:
            lines, column = lines + ",\n" + " " * inner + part, inner + len(part)
    return ("[%s]" if isinstance(value, list) else "{%s}") % lines


def answer_to(curl, node):
    done = subprocess.run(["bash", "-euc", node.here(curl)], cwd=node.directory, capture_output=True, text=True,
                          timeout=PATIENCE_S, check=True)
    answer = shown(without_offset(json.loads(done.stdout), node.offset))
    if '"node_' in curl:
        node.settle()
    return answer


class Reader:
    """Goes through the document once, with a node for the methods and one for each error."""

    def __init__(self, program, text):
        self.program, self.text, self.blocks = program, text, blocks(text)
        self.answers = []  # (call, answer told or None, answer given)

    def run(self):
        errors_at = self.text.index("\n## Errors\n")
        prepare = next(b.text for b in self.blocks if b.language == "sh")
        with RunningNode(self.program, ["--dev", "--allow-faults"]) as node:
            for index, call in enumerate(self.blocks):
                if call.language != "bash":
                    continue
                if call.end <= errors_at:
                    self._try(index, node)
                else:
                    self._try_error(index, prepare)

    def _try_error(self, index, prepare):
        flags = re.search(r"with `([^`]*)`", self.blocks[index].before.rsplit("\n\n", 2)[-2])
        node = RunningNode(self.program, ["--validators", "1", *(flags[1].split() if flags else [])])
        subprocess.run(["bash", "-euc", prepare], cwd=node.directory, check=True)
        with node:
            self._try(index, node)

    def _try(self, index, node):
        call = self.blocks[index]
        behind = self.blocks[index + 1] if index + 1 < len(self.blocks) else None
        told = behind if behind and behind.language == "json" and behind.before == "\n" else None
        self.answers.append((call, told, answer_to(call.text, node)))


def write(reader):
    text, shift = reader.text, 0
    for call, told, given in reader.answers:
        if told and not list(differences(json.loads(told.text), given)):
            given = json.loads(told.text)  # nothing but times would change
        at, until = call.end + shift, (told.end if told else call.end) + shift
        block = "\n```json\n" + pretty(given) + "\n```\n"
        text = text[:at] + block + text[until:]
        shift += len(block) - (until - at)
    with open(PATH, "w", encoding="utf-8") as file:
        file.write(text)


# What no request makes happen: tests/rpc/errors_test.cpp and the dispatcher's tests have these.
OF_THE_MACHINE = {"InternalError", "StorageFull", "StorageFailed", "Timeout", "ShuttingDown"}


def check_errors(reader):
    """Each line of the table of errors has a call that gets its code."""
    table = {reason: int(code) for code, reason in re.findall(r"^\| (-\d+) \| `(\w+)`", reader.text, re.M)}
    seen = {}
    for _, _, given in reader.answers:
        for answer in given if isinstance(given, list) else [given]:
            if "error" in answer:
                seen[answer["error"]["data"]["reason"]] = answer["error"]["code"]
    assert seen.items() <= table.items(), f"{seen} is not as in the table"
    assert table.keys() - seen.keys() == OF_THE_MACHINE, f"no call gets {table.keys() - seen.keys() - OF_THE_MACHINE}"


def compare(reader):
    wrong = []
    for call, told, given in reader.answers:
        if told is None:
            wrong.append(f"{PATH}:{call.line}: no answer stands behind this call")
            continue
        wrong += [f"{PATH}:{told.line}: {text}" for text in differences(json.loads(told.text), given)]
    methods = set(re.findall(r"^### (\S+)$", reader.text, re.M))
    called = set(re.findall(r'"method":"([^"]+)"', "".join(call.text for call, _, _ in reader.answers)))
    assert methods <= called, f"never called: {methods - called}"
    check_errors(reader)
    assert not wrong, "\n".join(wrong) + "\n(./dev docs writes what the node answers)"
    print(f"{len(reader.answers)} calls, {len(methods)} methods: answered as told")


def main():
    with open(PATH, encoding="utf-8") as file:
        reader = Reader(sys.argv[1], file.read())
    reader.run()
    (write if os.environ.get("QH_WRITE_DOCS") else compare)(reader)


if __name__ == "__main__":
    main()
