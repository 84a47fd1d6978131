"""Texts in CSV files that a spreadsheet takes for texts."""

from __future__ import annotations

from datacrumbs.output import printable
from datacrumbs.trace.dataframes import pl

FORMULA = ("=", "+", "-", "@")
"""A spreadsheet takes what begins so for a formula, unless an apostrophe precedes it."""


def harmless(text: str) -> str:
    """Text without control characters that no spreadsheet computes."""
    text = printable(text)
    return f"'{text}" if text.startswith(FORMULA) else text


def harmless_column(name: str) -> pl.Expr:
    """The same for each text of a column."""

    def of(texts: pl.Series) -> pl.Series:
        # The texts of calls are names of functions and files: few of them differ.
        known = texts.unique().drop_nulls()
        return texts.replace_strict(known, [harmless(text) for text in known], default=None, return_dtype=pl.String)

    return pl.col(name).map_batches(of, return_dtype=pl.String, is_elementwise=True)
