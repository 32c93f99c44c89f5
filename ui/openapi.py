"""Types of the web application, from what the service says of itself: python ui/openapi.py."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from dicomlake.settings import Settings
from dicomlake.web import app

TYPES = Path(__file__).parent / "src" / "api" / "schema.ts"
_HEAD = "// Made from the OpenAPI document of the service: python ui/openapi.py\n"
_PLAIN = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}


def description() -> dict[str, Any]:
    """What the service says of itself."""
    with tempfile.TemporaryDirectory() as folder:
        return dict(app(Path(folder), Settings()).openapi())


def types(found: dict[str, Any]) -> str:
    """TypeScript: one type per schema, and the answer to every operation."""
    parts = [_HEAD]
    for name, schema in sorted(found["components"]["schemas"].items()):
        parts.append(f"export type {_named(name)} = {_type(schema)};\n")
    parts.append("/** What comes back, by method and path. */\nexport type Answers = {")
    for path, methods in sorted(found["paths"].items()):
        for method, said in sorted(methods.items()):
            parts.append(f"  {json.dumps(f'{method.upper()} {path}')}: {_answer(said)};")
    return "\n".join(parts) + "\n};\n"


def _answer(said: dict[str, Any]) -> str:
    for status, response in sorted(said["responses"].items()):
        if status.startswith("2"):
            schema = response.get("content", {}).get("application/json", {}).get("schema")
            return _type(schema, 1) if schema is not None else "unknown"
    return "unknown"


def _named(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _type(schema: Any, level: int = 0) -> str:
    if not isinstance(schema, dict) or not schema:
        return "unknown"
    if "$ref" in schema:
        return _named(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " | ".join(dict.fromkeys(_type(part, level) for part in schema[key]))
    if "allOf" in schema:
        return " & ".join(_type(part, level) for part in schema["allOf"])
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": one}, level) for one in kind)
    if kind == "array":
        return _array(schema, level)
    if kind == "object" or "properties" in schema:
        return _object(schema, level)
    return _PLAIN.get(str(kind), "unknown")


def _array(schema: dict[str, Any], level: int) -> str:
    if "prefixItems" in schema:
        return f"[{', '.join(_type(part, level) for part in schema['prefixItems'])}]"
    inner = _type(schema.get("items"), level)
    return f"({inner})[]" if "|" in inner and not inner.startswith("{") else f"{inner}[]"


def _object(schema: dict[str, Any], level: int) -> str:
    members = schema.get("properties")
    if not members:
        extra = schema.get("additionalProperties")
        if extra is False:
            return "Record<string, never>"
        return f"Record<string, {_type(extra, level)}>"
    required = set(schema.get("required", ()))
    space = "  " * (level + 1)
    lines = []
    for name, member in members.items():
        if said := member.get("description", ""):
            lines.append(f"{space}/** {said.replace('*/', '* /')} */")
        given = name in required or "default" in member
        key = name if name.isidentifier() else json.dumps(name)
        lines.append(f"{space}{key}{'' if given else '?'}: {_type(member, level + 1)};")
    return "{\n" + "\n".join(lines) + "\n" + "  " * level + "}"


if __name__ == "__main__":
    TYPES.write_text(types(description()), encoding="utf-8")
