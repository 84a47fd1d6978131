"""What is found in files and in the kernel's types on another architecture."""

from __future__ import annotations

import pytest

from ..unit.elf.test_functions import (  # noqa: F401, TID252 - the same tests, there
    by_name,
    library,
    test_indirect_functions_are_marked_and_resolved,
    test_libc_is_complete_and_right,
)
from ..unit.kernel.test_btf import test_structures_have_their_layout  # noqa: F401, TID252
from ..unit.kernel.test_symbols import test_arguments_come_from_the_kernels_types  # noqa: F401, TID252

pytestmark = pytest.mark.guest("6.1-arm64")
