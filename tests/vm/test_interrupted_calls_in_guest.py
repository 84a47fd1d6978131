"""Calls that signals interrupt, on kernels and machines that begin them again in other ways."""

from __future__ import annotations

import pytest

from ..kernel.test_interrupted_calls import *  # noqa: F403, TID252 - the same tests, with this kernel's engine

pytestmark = pytest.mark.guest("6.1-amd64", "6.1-arm64")
