"""The reference page of what commands print with ``--json``, from the schemas that the package has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from datacrumbs.schemas import NAMES, schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    Schema = dict[str, Any]

INTRODUCTION = (
    "What commands print with `--json`. The same is in the package as JSON Schemas (draft 2020-12), "
    "`datacrumbs/schemas/*.schema.json`, which `datacrumbs.schemas.schema(NAME)` gives to programs. "
    "`schema_version` grows when keys change their meaning or go. New keys may be added without that."
)


def parts() -> Iterator[str]:
    """Paragraphs and tables."""
    yield INTRODUCTION
    for name in NAMES:
        whole = schema(name)
        yield f"## `{whole['title'].replace(', ', '`, `')}`"
        if "properties" in whole or "items" in whole:
            yield from _object("", whole, whole)
        for own, each in whole.get("$defs", {}).items():
            yield f"### {own.removesuffix('_row').replace('_', ' ')}"
            yield from _object(own, each, whole)


def _object(own: str, found: Schema, whole: Schema) -> Iterator[str]:
    each = found.get("items", found)
    shared = [reference["$ref"].rsplit("/", 1)[1] for reference in each.get("allOf", ())]
    text = ("A row of the table: " if own.endswith("_row") else "") + each["description"]
    if each is not found:
        text = f"A list. {found['description']} Each item: {text}"
    yield text + (f" With the keys of {' and '.join(shared)}." if shared else "")
    lines = ["| key | type | what it is |", "| --- | --- | --- |"]
    lines += [f"| {key} | {kind} | {text} |" for key, kind, text in _keys(each, whole)]
    yield "\n".join(lines)


def _keys(each: Schema, whole: Schema, above: str = "") -> Iterator[tuple[str, str, str]]:
    for key, value in each.get("properties", {}).items():
        kept = next((one for one in value.get("oneOf", ()) if one.get("type") == "object"), value)
        name = f"{above}{key}"
        optional = "" if key in each.get("required", ()) or each.get("type") != "object" else " (may be absent)"
        described = str(value.get("description") or _resolved(value, whole).get("description", ""))
        yield f"`{name}`", _kind(value, whole) + optional, described
        inner = kept.get("items", kept)
        if "properties" in inner:
            yield from _keys(inner, whole, f"{name}[]." if "items" in kept else f"{name}.")


def _resolved(value: Schema, whole: Schema) -> Schema:
    reference = value.get("$ref")
    found: Schema = whole["$defs"][reference.rsplit("/", 1)[1]] if reference else value
    return found


def _kind(value: Schema, whole: Schema) -> str:
    if "$ref" in value:
        return value["$ref"].rsplit("/", 1)[1].removesuffix("_row").replace("_", " ")
    if "enum" in value:
        return " or ".join(f"`{each}`" for each in value["enum"])
    kinds = value.get("type") or [one.get("type") for one in value["oneOf"]]
    words = [kinds] if isinstance(kinds, str) else list(kinds)
    if words == ["array"]:
        return f"list of {_kind(value['items'], whole)}"
    return " or ".join(words)
