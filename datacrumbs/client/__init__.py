"""The library and launcher that mark what is traced."""

from __future__ import annotations
