from __future__ import annotations

import json
import os
import platform
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from datacrumbs.elf.build_id import file_build_id
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.kernel.syscalls import system_calls
from datacrumbs.model.plan import Function, Target
from datacrumbs.probefile.codec import encode
from datacrumbs.probefile.storage import read_probe_file, write_probe_file
from datacrumbs.serving.denial import DenialError
from datacrumbs.serving.protocol import LENGTH
from datacrumbs.signer.signing_client import request_signature, service_key_id

from ...waiting import until  # noqa: TID252 - a helper of all tests
from ..acting import as_user  # noqa: TID252 - a helper of all unit tests
from ..probefile.served import served_file  # noqa: TID252 - a file system of the tests

NOBODY = 65534
BOUND = 300.0  # seconds until what never comes is a failure


def raw(installation, data: bytes, seconds: float = BOUND) -> dict:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(str(installation.paths.signing_socket))
        with suppress(BrokenPipeError):  # a service that is busy answers without reading
            connection.sendall(data)
        return reply_of(connection)


def connected(installation, uid: int) -> socket.socket:
    """A connection of this user."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(BOUND)
    with as_user(uid):
        connection.connect(str(installation.paths.signing_socket))
    return connection


def reply_of(connection: socket.socket) -> dict:
    stream = connection.makefile("rb")
    (size,) = LENGTH.unpack(stream.read(4))
    return json.loads(stream.read(size))


def message(document: object) -> bytes:
    body = json.dumps(document).encode()
    return LENGTH.pack(len(body)) + body


def test_a_plan_is_signed_for_its_caller(installation):
    with installation.service():
        data = request_signature(installation.plan(), installation.paths)
        path = installation.directory / "p.json.gz"
        write_probe_file(path, data)
        signed = read_probe_file(path, installation.paths.trusted_keys, now=time.time(), uid=os.getuid())
        assert signed.plan == installation.plan()
        assert signed.grant.expires - signed.grant.issued == 30 * 86400
        assert signed.key_id == service_key_id(installation.paths)
    assert f'"decision": "signed", "code": "", "uid": {os.getuid()}' in installation.decisions()
    assert signed.digest in installation.decisions()
    assert not installation.paths.signing_socket.exists()


def test_a_file_that_the_service_lacks_is_no_lost_connection(installation):
    before = "Service.answer = lambda *_: open('/absent')"
    with installation.service(before=before):
        reply = raw(installation, message({"version": 1, "request": "status"}))
    assert (reply["status"], reply["code"]) == ("refused", "service.fault")
    assert "No such file or directory: '/absent'" in installation.decisions()


def test_the_caller_is_who_the_kernel_says(installation, as_nobody):
    path = installation.directory / "p.json.gz"
    with installation.service():
        text = as_nobody(lambda: request_signature(installation.plan(), installation.paths).hex())
        path.write_bytes(bytes.fromhex(text))
    signed = read_probe_file(path, installation.paths.trusted_keys, now=time.time(), uid=NOBODY)
    assert (signed.grant.uid, signed.grant.user) == (NOBODY, "nobody")
    with pytest.raises(DatacrumbsError, match="granted to nobody"):
        read_probe_file(path, installation.paths.trusted_keys, now=time.time(), uid=0)


def test_a_grant_in_the_request_is_no_request(installation):
    request = {"version": 1, "request": "sign", "plan": json.loads(installation.plan_bytes()), "uid": 0}
    with installation.service():
        assert raw(installation, message(request))["code"] == "request.form"


def test_many_callers_at_once(installation):
    with installation.service(), ThreadPoolExecutor(16) as pool:
        plan = installation.plan()
        files = list(pool.map(lambda _: request_signature(plan, installation.paths), range(16)))
    assert len(files) == 16
    assert installation.decided() == {"signed": 16}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "request.form"),
        (b"{", "request.form"),
        (b"\xff\xfe", "request.form"),
        (b"[" * 50000, "request.form"),
        (b"{}", "request.form"),
        (b'{"version":2,"request":"status"}', "request.form"),
        (b'{"version":1,"request":"sign"}', "request.form"),
        (b'{"version":1,"request":"sign","plan":null}', "plan.schema"),
        (b'{"version":1,"request":"sign","plan":{"a":1}}', "plan.schema"),
    ],
)
def test_what_is_no_request_is_refused(installation, body, code):
    with installation.service():
        assert raw(installation, LENGTH.pack(len(body)) + body)["code"] == code


def test_an_oversized_request_is_refused_before_it_is_read(installation):
    with installation.service():
        reply = raw(installation, LENGTH.pack(0xFFFFFFFF))
    assert reply["code"] == "request.size"
    assert "at most 33554432" in reply["message"]


def test_a_request_that_is_large_in_memory_ends_its_child_only(installation):
    body = b"[" + b"{}," * ((32 << 20) // 3 - 2) + b"{}]"  # takes forty times as much once it is parsed
    with installation.service() as process:
        assert raw(installation, LENGTH.pack(len(body)) + body)["code"] == "request.limits"
        assert service_key_id(installation.paths)
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert int(status.partition("VmHWM:")[2].split()[0]) < 256 << 10  # KiB


def test_a_service_without_descriptors_waits_for_some(installation):
    with installation.service() as process, ExitStack() as stack:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (48, 48))
        held = [stack.enter_context(connected(installation, 0)) for _ in range(64)]
        for connection in held:
            connection.close()
        assert service_key_id(installation.paths)


def test_an_oversized_request_that_is_sent_all_the_same(installation):
    with installation.service("request_bytes=1000"), pytest.raises(DenialError, match="at most 1000 are taken"):
        request_signature(installation.plan(), installation.paths)


# Of the first request alone: those of others take what they take on a busy machine.
FIRST_SOON_CUT_OFF = """
import asyncio
within, seconds = asyncio.timeout, iter([0.5])
asyncio.timeout = lambda whole: within(next(seconds, whole))
"""


def test_a_slow_request_is_cut_off_and_others_go_on(installation):
    with installation.service("request_seconds=60", FIRST_SOON_CUT_OFF), socket.socket(socket.AF_UNIX) as slow:
        slow.connect(str(installation.paths.signing_socket))
        slow.settimeout(BOUND)
        slow.sendall(LENGTH.pack(1 << 20))
        assert request_signature(installation.plan(), installation.paths)
        end = time.monotonic() + BOUND
        while not select.select([slow], [], [], 0.05)[0] and time.monotonic() < end:
            with suppress(BrokenPipeError):
                slow.sendall(b" ")  # a byte at a time, for ever
        assert reply_of(slow)["code"] == "request.timeout"
    assert "did not arrive within 60 s" in installation.decisions()


def test_a_caller_that_closes_early(installation):
    with installation.service():
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(installation.paths.signing_socket))
            connection.sendall(b"\0\0")
        assert request_signature(installation.plan(), installation.paths)


@pytest.mark.parametrize(
    ("uids", "subordinates"),
    [
        ([NOBODY] * 4, ""),
        (range(2_000_000, 2_000_004), ""),
        ([NOBODY, *range(3_000_000, 3_000_003)], "daemon:9:9\nnobody:3000000:65536\n"),
    ],
    ids=["one-user", "ids-without-account", "subordinate-ids"],
)
def test_connections_of_one_user_are_bounded(installation, as_nobody, uids, subordinates):
    """Ids without an account are one user, those of /etc/subuid are their user: somebody can have 65,536 of them."""
    installation.subordinates.write_text(subordinates)
    with installation.service("connections_per_user=3"), ExitStack() as stack:
        held = [stack.enter_context(connected(installation, uid)) for uid in uids]
        answered, _, _ = select.select(held, [], [], BOUND)
        assert [reply_of(connection)["code"] for connection in answered] == ["service.busy"]
        assert service_key_id(installation.paths)  # others are served
        if NOBODY not in uids:
            assert as_nobody(lambda: service_key_id(installation.paths)) == service_key_id(installation.paths)


def test_subordinate_ids_leave_newcomers_their_places(installation, as_nobody):
    """One user has thousands of them, and each is new to the service."""
    installation.subordinates.write_text("daemon:3000000:65536\n")
    slow = installation.directory / "slow"
    os.mkfifo(slow)
    before = f"reception.share_of = lambda uid: uid if uid < 3000000 else open({str(slow)!r}).close() or uid"
    with installation.service("newcomers=3, connections_per_user=2", before), ExitStack() as stack:
        held = [stack.enter_context(connected(installation, uid)) for uid in range(3_000_000, 3_000_004)]
        assert as_nobody(lambda: service_key_id(installation.paths)) == service_key_id(installation.paths)
        answered = {connection for connection in held if select.select([connection], [], [], 0)[0]}
        assert answered == set(held[2:])
        assert [reply_of(connection)["code"] for connection in answered] == ["service.busy"] * 2
        with slow.open("w"):  # lets the look-ups go on
            pass


def test_an_id_that_cannot_be_looked_up_is_refused_and_not_remembered(installation, as_nobody):
    """An account database that does not answer must not make a user of each subordinate id."""
    broken = installation.directory / "broken"
    broken.touch()
    before = f"reception.share_of = lambda uid: 1 // 0 if Path({str(broken)!r}).exists() else uid"
    status = message({"version": 1, "request": "status"})
    with installation.service("", before):
        assert as_nobody(lambda: raw(installation, status).get("code")) == "service.busy"
        broken.unlink()
        assert as_nobody(lambda: raw(installation, status).get("status")) == "ready"


def test_an_account_that_is_known_is_looked_up_beside_its_request(installation, as_nobody):
    """The account database may be a slow server."""
    hangs, slow = installation.directory / "hangs", installation.directory / "slow"
    os.mkfifo(slow)
    before = (
        f"reception.share_of = lambda uid: uid if not Path({str(hangs)!r}).exists() else open({str(slow)!r}).close()\n"
        "from datacrumbs.serving import shares; shares.KNOWN_SECONDS = 0"
    )
    status = message({"version": 1, "request": "status"})
    with installation.service("request_seconds=60", before):
        assert as_nobody(lambda: raw(installation, status)["status"]) == "ready"
        hangs.touch()
        for _ in range(2):  # while the first one's look-up goes on, too
            assert as_nobody(lambda: raw(installation, status)["status"]) == "ready"
        with slow.open("w"):  # lets the look-ups go on
            hangs.unlink()


def test_a_reply_does_not_wait_for_the_end_of_its_child(installation):
    """Which takes a processor, for which others may be before it."""
    may_end = installation.directory / "may_end"
    late = f"""
