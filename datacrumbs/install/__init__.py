"""Making, changing and removing the files of an installation."""

from __future__ import annotations

STAGES = ("login", "compute", "all")
"""Which part of an installation a host needs: where plans are signed, where programs are traced, or both."""
