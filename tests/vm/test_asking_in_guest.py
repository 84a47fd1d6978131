"""Running processes that their user asks for, on the guest's kernel: who may ask for what."""

from __future__ import annotations

import pytest

from ..kernel.test_asking import of_nobody, test_who_may_ask_for_what  # noqa: F401, TID252 - with this kernel's engine

pytestmark = pytest.mark.guest("6.1-amd64")
