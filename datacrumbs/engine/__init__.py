"""A plan to a loaded and attached BPF program, and its rings to batches of records."""

from __future__ import annotations
