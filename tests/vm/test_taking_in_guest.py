"""Processes that run already, and those of a control group, on the guest's kernel."""

from __future__ import annotations

import pytest

from ..kernel import test_groups  # noqa: TID252
from ..kernel.test_groups import *  # noqa: F403, TID252 - the same tests, with this kernel's engine
from ..kernel.test_taking import *  # noqa: F403, TID252

pytestmark = pytest.mark.guest("6.1-amd64")

# It is of the daemon, which has its own tests in guests.
del globals()[test_groups.test_a_group_that_is_killed_leaves_a_whole_trace.__name__]
del test_groups
