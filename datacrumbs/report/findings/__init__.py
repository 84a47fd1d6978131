"""Faults in what programs do to files, found by rules, each with its evidence, its place and what to try."""

from __future__ import annotations

SEVERITIES = ("note", "warning", "critical")
"""How much of a process's I/O time a finding explains, from a little to much."""
