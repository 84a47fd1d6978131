"""The rules of installed providers, which are anybody's code: never run as root, and their failures are only theirs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError
from datacrumbs.report.findings.judging import NotJudged

if TYPE_CHECKING:
    from datacrumbs.model.fault_rules import FindingRule


def provider_rules() -> tuple[tuple[FindingRule, ...], list[NotJudged]]:
    """The rules that installed providers give, and whose could not be had."""
    if os.geteuid() == 0:
        return (), [NotJudged(("rules of providers",), "providers' code is not run as root to make a report")]
    from datacrumbs.plugins import load_providers  # noqa: PLC0415 - takes time, and root does without

    try:
        providers = load_providers()
    except DatacrumbsError as error:
        return (), [NotJudged(("rules of providers",), error.message)]
    rules: list[FindingRule] = []
    failed = []
    for name in providers.names:
        try:
            rules += providers.findings(name)
        except DatacrumbsError as error:
            failed.append(NotJudged((f"rules of {name}",), error.message))
    return tuple(rules), failed
