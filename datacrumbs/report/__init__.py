"""Tables from traces."""

from __future__ import annotations
