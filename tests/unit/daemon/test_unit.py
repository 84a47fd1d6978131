from __future__ import annotations

import pytest

from datacrumbs.daemon.unit import environment_file, read_instance
from datacrumbs.errors import DatacrumbsError, ExitCode


@pytest.fixture
def read(tmp_path):
    def instance(*lines: str):
        environment_file(tmp_path, "7").write_text("\n".join(["PROBE_FILE=/p.json.gz", *lines, ""]))
        return read_instance(tmp_path, "7")

    return instance


def test_limits_of_one_run(read):
    limits = read("DURATION=2h", "ROTATE_SIZE=512M", "MAX_SIZE=23").limits
    assert limits == {"duration_seconds": 7200, "rotate_megabytes": 536.870912, "max_megabytes": 23}
    assert read().limits == {}


@pytest.mark.parametrize("line", ["DURATION=soon", "MAX_SIZE=0", "ROTATE_SIZE=-1", "MAX_SIZE=", "DURATION=1 G"])
def test_wrong_limits(read, line):
    key = line.partition("=")[0]
    with pytest.raises(DatacrumbsError, match=f"datacrumbs-7.env: {key}: .*; expected ") as caught:
        read(line)
    assert caught.value.exit_code == ExitCode.USAGE
