"""Whether clients that were generated from one description work with another."""

import io
import json
from contextlib import redirect_stdout
from typing import Any

from api.openapi import main

Document = dict[str, Any]


def described() -> Document:
    """The description of this version, without its version number."""
    out = io.StringIO()
    with redirect_stdout(out):
        main()
    document: Document = json.loads(out.getvalue())
    return document


def operations_of(document: Document) -> dict[str, tuple[str, str]]:
    """Method and path by operation id."""
    return {
        operation["operationId"]: (method, path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def incompatibilities(old: Document, new: Document) -> list[str]:
    """What clients of ``old`` rely on and ``new`` lacks, or what it newly demands of them."""
    found: list[str] = []
    operations = operations_of(new)
    for name, (method, path) in operations_of(old).items():
        if operations.get(name) != (method, path):
            found.append(f"{name}: {method.upper()} {path} is gone")
            continue
        found += _of_operation(name, old["paths"][path][method], new["paths"][path][method])
    schemas = new["components"]["schemas"]
    for name, schema in old["components"]["schemas"].items():
        if name not in schemas:
            found.append(f"schema {name} is gone")
        else:
            found += _of_schema(name, schema, schemas[name])
    return found


def _of_operation(name: str, old: Document, new: Document) -> list[str]:
    before = {(one["name"], one["in"]): one for one in old.get("parameters", ())}
    after = {(one["name"], one["in"]): one for one in new.get("parameters", ())}
    found = [f"{name}: parameter {key[0]} is gone" for key in before if key not in after]
    found += [
        f"{name}: parameter {key[0]} is required now"
        for key, one in after.items()
        if one.get("required") and not before.get(key, {}).get("required")
    ]
    return found + [
        f"{name}: {code} is gone" for code in old["responses"] if code[0] == "2" and code not in new["responses"]
    ]


def _of_schema(name: str, old: Document, new: Document) -> list[str]:
    found = []
    properties = new.get("properties", {})
    for field, schema in old.get("properties", {}).items():
        if field not in properties:
            found.append(f"{name}.{field} is gone")
        elif _kinds(schema) - _kinds(properties[field]) and not name.endswith("Out"):
            found.append(f"{name}.{field} takes less than before")
        elif _kinds(properties[field]) - _kinds(schema) and name.endswith("Out"):
            found.append(f"{name}.{field} may be of another type than before")
    if not name.endswith("Out"):
        newly = set(new.get("required", ())) - set(old.get("required", ()))
        found += [f"{name}.{field} is required now" for field in sorted(newly)]
    return found


def _kinds(schema: Document) -> set[str]:
    """The types, references and values that a schema allows."""
    kinds = set()
    for one in schema.get("anyOf", [schema]):
        kinds.add(str(one.get("$ref") or one.get("type") or "any"))
        kinds |= {f"value {value}" for value in one.get("enum", ())}
    return kinds
