"""The workload under the real engine: calls, failures, bytes and files, exactly."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import datacrumbs_posix
import numpy as np
import pytest

from datacrumbs import client
from datacrumbs.engine.engine import Engine, Marks
from datacrumbs.engine.ring import Rings
from datacrumbs.model.plan import Group, Plan
from datacrumbs.model.record import FIRST_KIND, CallFlag
from datacrumbs.probefile.targets import OpenTargets
from datacrumbs.provider import Host, Result, Role
from datacrumbs.system import SystemConfiguration

pytestmark = pytest.mark.kernel

WORKLOAD = Path(__file__).parents[1] / "workload"


@dataclass(frozen=True)
class Capture:
    """One traced run of the workload, from its first call on."""

    table: dict
    label: str
    functions: tuple
    calls: np.ndarray
    names: dict

    def of(self, name):
        identities = [index for index, function in enumerate(self.functions) if function.name == name]
        return self.calls[np.isin(self.calls["function"], identities)]

    def files(self, name):
        found = {self.names[int(call["file"])].text for call in self.of(name) if call["file"]}
        return {Path(text).name for text in found}

    def row(self, name):
        calls = self.of(name)
        failed = int((calls["flags"] & CallFlag.FAILED != 0).sum())
        return {"count": len(calls), "errors": failed, "bytes": sum(self.moved(call) for call in calls)}

    def moved(self, call):
        function = self.functions[call["function"]]
        if call["flags"] & CallFlag.FAILED:
            return 0
        if function.result is Result.BYTES:
            return int(call["result"])
        if function.result is Result.ITEMS:
            [slot] = [slot for slot, argument in enumerate(function.arguments) if argument.role is Role.SIZE]
            return int(call["result"]) * int(call["values"][slot])
        return int(call["values"][-1]) if function.result is Result.NEGATIVE else 0


def compose(program):
    host = Host(os.uname().release, os.uname().machine, {"PATH": os.defpath}, program)
    [target] = datacrumbs_posix.datacrumbs_targets(host, {})
    functions = datacrumbs_posix.datacrumbs_functions(target, {})
    used = {function.snippet for function in functions}
    given = datacrumbs_posix.datacrumbs_snippets()
    snippets = tuple(replace(snippet, provider="posix") for snippet in given if snippet.name in used)
    return Plan((), (Group("posix", "libc", target.attach, target.target, functions),), snippets), target.label


def drain(engine):
    rings, calls, names = Rings(engine.ring_maps), [], {}
    while True:
        batch = rings.poll()
        names.update({name.identity: name for name in batch.names})
        if not len(batch.calls):
            return np.concatenate(calls), names
        calls.append(batch.calls)


@pytest.fixture(scope="module", params=["workload.json", "workload-musl.json"])
def capture(request, tmp_path_factory):
    table = json.loads((WORKLOAD / request.param).read_text(encoding="utf-8"))
    folder = tmp_path_factory.mktemp("capture")
    room = folder / "room"
    room.mkdir()
    program = folder / "workload"
    subprocess.run([part.replace("{out}", str(program)) for part in table["build"]], check=True, cwd=WORKLOAD)
    plan, label = compose(program)
    engine = Engine.load(plan, SystemConfiguration(trace_log_dir=folder), Marks(os.getuid()), folder)
    try:
        with OpenTargets(plan) as targets:
            report = engine.attach(targets, [client.client_library(), client.launcher()])
        assert report.failures == ()
        with subprocess.Popen([client.launcher(), program, room], stdout=subprocess.DEVNULL) as running:
            assert running.wait(300) == 0
        calls, names = drain(engine)
    finally:
        engine.close()
    # The process is the launcher's, which becomes the workload; its first call of all is chdir.
    calls = calls[(calls["process"] == running.pid) & (calls["function"] < FIRST_KIND)]
    first = min(call["start"] for call in calls if plan.functions[call["function"]].name == "chdir")
    return Capture(table, label, plan.functions, calls[calls["start"] >= first], names)


def test_calls_failures_and_bytes_are_exact(capture):
    expected = capture.table["counts"]
    assert {name: capture.row(name) for name in expected} == expected


def test_shared_functions_have_the_programs_calls_and_the_librarys(capture):
    inside = capture.table["inside"].get(capture.label)
    for name, own in capture.table["shared"].items():
        row = capture.row(name)
        assert all(row[key] >= own[key] for key in own), name
        if inside is not None:
            added = inside.get(name, dict.fromkeys(own, 0))
            assert row == {key: own[key] + added[key] for key in own}, name


def test_every_call_returned(capture):
    assert Counter((capture.calls["flags"] & CallFlag.RETURNED != 0).tolist()) == {True: len(capture.calls)}


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("pwrite", {"file"}),
        ("pwritev", {"file"}),
        ("sendfile", {"file"}),
        ("fread", {"stream"}),
        ("fputc", {"stream"}),
        ("fseeko", {"stream"}),
        ("getchar", {"file"}),
        ("printf", {"null"}),
        ("dprintf", {"file"}),
        ("opendir", {"", "absent"}),
        ("symlink", {"pointing"}),
        ("rename", {"second", "absent"}),
        ("dup2", {"file"}),
        ("creat", {"created"}),
        ("stat", {"file", "absent"}),
    ],
)
def test_files_are_known(capture, name, files):
    assert capture.files(name) == files


def test_streams_that_popen_made_are_known_by_their_pipe(capture):
    assert {name.partition(":")[0] for name in capture.files("pclose")} == {"pipe"}


@pytest.mark.parametrize("name", ["readv", "writev", "preadv", "pwritev", "vmsplice", "recvmsg"])
def test_vectors_tell_how_much_was_asked_for(capture, name):
    assert set(capture.of(name)["values"][:, -1].tolist()) == {23}
