"""Runs for users who are not root: the service that starts and stops them, and asking it."""

from __future__ import annotations
