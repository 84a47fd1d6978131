"""Site file and providers to a probe plan."""

from __future__ import annotations
