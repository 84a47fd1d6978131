"""The public test kit: what a provider's own tests call to show that it keeps the contract.

Example::

    import datacrumbs_zlib
    from datacrumbs.testing import check_provider

    def test_contract() -> None:
        report = check_provider(datacrumbs_zlib)
        assert report.functions("deflate")
"""

from __future__ import annotations

from datacrumbs.testing._contract import ProviderReport, check_provider
from datacrumbs.testing._installation import Installation, RunningDaemon, TraceLines, read_lines, run_workload

__all__ = [
    "Installation",
    "ProviderReport",
    "RunningDaemon",
    "TraceLines",
    "check_provider",
    "read_lines",
    "run_workload",
]
