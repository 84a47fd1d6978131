from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from datacrumbs.elf.build_id import file_build_id
from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Provenance, Result, Role, Snippet, Target
from datacrumbs.probefile.codec import encode
from datacrumbs.probefile.envelope import Grant, seal
from datacrumbs.probefile.keys import key_file_name, public_key_pem

NOW = 1_700_000_000


def small_plan() -> Plan:
    library = str(Path("/lib/x86_64-linux-gnu/libc.so.6").resolve())
    if not Path(library).exists():
        library = str(Path("/bin/sh").resolve())
    functions = (
        Function(
            "readv",
            "readv",
            "POSIX",
            offset=64,
            aliases=("__readv",),
            arguments=(Argument(0, "fd", "int", Role.FD, 4),),
            result=Result.BYTES,
            snippet="vector",
        ),
        Function("write", "write", "POSIX", offset=128, result=Result.BYTES),
    )
    snippet = Snippet(
        name="vector",
        provider="posix",
        text="/* bytes of an iovec */\n/* SPDX-License-Identifier: GPL-2.0-only */\nint x;\n",
        fields=(Argument(0, "count", "size_t", Role.COUNT, 8, signed=False),),
    )
    kernel = Group(
        "sys",
        "system calls",
        Attach.SYSCALL,
        Target("", os.uname().release),
        (Function("open", "openat", "POSIX", offset=257, result=Result.FD),),
    )
    return Plan(
        providers=(
            Provenance("posix", "datacrumbs-posix", "0.1.0", "libc", 40),
            Provenance("sys", "datacrumbs-sys", "0.1.0", "system calls", 50),
        ),
        groups=(Group("posix", "libc", Attach.UPROBE, Target(library, file_build_id(library)), functions), kernel),
        snippets=(snippet,),
    )


class Bench:
    """A key, a trust directory and a probe file signed with the key."""

    def __init__(self, directory: Path) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.trust = directory / "trust"
        self.trust.mkdir(mode=0o755)
        self.path = directory / "probes.json.gz"
        self.plan = small_plan()
        self.grant = Grant(1000, "ada", "login1", NOW, NOW + 3600)
        self.key_file.write_bytes(public_key_pem(self.key.public_key()))
        self.key_file.chmod(0o644)
        self.write()

    @property
    def key_file(self) -> Path:
        return self.trust / key_file_name(self.key.public_key())

    def write(self, **changes: object) -> bytes:
        data = seal(encode(self.plan), replace(self.grant, **changes), self.key)
        self.path.write_bytes(data)
        return data


@pytest.fixture
def plan() -> Plan:
    return small_plan()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def now() -> float:
    return float(NOW)
