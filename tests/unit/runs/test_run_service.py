from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from datacrumbs.commands._diagnosis import installation_checks
from datacrumbs.model.plan import Mode
from datacrumbs.provider import CheckState
from datacrumbs.runs import run_client
from datacrumbs.runs.order_options import OrderOptions
from datacrumbs.runs.run_client import RunningRun, allowed_runs, is_served, shown_runs, stop_run
from datacrumbs.runs.run_order import start_request
from datacrumbs.serving.denial import DenialError
from datacrumbs.serving.protocol import LENGTH

from ...waiting import until  # noqa: TID252 - a helper of all tests
from ..acting import as_user  # noqa: TID252 - a helper of all unit tests
from .conftest import BOUND, POLICY, until_end, until_ready

NOBODY = 65534
WARNING = CheckState.WARNING


def begun(served, uid: int = 0, **options: object):
    signed = served.signed(uid, Mode.PROFILE)
    with as_user(uid):
        run = RunningRun(served.paths, signed, OrderOptions(**options))
    until_ready(run)
    return run


def refused(served, signed: bytes, uid: int = 0, **options: object) -> str:
    with as_user(uid), pytest.raises(DenialError) as caught:
        RunningRun(served.paths, signed, OrderOptions(**options)).close()
    return caught.value.code


def raw(served, data: bytes) -> dict:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(BOUND)
        connection.connect(str(served.paths.runs_socket))
        with suppress(BrokenPipeError):
            connection.sendall(data)
        stream = connection.makefile("rb")
        (size,) = LENGTH.unpack(stream.read(4))
        return json.loads(stream.read(size))


def message(document: object) -> bytes:
    body = json.dumps(document).encode()
    return LENGTH.pack(len(body)) + body


def seen(served) -> dict:
    return json.loads((served.paths.prefix / "seen").read_text())


def test_a_run_starts_and_ends_and_leaves_nothing(served):
    with served.service():
        run = begun(served)
        assert run.trace == f"/traces/{run.run_id}"
        assert [shown.run for shown in shown_runs(served.paths)] == [run.run_id]
        run.stop()
        until_end(run)
        assert run.log == ""
        assert shown_runs(served.paths) == ()
        assert (served.paths.prefix / f"ended-{run.run_id}").exists()
        assert served.left() == []
        run.close()
    assert '"decision": "started", "code": "", "uid": 0' in served.decisions()


