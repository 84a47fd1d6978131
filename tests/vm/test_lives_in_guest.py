"""Threads and processes in all the ways in which they live and die, on the guest's kernel."""

from __future__ import annotations

import pytest

from ..kernel.test_lives import *  # noqa: F403, TID252 - the same tests, with this directory's engine

pytestmark = pytest.mark.guest