from datacrumbs.serving import server
async def late(_):
    while not Path({str(may_end)!r}).exists():
        await server.asyncio.sleep(0.01)
server.ended = late
"""
    with installation.service("", late):
        assert service_key_id(installation.paths)
        may_end.touch()


class _Held(threading.Event):
    """Says when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.asked.set()
        return super().wait(timeout)


# Of the first check alone: those of others take what they take on a busy machine.
FIRST_IS_SHORT = """
from dataclasses import replace
from datacrumbs.serving.limited import CHECK, Bounds
stretched, clocks = Bounds.stretched, iter([15])
def short(bounds):
    seconds = next(clocks, None) if bounds.memory == CHECK.memory else None
    return replace(bounds, clock_seconds=seconds) if seconds else stretched(bounds)
Bounds.stretched = short
"""


def test_a_child_that_cannot_end_keeps_no_others_waiting(installation):
    """A process that is killed while it waits for a file system ends when that answers: its user waits so long."""
    may_read = _Held()
    place = installation.directory / "served"
    place.mkdir()
    with (
        served_file(place, installation.library.read_bytes(), 999, may_read) as path,
        installation.service("checks=1", FIRST_IS_SHORT),
        connected(installation, NOBODY) as held_up,
    ):
        target = Target(str(path), file_build_id(installation.library))
        request = {"version": 1, "request": "sign", "plan": json.loads(encode(installation.plan_of(target)))}
        held_up.sendall(message(request))
        assert may_read.asked.wait(BOUND)
        assert request_signature(installation.plan(), installation.paths)
        assert not select.select([held_up], [], [], 0)[0]
        may_read.set()
        reply = reply_of(held_up)
        assert (reply["code"], reply["exit_code"]) == ("service.undecided", ExitCode.FAILED)
        assert "this host is very busy, or a file system does not answer; no fault was found" in reply["message"]


