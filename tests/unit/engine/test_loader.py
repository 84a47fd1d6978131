"""What the kernel side is made of fits together; its layouts are those of the contract (`tests/unit/model`)."""

from __future__ import annotations

from datacrumbs.engine import loader
from datacrumbs.model.contract import OwnFunction


def test_every_function_of_the_image_has_an_argument_of_known_size() -> None:
    assert len(loader.FUNCTIONS) == len(OwnFunction)
    assert all(size % 8 == 0 for _, size in loader.FUNCTIONS.values())
