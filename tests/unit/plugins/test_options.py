from __future__ import annotations

import pytest

from datacrumbs.plugins import OptionError, resolve_options
from datacrumbs.provider import Option

OPTIONS = (
    Option("classes", "list", ("file",), "", ("file", "memory")),
    Option("depth", "integer", 3, ""),
    Option("deep", "boolean", default=False, help=""),
)


def test_options_get_their_defaults():
    assert resolve_options("alpha", OPTIONS, {"depth": 5}) == {"classes": ("file",), "deep": False, "depth": 5}


def test_one_string_is_a_list_of_one():
    assert resolve_options("alpha", OPTIONS, {"classes": "memory"})["classes"] == ("memory",)


@pytest.mark.parametrize(
    ("given", "key", "words"),
    [
        ({"clases": []}, "clases", "did you mean 'classes'"),
        ({"depth": True}, "depth", "not a whole number"),
        ({"deep": "yes"}, "deep", "not true or false"),
        ({"classes": [1]}, "classes", "not a list of strings"),
        ({"classes": ["filed"]}, "classes", "'filed' is not a choice; expected one of file, memory"),
        ({"classes": {"a": 1}}, "classes", "not a list of strings"),
    ],
)
def test_options_that_a_provider_does_not_take(given, key, words):
    with pytest.raises(OptionError, match=words) as caught:
        resolve_options("alpha", OPTIONS, given)
    assert caught.value.key == key
