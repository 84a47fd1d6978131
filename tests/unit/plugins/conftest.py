from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DESCRIPTION = """
    from datacrumbs.provider import *
    from datacrumbs.provider import hookimpl

    @hookimpl
    def datacrumbs_provider():
        return Provider(title="a title", layer=Layer.DATA_FORMAT, options=OPTIONS)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Install a distribution with a provider, as pip would lay it out, on sys.path and nowhere else."""
    made: list[str] = []

    def install_provider(
        name: str, body: str = "", *, distribution: str = "", module: str = "", whole: bool = False
    ) -> str:
        distribution = distribution or f"datacrumbs-{name}"
        module = module or f"made_{name}_{len(made)}"
        text = "" if whole else "OPTIONS = ()\n" + textwrap.dedent(DESCRIPTION)
        (tmp_path / f"{module}.py").write_text(text + textwrap.dedent(body))
        info = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[datacrumbs.providers]\n{name} = {module}\n")
        made.append(module)
        return distribution

    monkeypatch.setattr(sys, "path", [str(tmp_path), *(path for path in sys.path)])
    yield install_provider
    for module in made:
        sys.modules.pop(module, None)
