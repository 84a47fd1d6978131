"""A plan that was only composed, in the form in which plans are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.probefile.codec import digest, encode
from datacrumbs.probefile.envelope import Grant, SignedPlan

if TYPE_CHECKING:
    from datacrumbs.model.plan import Plan


def unsigned(plan: Plan) -> SignedPlan:
    return SignedPlan(plan, Grant(0, "root", "login1", 0, 1), "0" * 64, digest(encode(plan)), verified=False)
