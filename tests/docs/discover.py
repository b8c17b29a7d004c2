#!/usr/bin/env python3
"""discover.py PROGRAM - what rpc.discover says is a well-formed OpenRPC document, and true of the node that says it.

Results fit their schemas (by our checker, which also finds members that no schema names, and by Python's jsonschema);
parameters are taken and refused as described.
"""
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
# A value at its bound is tried, but not where it would wait or stand still for a minute.
TAKES_LONG = {"wait_ms", "timeout_ms", "rate"}
NONSENSE = ({"zz": 1}, "zz", -1, [[]], True)


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
    return [schema[word] for word in ("minimum", "maximum") if word in schema] + schema.get("enum", [])


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
        for value in [] if key in TAKES_LONG or name == "node_injectFault" else at_bounds(schema):
            error = node.call(name, {**good, key: value}).get("error", {})
            assert error.get("data", {}).get("field") != key or "alone" in error["data"]["expected"], (name, key, error)
    if method["paramStructure"] == "either" and good:
        in_order = [good.get(parameter["name"]) for parameter in method["params"]]
        error = node.call(name, in_order).get("error", {})
        assert error.get("code") != -32602, (name, in_order, error)


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
    print(f"{len(methods)} methods are as rpc.discover says")


if __name__ == "__main__":
    main()
