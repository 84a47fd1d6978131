"""What chrony says of the wall clock: of a real chronyd, recorded, and of what is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict

import pytest

from datacrumbs.daemon import chrony
from datacrumbs.daemon.chrony import chrony_setter, setter_of
from datacrumbs.trace.clocks import ClockSetter

# chronyc 4.3, with a server and with none.
SYNCHRONISED = (
    "C0000201,192.0.2.1,3,1764389999.507,-0.000013001,0.000016,0.000052,"
    "-7.919,0.011,0.101,0.001237,0.000211,64.2,Normal\n"
)
ALONE = "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,-7.919,0.000,0.000,1.0,1.0,0.0,Not synchronised\n"
SECONDS = 300
NODE = """
set -e
mount -t tmpfs none /run
mkdir -m 0750 /run/chrony
chown "$1:" /run/chrony
printf 'local stratum 5\\ncmdport 0\\nport 0\\npidfile /run/chrony/pid\\n' >/run/chrony.conf
chronyd -x -f /run/chrony.conf -u "$1"
shift
"$@"
kill "$(cat /run/chrony/pid)"
"""
ASK = """
import json
from dataclasses import asdict
from datacrumbs.daemon import chrony
chrony._SECONDS = 60  # however slow the machine is
print(json.dumps(asdict(chrony.chrony_setter())))
"""


def test_a_recorded_answer() -> None:
    assert setter_of(SYNCHRONISED) == ClockSetter("chrony", "192.0.2.1", 3, 843)  # 13.001 + 1237 / 2 + 211
    assert setter_of(ALONE) == ClockSetter("chrony")


@pytest.mark.parametrize("reference", ["2001:db8::1", "PPS0", "192.0.2.1"])
def test_names_of_sources(reference: str) -> None:
    found = setter_of(SYNCHRONISED.replace("192.0.2.1", reference))
    assert found is not None
    assert found.reference == reference


@pytest.mark.parametrize("reference", ["a b", "\x1b[31m", "x" * 65, "[bold]", "\ufffd"])
def test_what_is_no_name_is_left_out(reference: str) -> None:
    assert setter_of(SYNCHRONISED.replace("192.0.2.1", reference)) == ClockSetter("chrony", "", 3, 843)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "506 Cannot talk to daemon\n",
        SYNCHRONISED * 2,
        SYNCHRONISED.replace(",Normal", ""),
        SYNCHRONISED.replace("0.001237", "nan"),
        SYNCHRONISED.replace("0.001237", "1e9"),
        SYNCHRONISED.replace("0.001237", "9" * 99),
        SYNCHRONISED.replace(",3,", ",99,"),
        SYNCHRONISED.replace(",3,", ",-1,"),
        SYNCHRONISED.replace(",3,", ",\u0663,"),
    ],
)
def test_what_makes_no_sense_is_nothing(text: str) -> None:
    assert setter_of(text) is None


def test_without_chronyd_nothing_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(chrony, "SOCKET", tmp_path / "chronyd.sock")
    monkeypatch.setattr(subprocess, "run", None)
    assert chrony_setter() is None


@pytest.mark.parametrize("script", ["sleep 1000", "exit 1", "printf 'x%.0s' $(seq 9999)"])
def test_a_chronyc_that_hangs_fails_or_babbles(monkeypatch: pytest.MonkeyPatch, tmp_path, script: str) -> None:
    program = tmp_path / "chronyc"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    socket = tmp_path / "chronyd.sock"
    monkeypatch.setattr(chrony, "SOCKET", socket)
    monkeypatch.setattr(type(socket), "is_socket", lambda _: True)
    monkeypatch.setattr(chrony, "_ENVIRONMENT", {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert chrony_setter() is None


@pytest.mark.parametrize(
    ("owner", "mode", "rights"),
    [
        (12345, 0o750, {"user": 12345, "group": 54321, "extra_groups": []}),
        (12345, 0o777, {"user": 12345, "group": 54321, "extra_groups": []}),
        (0, 0o755, {}),
        (0, 0o770, None),
        (0, 0o702, None),
    ],
)
def test_chronyc_has_no_more_rights_than_who_can_write_beside_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path, owner: int, mode: int, rights: dict[str, object] | None
) -> None:
    directory = tmp_path / "chrony"
    directory.mkdir()
    os.chown(directory, owner, 54321)
    directory.chmod(mode)
    socket = directory / "chronyd.sock"
    asked = []

    def answer(_, **options) -> subprocess.CompletedProcess[bytes]:
        asked.append({key: options[key] for key in ("user", "group", "extra_groups") if key in options})
        return subprocess.CompletedProcess((), 0, SYNCHRONISED.encode())

    monkeypatch.setattr(chrony, "SOCKET", socket)
    monkeypatch.setattr(type(socket), "is_socket", lambda _: True)
    monkeypatch.setattr(subprocess, "run", answer)
    assert (chrony_setter() is None) == (rights is None)
    assert asked == ([] if rights is None else [rights])


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_a_real_chronyd(user: str) -> None:
    """In a mount and a network of its own; it does not touch the clock (-x)."""
    if shutil.which("chronyd") is None:
        pytest.skip("chrony is not installed")
    words = ["unshare", "--mount", "--net", "sh", "-c", NODE, "sh", user, sys.executable, "-c", ASK]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=SECONDS)
    found = ClockSetter(**json.loads(done.stdout))
    assert found.error_us is not None
    assert asdict(found) | {"error_us": 0} == asdict(ClockSetter("chrony", "local", 5, 0))
    assert 0 <= found.error_us < 1_000_000
