#!/usr/bin/env python3
"""discover.py PROGRAM - what rpc.discover says is a well-formed OpenRPC document, and true of the node that says it.

Results fit their schemas (by our checker, which also finds members that no schema names, and by Python's jsonschema).
Calls are made up for each method: those whose parameters fit are not refused for them (-32602), and those that do not fit are.
QH_CALLS sets how many; a failure prints the call.
"""
import json
import os
import random
import re
import sys

import jsonschema

from json_schema import misfits
from running_node import RunningNode

# More answers than the examples have: each other form that a result can take.
MORE_CALLS = (
    ("qssh_getQueueDepth", {}), ("qssh_peek", {}), ("qssh_find", {"message_id": 4}), ("qssh_find", {"message_id": 1}),
    ("qssh_submitMessage", {"message": {"EntropyShare": {"device_id": "d", "entropy": "0x01", "qber": None}}}),
    ("qssh_submitMessage", {"message": {"Transaction": {"tx_hash": "0x" + "11" * 32, "tx_data": [1]}}}),
    ("qssh_submitMessage", {"message": {"Vote": {"validator": "v", "block_hash": "0x" + "22" * 32, "signature": "0x",
                                                 "block_number": 7}}}),
    ("qssh_submitMessage", {"message": {"BlockImport": {"block_hash": {"base64": "A" * 42 + "E="}, "block_number": 1,
                                                        "timestamp": 1}}}),
    ("qssh_submitMessage", {"message": {"Gossip": {"topic": "x", "data": []}}, "expires_at_ms": 1}),
    ("qssh_submitMessage", {"message": {"Gossip": {"topic": "x", "data": []}}, "expires_at_ms": 1}),
    ("qssh_peek", {"count": 1000}), ("qssh_find", {"message_id": 7}), ("qssh_lease", {"max": 1000}),
    ("qssh_popMessage", {}), ("qssh_listDeadLetters", {"limit": 1}), ("qssh_getMetrics", {}),
)
NONSENSE = ({"zz": 1}, "zz", -1, [[]], 7.5)
GOSSIP = {"Gossip": {"topic": "t", "data": [1]}}
# What made-up calls are made of, besides the bounds and the words that the schemas name: near what is right, and far.
VALUES = (
    None, True, False, 0, 1, -1, 1.0, 1.5, 0.0005, 0.001, 7, 1000, 2**53 - 1, 2**53, "", "a", "alice", "A b", "-a", "aggregate",
    "x" * 32, "x" * 33, "x" * 128, "x" * 129, "é" * 64, "é" * 65, "x" * 1024, "é" * 600, "sync", "queued", "finalized",
    "Gossip", [], [1], [1, 1], [0], [-1], [None], ["Gossip"], ["Gossip"] * 6, ["Gossip"] * 7, ["gossip"], [[]], {}, {"a": 1},
    {"message_id": 1}, {"priority": "Normal", "message_id": 1}, {"priority": "Normal", "message_id": 0},
    {"priority": "normal", "message_id": 1}, {"priority": "Normal", "message_id": 1, "x": 1},
    {"died_at_ms": 1, "message_id": 1}, {"died_at_ms": -1, "message_id": 1}, {"died_at_ms": 1, "message_id": 1, "x": 1},
    GOSSIP, {"Gossip": {"topic": "t", "data": "0xZZ"}}, {"Gossip": {"topic": "t", "data": "0x1"}},
    {"Gossip": {"topic": "t", "data": {"base64": "A"}}}, {"Gossip": {"topic": "", "data": {"base64": "AAA="}}},
    {"Gossip": {"topic": "t", "data": [256]}}, {"Gossip": {"topic": "t", "data": [1.0]}}, {"Gossip": {"topic": "t"}},
    {"Gossip": {"topic": "t", "data": [], "x": 1}}, {**GOSSIP, "Telemetry": {"source": "s", "data": []}},
    {"Telemetry": {"source": "s", "data": "0x00"}}, {"EntropyShare": {"device_id": "d", "entropy": [], "qber": 1.5}},
    *({"Gossip": {"topic": "t", "data": {"base64": text}}} for text in ("", "AA==", "AB==", "AAA=", "AAB=", "A=AA", "+/+/",
                                                                        "-_-_", "====", "AAAAA===")),
    {"Gossip": {"topic": "t", "data": {"base64": "", "x": 1}}}, {"Gossip": {"topic": None, "data": []}},
    {"Gossip": {"topic": "x" * 300, "data": []}}, {"Gossip": {"topic": "é" * 40_000, "data": []}},
    *({"Transaction": {"tx_hash": tx_hash, "tx_data": []}} for tx_hash in (
        "0x11", "0x" + "1f" * 32, "0x" + "1F" * 33, [1] * 31, [1] * 32, {"base64": "A" * 43 + "="}, {"base64": "A" * 42 + "B="},
        {"base64": "A" * 44})),
    {"Transaction": {"tx_hash": [0] * 32, "tx_data": [], "expires_at": None}},
    {"Transaction": {"tx_hash": [0] * 32, "tx_data": [], "expires_at": 2**53}},
    {"Vote": {}}, {"Vote": {"validator": "v", "block_hash": [0] * 32, "signature": [], "block_number": -1}},
    {"EntropyShare": {"device_id": "d", "entropy": [], "qber": None}}, {"EntropyShare": {"device_id": "d", "entropy": []}},
    {"EntropyShare": {"device_id": "d", "entropy": [], "qber": 1}}, [GOSSIP], [GOSSIP, {"message": GOSSIP}],
    [{"message": GOSSIP, "durability": None}], [{"message": GOSSIP, "timeout_ms": 1}], [{"durability": "sync"}],
)
CALLS = int(os.environ.get("QH_CALLS", "150"))  # of a method
SEED = 11