def test_the_daemon_gets_what_the_service_decided_and_no_word_of_a_user(served, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD_OF_A_USER", "x")
    with served.service():
        run = begun(served, NOBODY, milliseconds=1500, bytes=7_000_000, label="a b; c $(d)")
        found = seen(served)
        run.close()
    probes = served.paths.runs / f"probes.{run.run_id}.json.gz"
    expected = {"PROBE_FILE": str(probes), "USER": str(NOBODY), "RUN_ID": run.run_id, "MARKS": "named"}
    limits = {"DURATION": "1500ms", "MAX_SIZE": "7000000B", "uid": 0}
    environment = found.pop("environment")
    assert found == {**expected, **limits}
    assert set(environment) <= {"PATH", "LC_ALL", "LC_CTYPE"}


def test_what_is_not_asked_for_is_what_the_policy_allows_at_most(served):
    with served.service():
        run = begun(served, NOBODY)
        assert {key: seen(served)[key] for key in ("DURATION", "MAX_SIZE")} == {
            "DURATION": "90000ms",
            "MAX_SIZE": f"{10 << 20}B",
        }
        run.close()


def test_only_a_grant_of_the_caller_that_holds_and_is_not_revoked(served):
    with served.service():
        assert refused(served, served.signed(NOBODY)) == "grant.refused"
        assert refused(served, served.signed(0), NOBODY) == "grant.refused"
        assert refused(served, served.signed(expires=-1)) == "grant.refused"
        assert refused(served, b"no probe file") == "grant.refused"
        signed = served.signed()
        assert refused(served, signed[:-20]) == "grant.refused"
        (key,) = served.paths.trusted_keys.glob("*.pem")
        (served.paths.trusted_keys / "revoked.yaml").write_text(f"keys: [{key.stem}]\n")
        with pytest.raises(DenialError, match="which was revoked"):
            RunningRun(served.paths, signed, OrderOptions())
        assert served.left() == []


def test_the_policy_says_who_and_what(served):
    with served.service():
        assert refused(served, served.signed(1), 1) == "runs.user"
        assert refused(served, served.signed(NOBODY, Mode.TRACE), NOBODY) == "runs.mode"
        assert refused(served, served.signed(NOBODY, Mode.PROFILE), NOBODY, milliseconds=91_000) == "runs.duration"
        assert refused(served, served.signed(NOBODY, Mode.PROFILE), NOBODY, bytes=11 << 20) == "runs.size"
        signed = served.signed(NOBODY, Mode.TRACE)
        with as_user(NOBODY):
            run = RunningRun(served.paths, signed, OrderOptions(mode="profile"))
        until_ready(run)
        assert seen(served)["MODE"] == "profile"
        run.close()


def test_the_policy_says_how_many_at_once(served):
    with served.service(), ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(closing(begun(served)))
        assert refused(served, served.signed()) == "runs.at_once"
        stack.enter_context(closing(begun(served, NOBODY)))
        assert refused(served, served.signed(NOBODY, Mode.PROFILE), NOBODY) == "runs.at_once"


@pytest.fixture
def own_disk(served):
    """Traces have a file system on which nobody else writes."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", served.paths.traces], check=True)
    yield served.paths.traces
    subprocess.run(["umount", "--lazy", served.paths.traces], check=True)


def test_a_run_without_room_for_its_trace_is_refused(served, own_disk):
    """Half of what is free is left to others; runs that go on may still become as large as they may."""
    state = os.statvfs(own_disk)
    half = state.f_bavail * state.f_frsize // 2
    served.paths.policy.write_text(POLICY.replace("size: 1G", f"size: {half * 2}B\n    total: {half * 4}B"))
    with served.service(), ExitStack() as stack:
        stack.enter_context(closing(begun(served, bytes=half // 5 * 3)))
        assert refused(served, served.signed(), bytes=half // 5 * 3) == "runs.room"
        stack.enter_context(closing(begun(served, bytes=half // 5)))
        assert len(shown_runs(served.paths)) == 2


def test_the_policy_says_how_much_a_users_traces_take(served):
    kept = served.paths.traces / "nobody" / "2026-01-01"
    kept.mkdir(parents=True)
    (kept / "before.pfw.gz").write_bytes(os.urandom(3 << 20))
    os.chown(kept / "before.pfw.gz", NOBODY, NOBODY)
    served.paths.policy.write_text(POLICY + "    total: 12M\n")
    signed = served.signed(NOBODY, Mode.PROFILE)
    with served.service():
        assert refused(served, signed, NOBODY) == "runs.total"
        run = begun(served, NOBODY, bytes=8_000_000)
        run.close()
        (kept / "before.pfw.gz").unlink()
        begun(served, NOBODY).close()


@contextmanager
def closing(run):
    try:
        yield run
    finally:
        run.close()


def test_a_user_is_told_what_runs_the_policy_allows(served):
    checks = {check.name: check for check in installation_checks(served.paths)}
    assert (checks["service of runs"].state, "is not running" in checks["service of runs"].detail) == (WARNING, True)
    assert "datacrumbs_runs.socket" in checks["service of runs"].fix
    with served.service():
        with as_user(NOBODY):
            allowed = allowed_runs(served.paths)
        checks = {check.name: check for check in installation_checks(served.paths)}
        assert "trace or profile; 2 runs at once, of 1h" in checks["service of runs"].detail
        with as_user(1), pytest.raises(DenialError, match="no rule of `runs`"):
            allowed_runs(served.paths)
        served.paths.policy.write_text("rules: []\n")
        checks = {check.name: check for check in installation_checks(served.paths)}
        assert (checks["service of runs"].state, "no rule of `runs`" in checks["service of runs"].detail) == (
            WARNING,
            True,
        )
        assert checks["service of runs"].fix
    assert {key: allowed[key] for key in ("modes", "at_once", "duration")} == {
        "modes": ["profile"],
        "at_once": 2,
        "duration": 90,
    }
    assert "users" not in allowed


def test_a_damaged_policy_starts_nothing(served):
    with served.service():
        served.paths.policy.write_text("rules: []\nruns:\n  - users: [root]\n    durations: 1h\n")
        assert refused(served, served.signed()) == "service.configuration"
        served.paths.policy.write_text("rules: []\n")
        assert refused(served, served.signed()) == "runs.user"


def test_a_client_that_dies_ends_its_run(served):
    with served.service():
        run = begun(served)
        run.close()
        until(lambda: shown_runs(served.paths) == ())
        assert (served.paths.prefix / f"ended-{run.run_id}").exists()
        assert served.left() == []


def test_a_user_sees_and_ends_nothing_of_others(served):
    with served.service():
        run = begun(served)
        with as_user(NOBODY):
            assert shown_runs(served.paths) == ()
            codes = []
            for ask in ("stop", "claim"):
                reply = raw(served, message({"version": 1, "request": ask, "run": run.run_id}))
                codes.append((reply["code"], reply["message"]))
            other = raw(served, message({"version": 1, "request": "stop", "run": f"{run.run_id[:-16]}{'0' * 16}"}))
            assert codes == [(other["code"], other["message"])] * 2
            for path in (served.paths.run, served.paths.runs):
                with pytest.raises(PermissionError):
                    os.listdir(path)  # noqa: PTH208
        for path in [*served.paths.runs.iterdir(), served.paths.run / f"datacrumbs-{run.run_id}.env"]:
            with as_user(NOBODY), pytest.raises(PermissionError):
                path.open()
        own = begun(served, NOBODY)
        assert len(shown_runs(served.paths)) == 2
        stop_run(served.paths, own.run_id)  # root ends everyone's
        until_end(own)
        own.close()
        run.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_service_that_is_restarted_loses_no_run(served, how):
    with served.service(stop=how):
        run = begun(served)
    assert not (served.paths.prefix / f"ended-{run.run_id}").exists()
    with served.service():
        run.listen()  # the connection is lost: it claims its run
        run.listen()
        assert [(shown.run, shown.state) for shown in shown_runs(served.paths)] == [(run.run_id, "running")]
        run.stop()
        until_end(run)
        assert (served.paths.prefix / f"ended-{run.run_id}").exists()
        assert served.left() == []
        run.close()


def test_a_claim_keeps_its_user_from_nothing(served, monkeypatch):
    monkeypatch.setattr(run_client, "RECLAIM_SECONDS", BOUND)
    with served.service():
        run = begun(served)
    run.listen()  # the connection is lost, and no service is there
    assert not select.select([run.fileno()], [], [], 0.3)[0]
    with served.service():
        assert select.select([run.fileno()], [], [], BOUND)[0]
        run.listen()
        assert not run.ended
        run.stop()
        until_end(run)
        run.close()


def test_a_claim_that_is_refused_is_not_repeated(served):
    with served.service():
        run = begun(served)
    (served.paths.runs / f"{run.run_id}.run").unlink()
    with served.service():
        run.listen()
        with pytest.raises(DenialError) as caught:
            run.listen()
        assert caught.value.code == "runs.unknown"
        run.close()
    ready = served.paths.run / f"datacrumbs-{run.run_id}.ready"
    os.kill(json.loads(ready.read_text())["pid"], signal.SIGTERM)
    until((served.paths.prefix / f"ended-{run.run_id}").exists)


@pytest.mark.parametrize("text", ["", "[]", '{"run": 1}', '{"run": "x", "other": 1}'])
def test_what_is_kept_of_a_run_and_cannot_be_read_is_removed(served, text):
    with served.service():
        pass
    file = served.paths.runs / f"run-20250101T000000-{'0' * 16}.run"
    file.write_text(text)
    with served.service():
        assert shown_runs(served.paths) == ()
        assert not file.exists()


def test_a_run_that_ends_while_no_service_runs_is_cleared(served):
    with served.service():
        run = begun(served)
    kept = json.loads((served.paths.runs / f"{run.run_id}.run").read_text())
    os.kill(kept["pid"], signal.SIGTERM)
    until(lambda: not Path(f"/proc/{kept['pid']}").exists() or (served.paths.prefix / f"ended-{run.run_id}").exists())
    with served.service():
        until(lambda: shown_runs(served.paths) == ())
        assert served.left() == []
    run.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda kept: {**kept, "share": "x"},
        lambda kept: {key: value for key, value in kept.items() if key != "uid"},
        lambda kept: [kept],
        lambda kept: {**kept, "run": "run-20260101T000000-0123456789abcdef"},
        None,
    ],
    ids=["type", "lacks", "list", "other", "damaged"],
)
def test_what_another_version_kept_does_not_stop_the_service(served, change):
    with served.service():
        run = begun(served)
    (file,) = served.paths.runs.glob("*.run")
    kept = json.loads(file.read_text())
    file.write_text("{" if change is None else json.dumps(change(kept)))
    with served.service():
        assert shown_runs(served.paths) == ()
        assert served.left() == [f"datacrumbs-{run.run_id}.ready"]  # the daemon's own
    assert "not of this version" in served.decisions()
    os.kill(kept["pid"], signal.SIGTERM)
    until((served.paths.prefix / f"ended-{run.run_id}").exists)
    run.close()


def test_what_a_later_version_keeps_beside_is_left_out(served):
    with served.service():
        run = begun(served)
    (file,) = served.paths.runs.glob("*.run")
    file.write_text(json.dumps({**json.loads(file.read_text()), "later": [1]}))
    with served.service():
        run.listen()
        assert [(shown.run, shown.state) for shown in shown_runs(served.paths)] == [(run.run_id, "running")]
        run.stop()
        until_end(run)
    run.close()


def test_a_stop_before_the_start_still_stops(served):
    """Where what was started gets a process after the order to end it was given, which then did nothing."""
    with served.service(kind="SlowStart"):
        run = RunningRun(served.paths, served.signed(), OrderOptions())
        run.close()
        until(lambda: shown_runs(served.paths) == ())
        assert served.left() == []  # whether or not it came so far as to take the signal


def test_a_process_that_has_the_number_of_an_ended_run_is_left_alone(served):
    with served.service():
        run = begun(served)
    file = served.paths.runs / f"{run.run_id}.run"
    kept = json.loads(file.read_text())
    os.kill(kept["pid"], signal.SIGTERM)
    file.write_text(json.dumps({**kept, "pid": os.getpid()}))
    with served.service():
        until(lambda: shown_runs(served.paths) == ())
    run.close()


def test_a_run_that_its_client_does_not_claim_ends(served):
    with served.service():
        run = begun(served)
    with served.service(claim_seconds=0.1):
        until(lambda: shown_runs(served.paths) == ())
        assert (served.paths.prefix / f"ended-{run.run_id}").exists()
    run.close()


def test_a_run_that_cannot_begin_says_why(served):
    (served.paths.prefix / "broken").touch()
    with served.service():
        run = RunningRun(served.paths, served.signed(), OrderOptions())
        until_end(run)
        run.close()
        assert (run.ready, run.trace) == (False, "")
        assert "it cannot begin" in run.log
        assert served.left() == []


def test_a_run_that_is_not_ready_in_time_is_not_said_to_be_wrong(served):
    (served.paths.prefix / "slow").touch()
    with served.service(ready_seconds=0.1):
        run = RunningRun(served.paths, served.signed(), OrderOptions())
        until_end(run)
        run.close()
        assert not run.ready
        assert run.log == "it was not ready in 0.1 s and was ended; this host may be very busy"
        assert served.left() == []


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({}, "request.form"),
        ({"version": 2, "request": "list"}, "request.form"),
        ({"version": 1, "request": "list", "uid": 0}, "request.form"),
        ({"version": 1, "request": ["list"]}, "request.form"),
        ({"version": [1], "request": "list"}, "request.form"),
        ({"version": 1, "request": "stop", "run": "../../x"}, "runs.unknown"),
        ({"version": 1, "request": "claim", "run": ["x"]}, "runs.unknown"),
        ({"version": 1, "request": "start", "probe_file": "", "options": {}}, "request.form"),
        ({"version": 1, "request": "start", "probe_file": "!", "options": {}}, "request.form"),
        ({"version": 1, "request": "start", "probe_file": "AAAA", "options": {"run": "x"}}, "request.form"),
        ({"version": 1, "request": "start", "probe_file": "AAAA", "options": {"mode": "trace"}}, "request.form"),
        ({"version": 1, "request": "start", "probe_file": "AAAA", "options": {"bytes": True}}, "request.form"),
        ({"version": 1, "request": "start", "probe_file": "AAAA", "options": {"milliseconds": -1}}, "request.form"),
        ({"version": 1, "request": "start", "probe_file": "AAAA", "options": {"label": "a\nb"}}, "request.form"),
        ({"version": 1, "request": "start", "probe_file": "AAAA", "options": {"label": "a" * 257}}, "request.form"),
    ],
)
def test_what_is_no_request_is_refused(served, request_, code):
    with served.service():
        assert raw(served, message(request_))["code"] == code


def test_a_huge_request_is_refused_before_it_is_read(served):
    with served.service():
        assert raw(served, LENGTH.pack(0xFFFFFFFF))["code"] == "request.size"
        assert is_served(served.paths)


def test_a_request_that_is_large_in_memory_ends_its_child_only(served):
    body = b"[" + b"{}," * ((22 << 20) // 3) + b"{}]"
    with served.service():
        assert raw(served, LENGTH.pack(len(body)) + body)["code"] == "request.limits"
        assert is_served(served.paths)


def test_a_slow_client_is_let_go(served):
    with served.service("request_seconds=0.2"), socket.socket(socket.AF_UNIX) as slow:
        slow.settimeout(BOUND)
        slow.connect(str(served.paths.runs_socket))
        slow.sendall(b"\0\0\0\x10{")
        assert b"request.timeout" in slow.recv(4096)
        until(lambda: is_served(served.paths))  # whose request may be as slow on a busy machine


def test_what_follows_a_request_ends_its_run(served):
    with served.service(), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(BOUND)
        connection.connect(str(served.paths.runs_socket))
        connection.sendall(message(start_request(served.signed(), OrderOptions())) + b"x")
        stream = connection.makefile("rb")
        states = []
        while "ended" not in states:
            (size,) = LENGTH.unpack(stream.read(4))
            states.append(json.loads(stream.read(size))["status"])
        assert states[0] == "starting"
        assert served.left() == []
