"""Words of what commands print."""

from __future__ import annotations

import pytest

from datacrumbs import output


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("call",), "0 calls"),
        (1, ("call",), "1 call"),
        (1009, ("call",), "1,009 calls"),
        (1, ("more entry", "more entries"), "1 more entry"),
        (2, ("more entry", "more entries"), "2 more entries"),
        (1, ("function is", "functions are"), "1 function is"),
    ],
)
def test_a_noun_is_of_its_number(number: int, words: tuple[str, ...], text: str) -> None:
    assert output.counted(number, *words) == text


def test_a_list_of_names_says_what_it_leaves_out_and_only_then():
    assert output.first_few(["a"]) == "a"
    assert output.first_few(["a", "b", "c"]) == "a, b, c"
    assert output.first_few(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
