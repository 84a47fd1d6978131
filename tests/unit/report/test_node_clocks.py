"""How far clocks of nodes are apart, as their traces say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .printed import data_of, text_of

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

EPOCH = 1_790_000_000_000_000_000


def clock(made: ModuleType, state: str, error_us: int, *, at_ns: int = 0, wrong_ns: int = 0) -> dict[str, Any]:
    moments = {"realtime_ns": EPOCH + at_ns + wrong_ns, "monotonic_ns": at_ns, "boottime_ns": at_ns, "within_ns": 100}
    about = {"epoch_offset_ns": EPOCH, "state": state, "max_error_us": error_us, "source": "tsc"}
    return dict(made.metadata("datacrumbs_clock", moments | about))


def trace(made: ModuleType, directory: Path, host: str, begin: int, *clocks: dict[str, Any]) -> Path:
    calls = [made.call("write", "POSIX", EPOCH // 1000 + begin, 7, bytes=1)]
    path: Path = made.write(directory / f"{host}.pfw.gz", calls, host=host, before=list(clocks))
    return path


def test_the_bound_is_the_sum_of_the_two_worst(
    made: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for host, errors in {"one": (11, 23), "two": (41, 7), "three": (2, 3)}.items():
        clocks = [clock(made, "synchronised", error, at_ns=n) for n, error in enumerate(errors)]
        trace(made, tmp_path, host, 1_000 * len(host), *clocks)
    data = data_of(capsys, tmp_path)["clocks"]
    assert data["bound_us"] == 41 + 23
    assert data["nodes"]["two"] == {
        "state": "synchronised",
        "max_error_us": 41,
        "source": "tsc",
        "step_us": 0,
        "set_by": "",
    }
    assert "clocks of 3 nodes: within 64 us of each other, by the nodes' kernels" in text_of(capsys, tmp_path)


def test_what_sets_the_clocks_and_what_it_has_still_to_correct(
    made: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setter = {"set_by": "chrony", "reference": "192.0.2.1", "stratum": 2, "reference_error_us": 97}
    for host, error in (("one", 11), ("two", 41), ("three", 23)):
        clocks = [clock(made, "synchronised", error), clock(made, "synchronised", error, at_ns=1)]
        if host != "three":
            clocks[0]["args"] |= setter if host == "one" else setter | {"reference_error_us": 7}
        trace(made, tmp_path, host, 1_000 * len(host), *clocks)
    data = data_of(capsys, tmp_path)["clocks"]
    assert data["bound_us"] == 97 + 41
    assert [data["nodes"][host]["set_by"] for host in ("one", "three")] == ["chrony from 192.0.2.1, stratum 2", ""]
    assert "clocks set by chrony from 192.0.2.1, stratum 2 (2 nodes)" in text_of(capsys, tmp_path)


@pytest.mark.parametrize(("state", "shown"), [("unsynchronised", "unsynchronised"), ("", "unknown")])
def test_one_clock_that_is_not_known_is_enough(
    made: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], state: str, shown: str
) -> None:
    trace(made, tmp_path, "one", 0, clock(made, "synchronised", 11))
    trace(made, tmp_path, "two", 0, *([clock(made, state, 11)] if state else []))
    assert data_of(capsys, tmp_path)["clocks"]["bound_us"] is None
    expected = f"clocks of 2 nodes: it is not known how far they are apart (two {shown})"
    assert expected in text_of(capsys, tmp_path)


WARNING = "the order of the nodes' first calls is not known"


@pytest.mark.parametrize(("apart", "warned"), [(63, True), (64, True), (65, False)])
def test_an_order_that_the_clocks_do_not_show_is_warned_of(
    made: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], apart: int, *, warned: bool
) -> None:
    for host, begin, error in (("one", 1_000, 23), ("two", 1_000 + apart, 41)):
        trace(made, tmp_path, host, begin, clock(made, "synchronised", error))
    assert (WARNING in text_of(capsys, tmp_path, "--by", "node")) == warned
    assert WARNING not in text_of(capsys, tmp_path, "--by", "function")


def test_one_node_needs_no_clock(made: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace(made, tmp_path, "one", 0)
    assert "clocks of" not in text_of(capsys, tmp_path)
    assert WARNING not in text_of(capsys, tmp_path, "--by", "node")


def test_a_clock_that_was_set_is_named(made: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step = 1_500_000_000
    clocks = [clock(made, "synchronised", 11), clock(made, "synchronised", 11, at_ns=10**10, wrong_ns=-step)]
    trace(made, tmp_path, "one", 0, *clocks)
    text = text_of(capsys, tmp_path)
    assert "node one: its clock was set by -1.500 s during the run; all times are those of the clock after that" in text