def test_a_slow_look_at_files_holds_up_its_own_user_only(installation):
    may_read = _Held()
    place = installation.directory / "served"
    place.mkdir()
    with (
        served_file(place, installation.library.read_bytes(), 999, may_read) as path,
        installation.service("checks=2"),
        ExitStack() as stack,
    ):
        target = Target(str(path), file_build_id(installation.library))
        request = {"version": 1, "request": "sign", "plan": json.loads(encode(installation.plan_of(target)))}
        slow = [stack.enter_context(connected(installation, NOBODY)) for _ in range(4)]
        for connection in slow:
            connection.sendall(message(request))
        assert may_read.asked.wait(BOUND)
        assert request_signature(installation.plan(), installation.paths)
        assert not select.select(slow, [], [], 0)[0]
        may_read.set()
        assert [reply_of(connection)["status"] for connection in slow] == ["signed"] * 4


LONG = "wait_seconds=900, request_seconds=900, check=Bounds(416 << 20, 30, 900)"
PLACES = 8
REFUSED = 211


def test_a_third_user_waits_for_no_request_of_two_others(installation):
    """Whatever they have in work, in their queues, or refused; how long it takes says how fast the machine is."""
    may_read = _Held()
    place = installation.directory / "served"
    place.mkdir()
    with (
        served_file(place, installation.library.read_bytes(), 999, may_read) as path,
        installation.service(LONG, "from datacrumbs.serving.limited import Bounds"),
        ExitStack() as stack,
    ):
        target = Target(str(path), file_build_id(installation.library))
        request = message({"version": 1, "request": "sign", "plan": json.loads(encode(installation.plan_of(target)))})
        held = [stack.enter_context(connected(installation, uid)) for uid in (1, 2) for _ in range(PLACES)]
        for connection in held:
            connection.sendall(request)
        assert may_read.asked.wait(BOUND)
        for uid in (1, 2):
            for _ in range(REFUSED):
                with connected(installation, uid) as connection:
                    assert reply_of(connection)["code"] == "service.busy"
        assert request_signature(installation.plan(), installation.paths)
        assert not select.select(held, [], [], 0)[0]  # none of theirs was answered meanwhile
        may_read.set()
        assert [reply_of(connection)["status"] for connection in held] == ["signed"] * len(held)