def _max_bytes(_, most, value, __):
    if isinstance(value, str) and len(value.encode()) > most:
        yield jsonschema.ValidationError(f"over {most} bytes")


Judge = jsonschema.validators.extend(jsonschema.Draft7Validator, {"x-max-bytes": _max_bytes})


def check_form(document):
    """OpenRPC 1.3.2, the objects that we use."""
    assert re.fullmatch(r"1\.3\.\d+", document["openrpc"])
    assert isinstance(document["info"]["title"], str) and isinstance(document["info"]["version"], str)
    names = [method["name"] for method in document["methods"]]
    assert len(set(names)) == len(names) > 20
    errors = document["components"]["errors"]
    for error in errors.values():
        assert isinstance(error["code"], int) and isinstance(error["message"], str)
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)
    for method in document["methods"]:
        name = method["name"]
        assert method["paramStructure"] in ("by-name", "by-position", "either"), name
        required = [parameter["required"] for parameter in method["params"]]
        assert required == sorted(required, reverse=True), f"{name}: what is required stands first"
        for descriptor in [*method["params"], method["result"]]:
            assert isinstance(descriptor["name"], str) and isinstance(descriptor["schema"], dict), name
            jsonschema.Draft7Validator.check_schema(descriptor["schema"])
        jsonschema.Draft7Validator.check_schema(method["x-params"])
        assert method["errors"] and all(e["$ref"].removeprefix("#/components/errors/") in errors
                                        for e in method["errors"]), name


def check_result(node, document, method, params):
    answer = node.call(method["name"], params)
    assert "result" in answer, (method["name"], params, answer)
    schema = method["result"]["schema"]
    wrong = list(misfits(answer["result"], schema, document, strict=True))
    assert not wrong, f"{method['name']}({params}): " + "; ".join(wrong)
    jsonschema.validate(answer["result"], schema | {"components": document["components"]}, jsonschema.Draft7Validator)


def by_name(method):
    example = method["x-example"]
    if method["paramStructure"] == "by-name" and "message" not in example:
        return {"message": example}  # the short form of a submit
    return example or {}


def refused_field(node, name, params, refused):
    answer = node.call(name, params)
    error = answer.get("error", {})
    assert error.get("code") == -32602, f"{name}({params}) is not refused: {answer}"
    field = re.split(r"[.\[]", error["data"]["field"])[0]
    assert field in refused, f"{name}({params}): told about {field}, not {refused}"


def at_bounds(schema):
    """What stands at, and just outside, what a schema names."""
    values = list(schema.get("enum", []))
    for word, step in (("minimum", -1), ("maximum", 1)):
        if word in schema:
            values += [schema[word], schema[word] + step]
    return values + [value for part in schema.get("anyOf", ()) for value in at_bounds(part)]


