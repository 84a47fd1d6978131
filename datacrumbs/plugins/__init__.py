"""Finding, loading and asking providers."""

from __future__ import annotations