def test_all_connections_are_bounded(installation):
    with installation.service("connections=2"):
        held = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for connection in held:
            connection.connect(str(installation.paths.signing_socket))
        # Accepted in their order, so these two have their places.
        reply = raw(installation, message({"version": 1, "request": "status"}))
        assert reply["code"] == "service.busy"
        for connection in held:
            connection.close()
        assert service_key_id(installation.paths)  # asks again while it is busy


def large_request(installation) -> bytes:
    """A request whose reply does not fit into a socket's buffer."""
    functions = tuple(
        Function(
            f"f{offset}", f"f{offset}", "POSIX", offset=offset, aliases=tuple(os.urandom(500).hex() for _ in range(250))
        )
        for offset in installation.offsets()[:2]
    )
    plan = installation.plan(snippets=(), groups=(replace(installation.plan().groups[0], functions=functions),))
    return message({"version": 1, "request": "sign", "plan": json.loads(encode(plan))})


def test_a_reply_that_is_not_read_holds_its_users_share(installation, as_nobody):
    def status() -> str:
        return raw(installation, message({"version": 1, "request": "status"})).get("code", "")

    data = large_request(installation)
    with installation.service("connections_per_user=1, reply_seconds=600"):
        with connected(installation, NOBODY) as unread:
            unread.sendall(data)
            assert select.select([unread], [], [], BOUND)[0]
            assert as_nobody(status) == "service.busy"
        assert as_nobody(lambda: service_key_id(installation.paths)) == service_key_id(installation.paths)


