"""That the comparison of compressors gives each of them the same lines, and takes all of a recording."""

from __future__ import annotations

import gzip
import importlib
from pathlib import Path
from typing import Any

import pytest

from datacrumbs.trace import writer

BENCH = Path(__file__).resolve().parents[3] / "bench"
ROWS = 4999


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """What the library was asked for to write synthetic calls."""
    monkeypatch.syspath_prepend(str(BENCH))
    capture, synthetic = importlib.import_module("_capture"), importlib.import_module("_synthetic")
    made = []

    def recorder(functions: int, *arguments: Any, **options: Any) -> Any:
        made.append((functions, capture.Recorder(functions, *arguments, **options)))
        return made[-1][1]

    monkeypatch.setattr(writer, "Lines", recorder)
    synthetic.write_trace(tmp_path / "run.pfw.gz", ROWS)
    ((functions, lines),) = made
    return capture.Recording(functions, lines.steps)


def test_each_compressor_makes_members_of_the_same_lines(recording: Any, tmp_path: Path) -> None:
    compression = importlib.import_module("compression")
    makers = compression.candidates(compression.without_encoder(tmp_path))
    del makers[compression.NOTHING]
    assert {compression.OURS, "ISA-L 1", "zlib 1"} <= set(makers)
    texts = {
        name: b"".join(gzip.decompress(member) for member in recording.replay(maker(recording.functions)))
        for name, maker in makers.items()
    }
    assert recording.calls == ROWS
    assert texts[compression.OURS].count(b'"ph":"X"') == ROWS
    assert len(set(texts.values())) == 1


def test_a_comparison_has_a_row_for_each_compressor(recording: Any, tmp_path: Path) -> None:
    compression = importlib.import_module("compression")
    makers = compression.candidates(compression.without_encoder(tmp_path))
    rows = compression.Comparison(recording, makers, 1).rows()
    assert [row[0] for row in rows] == list(makers)
    assert rows[0][3] == rows[0][5] == "1.00"
