"""A real installation below a directory that every user can reach, and the real service on it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import pytest

from datacrumbs.elf.build_id import file_build_id
from datacrumbs.install.step import performed
from datacrumbs.install.steps import install
from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Provenance, Role, Snippet, Target
from datacrumbs.probefile.codec import encode, snippet_digest
from datacrumbs.signer.places import probe_places
from datacrumbs.signer.snippets import TrustedSnippet, write_trusted
from datacrumbs.system import SystemPaths

SOURCE = "int first(void) { return 1; }\nint second(void) { return first() + 1; }\n"
TEXT = "/* one field */\n/* SPDX-License-Identifier: GPL-2.0-only */\n"

# The command, with other limits.
SERVICE = """
import functools, sys
from pathlib import Path
from datacrumbs.commands import _signing
from datacrumbs.commands._main import guarded
from datacrumbs.secure import user_rights
from datacrumbs.serving import caller, reception, server
from datacrumbs.signer.service import Service
from datacrumbs.serving.shares import Limits
user_rights.SUBORDINATE_IDS = Path({subordinates!r})
{before}
_signing.Service = functools.partial(Service, limits=Limits({limits}))
sys.exit(guarded(lambda: _signing.{serve}))
"""


class SigningInstallation:
    """An installation with a policy for everybody and one trusted snippet."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.paths = SystemPaths(directory / "prefix")
        self.paths.prefix.mkdir()
        list(performed(install(self.paths, "all"), dry_run=False))
        self.trust(TEXT)
        self.library = directory / "libtwo.so"
        self.build(SOURCE)
        self.log = directory / "log"
        self.subordinates = directory / "subuid"

    def build(self, source: str) -> None:
        path = self.directory / "two.c"
        path.write_text(source)
        # Without start files and calls through the linker's table: all that is in it is called.
        flags = ["-shared", "-fPIC", "-nostartfiles", "-Wl,-Bsymbolic,--build-id=sha1"]
        subprocess.run(["cc", *flags, "-o", str(self.library), str(path)], check=True)

    def trust(self, text: str) -> None:
        digest = snippet_digest(text)
        entry = TrustedSnippet("posix", "datacrumbs-posix", "0.1.0", "one.bpf.c", digest)
        write_trusted(self.paths.trusted_snippets, [entry])

    def policy(self, text: str) -> None:
        self.paths.policy.write_text(text)

    def target(self, path: Path | None = None) -> Target:
        path = path or self.library
        return Target(str(path.resolve()), file_build_id(path))

    def offsets(self) -> list[int]:
        with self.library.open("rb") as stream:
            return sorted(probe_places(stream).functions)

    def plan(self, **changes: object) -> Plan:
        functions = tuple(Function(f"f{offset}", f"f{offset}", "POSIX", offset=offset) for offset in self.offsets()[:2])
        functions = (replace(functions[0], snippet="one"), functions[1])
        snippet = Snippet(name="one", provider="posix", text=TEXT, fields=(Argument(0, "count", "size_t", Role.COUNT),))
        plan = Plan(
            (Provenance("posix", "datacrumbs-posix", "0.1.0", "libc", 40),),
            (Group("posix", "libc", Attach.UPROBE, self.target(), functions),),
            (snippet,),
        )
        return replace(plan, **changes)

    def plan_bytes(self) -> bytes:
        return encode(self.plan())

    def plan_of(self, target: Target, offset: int | None = None) -> Plan:
        function = Function("f", "f", "POSIX", offset=offset or self.offsets()[0])
        return self.plan(groups=(Group("posix", "libc", Attach.UPROBE, target, (function,)),), snippets=())

    @contextmanager
    def service(self, limits: str = "", before: str = "", serve: str = "serve(Path({!r}))"):
        places = {"serve": serve.format(str(self.paths.prefix)), "subordinates": str(self.subordinates)}
        code = SERVICE.format(limits=limits, before=before, **places)
        with (
            self.log.open("ab") as log,
            subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process,
        ):
            first = process.stderr.readline()
            assert "ready on" in first, first + process.stderr.read()
            # Into a file, so that a full pipe never stops the service.
            copier = subprocess.Popen(["cat"], stdin=process.stderr, stdout=log)
            try:
                yield process
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(300)
                copier.wait(300)
        assert process.returncode == 0

    def decisions(self) -> str:
        """What the service has logged; complete once it has ended."""
        return self.log.read_text()

    def decided(self) -> Counter[str]:
        """How often the service decided what, by code or outcome, those left out included."""
        found: Counter[str] = Counter()
        for text in self.decisions().splitlines():
            if text.startswith("datacrumbs.signer: {"):
                decision = json.loads(text.partition(": ")[2])
                found[decision["code"] or decision["decision"]] += 1
                found.update(decision.get("left_out", {}))
        return found


@pytest.fixture
def installation():
    # pytest's own directories are closed to other users.
    directory = Path(tempfile.mkdtemp(prefix="datacrumbs-test-"))
    directory.chmod(0o755)
    try:
        yield SigningInstallation(directory)
    finally:
        rmtree(directory)