def test_a_reply_that_is_not_read_is_aborted(installation, as_nobody):
    data = large_request(installation)
    with (
        installation.service("connections_per_user=1, request_seconds=60, reply_seconds=1"),
        connected(installation, NOBODY) as unread,
    ):
        unread.sendall(data)
        assert as_nobody(lambda: service_key_id(installation.paths)) == service_key_id(installation.paths)
    decided = installation.decided()
    del decided["service.busy"]
    assert decided == {"signed": 1, "connection.lost": 1}


def test_a_stop_lets_a_request_in_work_finish(installation):
    body = b'{"version":1,"request":"sign","plan":%b}' % installation.plan_bytes()
    with installation.service("request_seconds=60") as process, socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(BOUND)
        connection.connect(str(installation.paths.signing_socket))
        connection.sendall(LENGTH.pack(len(body)) + body[:9])
        assert service_key_id(installation.paths)  # so that the one before is accepted
        process.send_signal(signal.SIGTERM)
        connection.sendall(body[9:])
        assert reply_of(connection)["status"] == "signed"


def test_a_second_stop_during_the_exit_changes_nothing(installation):
    with installation.service() as process:
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


def test_no_service(installation):
    with pytest.raises(DatacrumbsError, match="the signing service is not running") as caught:
        request_signature(installation.plan(), installation.paths)
    assert caught.value.hint == "datacrumbs_sign_probes"  # of a private installation there is no unit
    assert caught.value.exit_code == ExitCode.FAILED


def test_a_second_service_is_refused_and_a_stale_socket_is_not_in_the_way(installation):
    with installation.service():
        code = "from datacrumbs.commands._entry import sign_probes; exit(sign_probes())"
        second = subprocess.run(
            [sys.executable, "-c", code, "--prefix", installation.paths.prefix],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert second.returncode == 1
        assert "already listening" in second.stderr
        assert service_key_id(installation.paths)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(installation.paths.signing_socket))
    with installation.service():
        assert service_key_id(installation.paths)


def test_a_socket_from_systemd_is_used_and_left_in_place(installation):
    path = installation.paths.run / "other.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        code = (
            "import os, sys; os.dup2(%d, 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
            "from datacrumbs.commands._entry import sign_probes; sys.argv[1:] = ['--prefix', %r]; exit(sign_probes())"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code % (listener.fileno(), str(installation.paths.prefix))],
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
    with process:
        assert "other.sock" in process.stderr.readline()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(message({"version": 1, "request": "status"}))
            assert reply_of(connection)["status"] == "ready"
        process.send_signal(signal.SIGTERM)
        assert process.wait(BOUND) == 0
    assert path.exists()


def test_readiness_reaches_systemd(installation, monkeypatch):
    address = installation.directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(address))
        receiver.settimeout(BOUND)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        with installation.service():
            assert receiver.recv(100) == b"READY=1"
        assert receiver.recv(100) == b"STOPPING=1"


def test_a_plan_that_breaks_the_schema_never_reaches_the_service(installation):
    plan = installation.plan()
    function = replace(plan.groups[0].functions[0], name="x\ny")
    with pytest.raises(DatacrumbsError, match=r"groups\[0\].functions\[0\].name: 'x\\ny'") as caught:
        request_signature(replace(plan, groups=(replace(plan.groups[0], functions=(function,)),)), installation.paths)
    assert caught.value.exit_code == ExitCode.USAGE


