"""One run: identity, readiness, drain, finalisation."""

from __future__ import annotations
