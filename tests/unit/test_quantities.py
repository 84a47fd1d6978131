from __future__ import annotations

import pytest

from datacrumbs.errors import DatacrumbsError
from datacrumbs.quantities import (
    MEGABYTE,
    SECOND,
    megabytes,
    read_duration,
    read_size,
    seconds,
    shown_duration,
    shown_size,
)
from datacrumbs.system import SystemPaths, read_system_configuration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 90), ("5m", 300), ("5min", 300), ("2h", 7200), ("1d", 86400), ("1.5ms", 0.0015), ("10 us", 0.00001),
        ("7", 7), ("1e2", 100), (".5", 0.5), ("3.", 3),
    ],
)  # fmt: skip
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2G", 2 << 30), ("512M", 512 << 20), ("512m", 512 << 20), ("512MiB", 512 << 20), ("512MB", 512 * 10**6),
        ("3 kB", 3000), ("17B", 17), ("1T", 1 << 40), ("23", 23 * MEGABYTE), ("1.5", 1_500_000),
    ],
)  # fmt: skip
def test_sizes(text: str, expected: int) -> None:
    assert read_size(text, MEGABYTE) == expected
    assert megabytes(text) == expected / MEGABYTE


@pytest.mark.parametrize("text", ["", "s", "5x", "-5s", "5 s m", "inf", "nan", "1e999s", "\u0661s", "5M5", "0x10s"])
def test_what_is_no_quantity(text: str) -> None:
    for parse in (seconds, megabytes):
        with pytest.raises(ValueError, match="; expected "):
            parse(text)


@pytest.mark.parametrize("text", ["0", "0s", "0.0", "0M"])
def test_nothing_is_no_limit(text: str) -> None:
    with pytest.raises(ValueError, match="; expected "):
        seconds(text) if text != "0M" else megabytes(text)


@pytest.mark.parametrize("text", ["1d", "36h", "90m", "90s", "1500ms", "100ns"])
def test_durations_are_shown_as_they_are_written(text: str) -> None:
    assert shown_duration(seconds(text)) == text


@pytest.mark.parametrize("text", ["900G", "1GB", "512M", "1K", "17B"])
def test_sizes_are_shown_as_they_are_written(text: str) -> None:
    assert shown_size(read_size(text)) == text


def test_an_odd_size_is_shown_in_megabytes() -> None:
    assert shown_size(123_456_789) == "123.5MB"


def test_a_number_without_a_unit_where_there_is_none() -> None:
    assert read_duration("0") == read_size("0") == 0
    with pytest.raises(ValueError, match="expected a number with ns, us"):
        read_duration("10")
    assert read_duration("10", SECOND) == 10 * SECOND


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("duration_seconds: 90", 90), ("duration_seconds: 2h", 7200), ("duration_seconds: 0", 0),
        ("max_megabytes: 23", 23), ("max_megabytes: 2GB", 2000), ("rotate_megabytes: 512M", 536.870912),
        ("call_ring_mib: 8", 8), ("call_ring_mib: 8M", 8), ("names_mib: 1G", 1024), ("flush_seconds: 500ms", 0.5),
    ],
)  # fmt: skip
def test_the_system_configuration(tmp_path, line: str, expected: float) -> None:
    paths = SystemPaths(tmp_path)
    paths.configuration.mkdir(parents=True)
    paths.system_file.write_text(f"{line}\n")
    assert getattr(read_system_configuration(paths), line.partition(":")[0]) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("duration_seconds: 2 weeks", "'2 weeks' is not a duration; expected a number with ns"),
        ("max_megabytes: lots", "'lots' is not a size; expected a number with K"),
        ("call_ring_mib: 8MB", "is not a positive whole number"),
        ("call_ring_mib: 9M", "9 is not a power of two"),
        ("max_megabytes: -5", "is not a positive number"),
    ],
)
def test_wrong_quantities_of_the_system_configuration(tmp_path, line: str, message: str) -> None:
    paths = SystemPaths(tmp_path)
    paths.configuration.mkdir(parents=True)
    paths.system_file.write_text(f"{line}\n")
    with pytest.raises(DatacrumbsError, match=f"datacrumbs.yaml:1: {line.partition(':')[0]}: .*{message}"):
        read_system_configuration(paths)