def test_log_lines_hold_nothing_unescaped(installation):
    document = json.loads(installation.plan_bytes())
    document["groups"][0]["target"]["path"] = '/lib/x\n{"decision": "signed"}\x1b[2J'
    with installation.service():
        assert raw(installation, message({"version": 1, "request": "sign", "plan": document}))["code"] == "plan.schema"
    lines = installation.decisions().splitlines()
    assert len(lines) == 1
    assert lines[0].isprintable()
    assert json.loads(lines[0].split(": ", 1)[1])["decision"] == "refused"


RECEIVE = next(call.number for call in system_calls(platform.machine()) if call.name == "recvmsg")


def ready_children(process: subprocess.Popen[str], number: int) -> set[int]:
    """The children of a service that wait for a request, each with one that looks at files, once it is this many."""

    def ready() -> set[int]:
        pids = {int(pid) for pid in children_of(process.pid) if waits_for_an_order(int(pid))}
        return pids if len(pids) == number else set()

    return until(ready)


# Not while it practises, when its child that looks at files is there as well.
def waits_for_an_order(pid: int) -> bool:
    return [call_of(pid)] == [call_of(int(look)) for look in children_of(pid)] == [RECEIVE]


def call_of(pid: int) -> int:
    """The number of the system call in which a process waits; -1 for none."""
    with suppress(OSError, ValueError):
        return int(Path(f"/proc/{pid}/syscall").read_text().split()[0])
    return -1


def children_of(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return []


RESTS = 1.5
ONE_A_USER = f"from datacrumbs.serving import spares; spares.EVERY_SECONDS = 900; server.REST_SECONDS = {RESTS}"


def test_a_request_is_answered_by_a_child_that_was_begun_before_it(installation, as_nobody):
    """Each by one, of which none is used twice."""
    with installation.service("checks=3", ONE_A_USER) as process:
        before = ready_children(process, 3)
        assert service_key_id(installation.paths)
        assert as_nobody(lambda: service_key_id(installation.paths))
        between = ready_children(process, 3)
        assert len(before & between) == 1  # of which no other request is known
        offset = installation.offsets()[0]
        assert request_signature(installation.plan_of(installation.target(), offset), installation.paths)
        assert before & between <= ready_children(process, 3)  # its user has had one just now


def test_a_request_is_answered_where_no_child_is_ready(installation):
    with installation.service("checks=2") as process:
        for pid in ready_children(process, 2):
            ending = os.pidfd_open(pid)
            os.kill(pid, signal.SIGKILL)
            assert select.select([ending], [], [], BOUND)[0]
            os.close(ending)
        assert service_key_id(installation.paths)
        assert ready_children(process, 2)


def test_a_user_who_asks_all_the_time_rests(installation):
    """From the second request on, for which no child is ready: the third and the fourth wait. Others do not."""
    status = message({"version": 1, "request": "status"})
    with installation.service("", ONE_A_USER) as process, ExitStack() as stack:
        ready_children(process, 3)
        asking = [stack.enter_context(connected(installation, NOBODY)) for _ in range(4)]
        began = time.monotonic()
        for connection in asking:
            connection.sendall(status)
        assert service_key_id(installation.paths)
        assert [reply_of(connection)["status"] for connection in asking] == ["ready"] * 4
        assert time.monotonic() - began >= 2 * RESTS


def test_what_changes_while_a_child_waits_holds_for_its_request(installation):
    with installation.service("checks=1") as process:
        ready_children(process, 1)
        installation.policy("rules:\n  - users: ['nobody']\n")
        with pytest.raises(DenialError) as caught:
            request_signature(installation.plan(), installation.paths)
        assert caught.value.code == "policy.user"


def test_children_that_wait_end_with_the_service(installation):
    with installation.service("checks=2") as process:
        waiting = ready_children(process, 2)
        process.kill()
        for pid in waiting:
            with suppress(ProcessLookupError):
                ending = os.pidfd_open(pid)
                assert select.select([ending], [], [], BOUND)[0]
                os.close(ending)
        process.returncode = process.wait() and 0
