"""What services for all users of a host share: who calls, what each may use up, one request in a child, the log."""

from __future__ import annotations
