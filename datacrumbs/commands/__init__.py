"""One module per console script."""

from __future__ import annotations
