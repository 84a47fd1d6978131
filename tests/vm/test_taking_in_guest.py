"""Processes that run already, and those of a control group, on the guest's kernel."""

from __future__ import annotations

import pytest

from ..kernel.test_groups import *  # noqa: F403, TID252 - the same tests, with this kernel's engine
from ..kernel.test_taking import *  # noqa: F403, TID252

pytestmark = pytest.mark.guest("6.1-amd64")
