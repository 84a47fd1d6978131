"""What is a fault, from where on: `rules.yaml` of this package."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml


@cache
def _document() -> dict[str, Any]:
    text = resources.files("datacrumbs.report.findings").joinpath("rules.yaml").read_text("utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def gates() -> dict[str, float]:
    """Shares of time and of unseen calls that hold for every rule."""
    return {name: float(value) for name, value in _document()["gates"].items()}


def described(name: str) -> dict[str, Any]:
    """Title, threshold, advice and limits of one of our own rules."""
    rule: dict[str, Any] = _document()["rules"][name]
    return rule


def names() -> tuple[str, ...]:
    """Our own rules, in the order in which they are reported."""
    return tuple(_document()["rules"])
