"""Findings of the doctor by their names."""

from __future__ import annotations


def named(checks, name):
    (found,) = [check for check in checks if check.name == name]
    return found
