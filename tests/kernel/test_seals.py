"""What root seals of a run: it is the run's, a change of the trace is found, and no user can make one."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.probefile.envelope import key_id
from datacrumbs.signer.private_key import new_private_key, write_private_key

from ..json_forms import read_json  # noqa: TID252 - a helper of all tests
from .conftest import NOBODY
from .workloads import writes

if TYPE_CHECKING:
    from datacrumbs.testing import Installation

pytestmark = pytest.mark.kernel
WRITES = 1009


@pytest.fixture
def sealing(place: Installation) -> Installation:
    """An installation whose administrator wants seals."""
    (place.prefix / "etc/datacrumbs/datacrumbs.yaml").write_text("seal_traces: true\n")
    done = place.command("datacrumbs_setup", "--stage", "compute", check=True)
    assert "keys/seal.key" in done.stdout
    return place


def seals(place: Installation) -> list[Path]:
    return sorted((place.prefix / "var/lib/datacrumbs/seals").iterdir())


def verified(place: Installation, *files: Path, status: int = 0) -> dict:
    done = place.command("datacrumbs_trust", "verify-seal", *files, "--json")
    assert done.returncode == status, done.stderr
    return read_json("trust", done.stdout)


def test_a_seal_has_the_counts_of_its_trace_and_finds_a_changed_byte(sealing: Installation, probes: Path) -> None:
    with sealing.daemon(probes, "sealed") as daemon:
        (seal,) = seals(sealing)
        assert seal.read_bytes() == b""
        assert seal.name.startswith("sealed-")
        daemon.wrap(*writes(WRITES))
        trace = daemon.lines()
    assert daemon.process.returncode == 0
    assert (seal.stat().st_uid, seal.stat().st_mode & 0o777) == (0, 0o400)
    found = verified(sealing, seal, daemon.trace)
    assert trace.counts["write"]["entered"] == WRITES
    for counter in ("entered", "recorded", "unmatched", "in_flight", "filtered", "counted"):
        assert found["counts"][counter] == trace.footer[counter]
    assert found["complete"]
    assert found["problems"] == []
    assert (found["run_id"], found["uid"], found["host"]) == ("sealed", 0, os.uname().nodename)
    assert (found["plan"], found["key_id"]) == (trace.provenance["plan"], trace.provenance["key_id"])
    assert (found["ended_by"], found["kernel"]) == ("signal", os.uname().release)
    assert found["begin"] < found["end"]
    assert [(part["name"], part["state"]) for part in found["parts"]] == [(daemon.trace.name, "matches")]
    assert found["parts"][0]["size"] == daemon.trace.stat().st_size
    data = bytearray(daemon.trace.read_bytes())
    data[len(data) // 2] ^= 1
    daemon.trace.write_bytes(data)
    found = verified(sealing, seal, daemon.trace, status=1)
    assert found["parts"][0]["state"] == "altered"


def test_a_trace_in_several_files_is_sealed_whole(sealing: Installation, probes: Path) -> None:
    with (sealing.prefix / "etc/datacrumbs/datacrumbs.yaml").open("a") as file:
        file.write("flush_seconds: 0.1\nrotate_megabytes: 1\n")
    with sealing.daemon(probes) as daemon:
        second = daemon.trace.with_name(daemon.trace.name.replace(".pfw.gz", ".1.pfw.gz"))
        while not second.exists():
            daemon.wrap(*writes(100003))
        assert daemon.stop() == 0
    files = sorted(daemon.trace.parent.glob("*.pfw.gz"))
    (seal,) = seals(sealing)
    found = verified(sealing, seal, *files)
    assert {part["name"] for part in found["parts"]} == {file.name for file in files}
    assert verified(sealing, seal, daemon.trace.parent)["problems"] == []
    missing = verified(sealing, seal, files[0], status=1)
    assert {part["state"] for part in missing["parts"]} == {"matches", "not given"}


def test_a_users_seal_is_refused(sealing: Installation, probes: Path, tmp_path: Path) -> None:
    with sealing.daemon(probes) as daemon:
        daemon.wrap(*writes(23))
        assert daemon.stop() == 0
    (seal,) = seals(sealing)
    text = json.loads(seal.read_bytes())
    lied = base64.b64decode(text["payload"]).replace(b'"entered":', b'"entered":1')
    altered = tmp_path / "altered.seal.json"
    altered.write_bytes(seal.read_bytes().replace(text["payload"].encode(), base64.b64encode(lied)))
    assert "does not match" in refusal(sealing, altered)
    own = new_private_key()
    write_private_key(tmp_path / "own.key", own)
    forged = tmp_path / "forged.seal.json"
    forged.write_bytes(
        altered.read_bytes().replace(text["signatures"][0]["keyid"].encode(), key_id(own.public_key()).encode())
    )
    assert "not trusted here" in refusal(sealing, forged)
    key = sealing.prefix / "etc/datacrumbs/keys/seal.key"
    reading = subprocess.run(["cat", key, seal], user=NOBODY, capture_output=True, check=False)
    assert (reading.returncode, reading.stdout) == (1, b"")
    trusted = {file.name for file in (sealing.prefix / "etc/datacrumbs/trust").glob("*.pem")}
    believed = {file.name for file in (sealing.prefix / "etc/datacrumbs/seal-keys").glob("*.pem")}
    assert not trusted & believed


def refusal(place: Installation, seal: Path) -> str:
    done = place.command("datacrumbs_trust", "verify-seal", seal)
    assert done.returncode == 3
    return done.stderr


def test_a_run_whose_writer_is_gone_is_sealed_as_incomplete(sealing: Installation, probes: Path) -> None:
    with sealing.daemon(probes) as daemon:
        daemon.wrap(*writes(WRITES))
        children = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        assert daemon.process.wait(300) == 1
    (seal,) = seals(sealing)
    found = verified(sealing, seal, daemon.trace, status=1)
    assert not found["complete"]
    assert any("was not completed" in problem for problem in found["problems"])
    assert found["counts"]["entered"] > WRITES


def test_a_node_without_its_key_begins_no_run(sealing: Installation, probes: Path) -> None:
    (sealing.prefix / "etc/datacrumbs/keys/seal.key").unlink()
    done = sealing.command("datacrumbs", probes, "none")
    assert done.returncode == 1
    assert "no key to seal with" in done.stderr
    assert seals(sealing) == []
    assert not list((sealing.prefix / "var/log/datacrumbs").rglob("*.pfw.gz"))


def has_seal(pid: str) -> bool:
    """Whether a process has a seal open; what measures costs, another child, may end meanwhile."""
    try:
        return any("/seals/" in str(place.readlink()) for place in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def test_the_process_that_seals_has_no_privileges(sealing: Installation, probes: Path) -> None:
    with sealing.daemon(probes) as daemon:
        pid = daemon.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        (sealer,) = (child for child in children if has_seal(child))
        lines = Path(f"/proc/{sealer}/status").read_text().splitlines()
    state = {line.split(":")[0]: line.split()[1:] for line in lines}
    assert set(state["Uid"] + state["Gid"]) == {str(NOBODY)}
    assert {state[key][0] for key in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {"0" * 16}
    assert state["Seccomp"] == ["2"]
    assert state["NoNewPrivs"] == ["1"]
