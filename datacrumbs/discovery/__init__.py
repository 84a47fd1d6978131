"""What providers share to find functions on a machine."""

from __future__ import annotations
