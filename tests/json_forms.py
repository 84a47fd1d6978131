"""What commands print with ``--json``, compared with the forms that the package's schemas say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from datacrumbs.schemas import schema

jsonschema = pytest.importorskip("jsonschema")


def read_json(name: str, text: str) -> Any:
    """The document that a command printed.

    Args:
        name: Of its schema.
        text: What was printed.

    Raises:
        jsonschema.ValidationError: When it has another form, or a key that the schema does not name.
    """
    document = json.loads(text)
    check_form(name, document)
    return document


def check_form(name: str, document: Any) -> None:
    """Raise ``jsonschema.ValidationError`` when a document has another form, or a key that the schema does not name."""
    whole = _closed(schema(name))
    for shared in ("measures", "nanoseconds"):  # parts of rows
        whole.get("$defs", {}).get(shared, {}).pop("unevaluatedProperties", None)
    jsonschema.Draft202012Validator(whole).validate(document)


# A schema that takes no key that it does not name: users' schemas take those of later versions.
def _closed(part: Any) -> Any:
    if isinstance(part, list):
        return [_closed(each) for each in part]
    if not isinstance(part, dict):
        return part
    inner = {key: _closed(each) for key, each in part.items()}
    if part.get("type") == "object" and isinstance(part.get("properties"), dict):
        return inner | {"unevaluatedProperties": False}
    return inner
