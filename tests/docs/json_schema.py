"""Does a value fit a JSON Schema? The part of draft 7 that rpc.discover uses, and a keyword outside it is an error.

strict: a member that no schema names is an error too. Fields may be added to answers, but not without being told.
"""
import json
import re

_TYPES = {"null": lambda v: v is None, "boolean": lambda v: isinstance(v, bool), "string": lambda v: isinstance(v, str),
          "array": lambda v: isinstance(v, list), "object": lambda v: isinstance(v, dict),
          "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
          "integer": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and v == int(v)}
_KNOWN = {"$ref", "title", "description", "type", "enum", "const", "pattern", "minLength", "maxLength", "minimum",
          "maximum", "items", "minItems", "maxItems", "properties", "required", "additionalProperties", "anyOf", "oneOf",
          "not", "x-max-bytes"}


def misfits(value, schema, document, strict=False, path="$"):
    """Yields what is wrong, a line each."""
    assert schema.keys() <= _KNOWN, f"keywords that this checker does not know: {schema.keys() - _KNOWN}"
    if "$ref" in schema:
        target = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        yield from misfits(value, target, document, strict, path)
        return
    for word, least in (("anyOf", 1), ("oneOf", 1)):
        if word in schema:
            tries = [list(misfits(value, one, document, strict, path)) for one in schema[word]]
            fits = tries.count([])
            if fits < least or (word == "oneOf" and fits > 1):
                yield f"{path} fits {fits} of {word}: {min(tries, key=len)}"
    if "not" in schema and not list(misfits(value, schema["not"], document, strict, path)):
        yield f"{path} is what it must not be: {json.dumps(value)[:80]}"
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not any(_TYPES[name](value) for name in types):
        yield f"{path} is no {' or '.join(types)}: {json.dumps(value)[:80]}"
        return
    if ("enum" in schema and not _is_one_of(value, schema["enum"])) or (
            "const" in schema and not _is_one_of(value, [schema["const"]])):
        yield f"{path} is none of {schema.get('enum', schema.get('const'))}: {value!r}"
    if isinstance(value, str):
        if not re.search(schema.get("pattern", ""), value):
            yield f"{path} does not match {schema['pattern']}: {value!r}"
        yield from _outside(len(value), schema, "minLength", "maxLength", path)
        yield from _outside(len(value.encode()), schema, "", "x-max-bytes", path)
    elif _TYPES["number"](value):
        yield from _outside(value, schema, "minimum", "maximum", path)
    elif isinstance(value, list):
        yield from _outside(len(value), schema, "minItems", "maxItems", path)
        for i, element in enumerate(value):
            yield from misfits(element, schema.get("items", {}), document, strict, f"{path}[{i}]")
    elif isinstance(value, dict):
        yield from _members(value, schema, document, strict, path)


def _is_one_of(value, some):
    """To JSON, true is not 1."""
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in some)


def _outside(number, schema, low, high, path):
    if not schema.get(low, number) <= number <= schema.get(high, number):
        yield f"{path}: {number} is not within {low} {schema.get(low)} and {high} {schema.get(high)}"


def _members(value, schema, document, strict, path):
    for name in schema.get("required", []):
        if name not in value:
            yield f"{path}.{name} is missing"
    named = schema.get("properties", {})
    others = schema.get("additionalProperties", not (strict and named))
    for name, part in value.items():
        if name in named:
            yield from misfits(part, named[name], document, strict, f"{path}.{name}")
        elif others is False:
            yield f"{path}.{name} is not in the schema"
        elif isinstance(others, dict):
            yield from misfits(part, others, document, strict, f"{path}.{name}")
