"""The table of access patterns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from datacrumbs.commands.report import COMMAND

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_that_is_read_in_several_ways(made, tmp_path: Path, capsys) -> None:
    lines, now = [made.call("open", "POSIX", 1, 1, ret=3, flags=0, fhash="f1")], 10
    for turn in range(13):
        for name, size, place in (("read", 100, {}), ("pread", 7, {"offset": 5000 - 100 * turn})):
            lines.append(made.call(name, "POSIX", now, 2, ret=size, bytes=size, fd=3, fhash="f1", **place))
            now += 10
    lines += [made.call("write", "POSIX", now + 10 * turn, 1, ret=5, bytes=5, fd=9, fhash="f1") for turn in range(11)]
    path = made.write(tmp_path / "run.pfw.gz", lines, {"f1": "/data/one"})
    assert COMMAND.run([str(path), "--by", "pattern", "--json"]) == 0
    read, write = json.loads(capsys.readouterr().out)["patterns"]
    sums = {"count": 26, "consecutive": 1, "sequential": 0, "random": 12, "unknown": 13, "bytes": 13 * 107}
    assert {key: read[key] for key in sums} == sums  # places of read are not known beside another descriptor
    assert (write["access"], write["unknown"], write["mean_bytes"], write["time_us"]) == ("write", 11, 5, 11)
    path = made.write(tmp_path / "run.pfw.gz", lines[:-11], {"f1": "/data/one"})
    assert COMMAND.run([str(path), "--by", "pattern", "--json"]) == 0
    (read,) = json.loads(capsys.readouterr().out)["patterns"]
    assert [read[key] for key in ("consecutive", "sequential", "random", "unknown")] == [1, 13, 12, 0]
    assert (read["mean_bytes"], read["largest_bytes"]) == (54, 100)
    assert COMMAND.run([str(path), "--by", "pattern"]) == 0
    assert "Access patterns" in capsys.readouterr().out
