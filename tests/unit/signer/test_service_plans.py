"""The service signs checked plans only, never strings, and no file name reaches a shell.

Nor may run ids and links under world-writable directories do harm; those are the daemon's tests.
"""

from __future__ import annotations

import ast
import json
import socket
from pathlib import Path

import pytest

import datacrumbs
from datacrumbs.errors import DatacrumbsError
from datacrumbs.probefile.storage import write_probe_file
from datacrumbs.serving.denial import DenialError
from datacrumbs.serving.protocol import LENGTH
from datacrumbs.signer.signing_client import request_signature

NASTY = ["$(touch {mark})", "`touch {mark}`", "a;touch {mark}", "a\ntouch {mark}", "|touch {mark}", "-rf", "a b'\"c"]
AS_ROOT = ["engine", "daemon", "signer", "trace", "probefile"]


def test_a_string_is_not_signed(installation):
    with installation.service(), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(installation.paths.signing_socket))
        body = json.dumps({"version": 1, "request": "sign", "plan": "any string"}).encode()
        connection.sendall(LENGTH.pack(len(body)) + body)
        reply = connection.makefile("rb").read()
    assert b'"status":"refused"' in reply
    assert b"probe_file" not in reply


def test_a_programs_name_means_nothing(installation):
    # The plan decides, not the caller's executable: an untrusted snippet is refused to any program.
    installation.trust("another text")
    with installation.service(), pytest.raises(DenialError, match="is not trusted on this host"):
        request_signature(installation.plan(), installation.paths)


@pytest.mark.parametrize("name", NASTY)
def test_a_file_name_never_reaches_a_shell(installation, name):
    mark = installation.directory / "mark"
    # A slash ends a name, so the mark is made relative to the service's directory too.
    nasty = name.format(mark="mark")
    library = installation.directory / nasty
    installation.library.rename(library)
    installation.library = library
    with installation.service():
        try:
            data = request_signature(installation.plan(), installation.paths)
        except DatacrumbsError as error:
            assert "\n" in nasty
            assert error.message.isprintable()  # noqa: PT017
        else:
            write_probe_file(installation.directory / f"{nasty}.gz", data)
    assert not mark.exists()
    assert not Path("mark").exists()
    assert not Path("/mark").exists()
    for line in installation.decisions().splitlines():
        assert line.isprintable()


def test_what_runs_as_root_starts_no_shell():
    root = Path(datacrumbs.__file__).parent
    for stage in AS_ROOT:
        for path in (root / stage).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    called = ast.unparse(node.func)
                    assert called not in {"os.system", "os.popen", "subprocess.getoutput"}, path
                    assert not any(keyword.arg == "shell" for keyword in node.keywords), path
    for unit in (root.parent / "systemd").glob("*.service"):
        assert "sh -c" not in unit.read_text()
