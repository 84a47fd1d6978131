"""A program that stops tracing and starts it again, on other kernels and machines."""

from __future__ import annotations

import pytest

from ..kernel.test_restarts import *  # noqa: F403, TID252 - the same tests, with this directory's engine

pytestmark = pytest.mark.guest("6.1-amd64", "6.1-arm64")