def check_parameters(node, document, method):
    name, good = method["name"], by_name(method)
    refused_field(node, name, {**good, "zz_unknown": 1}, {"zz_unknown"})
    for parameter in method["params"]:
        key, schema = parameter["name"], parameter["schema"]
        if parameter["required"]:
            refused_field(node, name, {k: v for k, v in good.items() if k != key}, {key})
        bad = [value for value in NONSENSE if list(misfits(value, schema, document))]
        assert bad, f"{name}: {key} takes anything"
        for value in bad:
            # The codec of messages names what stands in one.
            refused_field(node, name, {**good, key: value}, {key} | ({"zz", "Message"} if key == "message" else set()))
    if method["paramStructure"] == "either" and good:
        in_order = [good.get(parameter["name"]) for parameter in method["params"]]
        error = node.call(name, in_order).get("error", {})
        assert error.get("code") != -32602, (name, in_order, error)


def made_up(method, document, pick):
    """Parameters by name: each may be there or not, with what its own schema allows or with anything."""
    params, share = {}, pick.choice([0.2, 0.5, 0.8])
    for parameter in method["params"]:
        key, schema = parameter["name"], parameter["schema"]
        if not parameter["required"] and pick.random() > share:
            continue
        values = [*VALUES, *at_bounds(schema)]
        if pick.random() < 0.85:
            values = [value for value in values if not list(misfits(value, schema, document))]
        params[key] = pick.choice(values)
    if pick.random() < 0.05:
        params[pick.choice(["zz", "message_id", "all"])] = 1
    return params


def may_be_tried(name, params, fits):
    """Not what would wait for long, nor what changes the node: its own refusals are of ports and states."""
    if not fits:
        return True
    waits = max(params.get("wait_ms") or 0, 60 if name == "node_injectFault" or name.startswith("node_") else 0)
    return waits < 50 and not 0 < (params.get("rate") or 0) < 1000


def check_both_ways(node, document, method, pick):
    """How many calls fitted, and how many did not."""
    name, schema = method["name"], method["x-params"]
    judge = Judge(schema | {"components": document["components"]})
    singles = [{**by_name(method), p["name"]: value} for p in method["params"]
               for value in [*VALUES, *at_bounds(p["schema"])]]
    counts = {True: 0, False: 0}
    may_answer = {error["$ref"].rsplit("/", 1)[1] for error in method["errors"]}
    for params in singles + [made_up(method, document, pick) for _ in range(CALLS if method["params"] else 0)]:
        wrong = list(misfits(params, schema, document))
        assert judge.is_valid(params) == (not wrong), f"{name}({json.dumps(params)}): {wrong}"
        if not may_be_tried(name, params, not wrong):
            continue
        error = node.call(name, params).get("error", {})
        assert not error or error["data"]["reason"] in may_answer, f"{name}({json.dumps(params)}): {error} is not in its list"
        taken = error.get("code") != -32602
        assert taken == (not wrong), f"{name}({json.dumps(params)}): the schema says {wrong}, the node {error or 'yes'}"
        counts[taken] += 1
    return counts


def check_the_checker():
    """A checker that finds nothing would let everything pass."""
    document = {"components": {"schemas": {"Id": {"type": "integer", "minimum": 1}}}}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/components/schemas/Id"}}, "required": ["a"]}
    for value, wrong in (({"a": 1}, 0), ({"a": 0}, 1), ({}, 1), ({"a": True}, 1), ({"a": 1, "b": 2}, 1), ([], 1)):
        assert len(list(misfits(value, schema, document, strict=True))) == wrong, value


def main():
    check_the_checker()
    with RunningNode(sys.argv[1], ["--dev", "--allow-faults"]) as node:
        document = node.call("rpc.discover")["result"]
        check_form(document)
        methods = {method["name"]: method for method in document["methods"]}
        for method in methods.values():
            check_result(node, document, method, method["x-example"])
            if method["name"].startswith("node_"):
                node.settle()
        for name, params in MORE_CALLS:
            check_result(node, document, methods[name], params)
        for method in methods.values():
            check_parameters(node, document, method)
        counts = {name: check_both_ways(node, document, method, random.Random(SEED))
                  for name, method in methods.items()}
    for name, method in methods.items():
        if method["params"]:
            assert counts[name][False] > 10 and (counts[name][True] > 10 or name.startswith("node_")), (name, counts[name])
    print(f"{len(methods)} methods are as rpc.discover says; made-up calls that fit:",
          sum(c[True] for c in counts.values()), "and that do not:", sum(c[False] for c in counts.values()))


if __name__ == "__main__":
    main()
