"""What a provider author writes: one call of the test kit, and what is special about the layer."""

from __future__ import annotations

import datacrumbs_zlib

from datacrumbs.provider import Role
from datacrumbs.testing import check_provider


def test_contract() -> None:
    report = check_provider(datacrumbs_zlib)
    (deflate,) = report.functions("deflate")
    assert deflate.snippet == "stream"
    (gzread,) = report.functions("gzread")
    assert [argument.role for argument in gzread.arguments] == [Role.HANDLE, Role.COUNT]
