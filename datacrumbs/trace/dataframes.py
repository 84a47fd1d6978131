"""The library of data frames, which reading traces takes and recording them does not.

It is the largest of all dependencies, so an installation for compute nodes leaves it out.
"""

from __future__ import annotations

from datacrumbs.errors import DatacrumbsError

try:
    import polars as pl
except ModuleNotFoundError:
    raise DatacrumbsError(
        "the Python package polars, which reads traces, is not installed",
        hint="pip install 'datacrumbs[report]' into this environment, or read the trace on another host",
    ) from None

__all__ = ["pl"]
