"""What a run is started with, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datacrumbs.daemon.chosen_processes import Chosen
from datacrumbs.engine.methods import AttachMethod

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

    from datacrumbs.model.plan import Mode
    from datacrumbs.probefile.envelope import SignedPlan
    from datacrumbs.probefile.targets import OpenTargets
    from datacrumbs.system import SystemConfiguration, SystemPaths


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run is started with; `daemon.run.run` closes the targets once they are attached to."""

    probes: Path
    signed: SignedPlan
    targets: OpenTargets
    run_id: str
    paths: SystemPaths
    configuration: SystemConfiguration
    mode: Mode | None = None
    names: tuple[str, ...] = ()
    unnamed: bool = True
    chosen: Chosen = field(default_factory=Chosen)
    attach_method: AttachMethod = AttachMethod.AUTO
    output: OpenOutput | None = None

    def end(self, now: float) -> tuple[float, str]:
        """After how many seconds the run ends by itself, and why: by its ``duration``, or with its ``grant``.

        Args:
            now: Seconds since the epoch.
        """
        duration = self.configuration.duration_seconds or float("inf")
        granted = self.signed.grant.expires - now
        return (duration, "duration") if duration <= granted else (granted, "grant")


@dataclass(frozen=True, slots=True)
class OpenOutput:
    """A trace's only file, which is open and empty, in place of one in the trace directory."""

    path: Path
    stream: BinaryIO


@dataclass(frozen=True, slots=True)
class RunResult:
    """Where the trace begins, in how many files it is, and whether every call is accounted for."""

    trace: Path
    files: int
    entered: int
    recorded: int
    lost: int
    balanced: bool
