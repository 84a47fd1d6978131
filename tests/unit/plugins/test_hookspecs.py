from __future__ import annotations

import pytest

from datacrumbs.plugins import hookspecs


@pytest.mark.parametrize("hook", [name for name in vars(hookspecs) if name.startswith("datacrumbs_")])
def test_every_hook_says_what_it_returns(hook):
    text = getattr(hookspecs, hook).__doc__
    assert "\n    Returns:\n" in text
    assert "\n    Example::\n" in text


@pytest.mark.parametrize("name", [name for name in vars(hookspecs) if name.startswith("datacrumbs_")])
def test_every_hook_says_in_one_line_what_it_is_for_and_shows_an_example(name):
    lines = (getattr(hookspecs, name).__doc__ or "").splitlines()
    assert lines[0].endswith(".")
    assert len(lines[0]) < 80
    assert any(line.strip() == "Example::" for line in lines)
    assert any("@hookimpl" in line for line in lines)
