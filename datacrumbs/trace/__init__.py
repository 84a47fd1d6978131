"""Records to DFTracer lines, and reading them back."""

from __future__ import annotations
