"""The file of a call on a descriptor, on the guest's kernel."""

from __future__ import annotations

import pytest

from ..kernel.test_files import *  # noqa: F403, TID252 - the same tests, with this directory's engine

pytestmark = pytest.mark.guest("6.1-amd64", "6.12-amd64", "6.1-arm64")
