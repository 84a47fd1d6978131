"""Calls that a filter of seccomp refuses, on kernels and machines that keep other things of them."""

from __future__ import annotations

import pytest

from ..kernel.test_refused_calls import *  # noqa: F403, TID252 - the same tests, with this kernel's engine

pytestmark = pytest.mark.guest("6.1-amd64", "6.1-arm64")
