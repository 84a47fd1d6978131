"""What strangers' bytes reach: for each door some valid inputs to start from, and what is done with an input.

A door may answer with a `DatacrumbsError`. Anything else is a finding: another exception, a hang, memory without
bound, or an answer that breaks what the code after it relies on.
"""

from __future__ import annotations

import atexit
import contextlib
import gzip
import importlib.util
import io
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import zlib
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from datacrumbs.commands.report import COMMAND
from datacrumbs.configure.site import default_site_file, read_site_file
from datacrumbs.daemon.channel import Channel, Gone
from datacrumbs.daemon.messages import FROM_FINDER, FROM_WRITER, Again, Failed, Found, Full, Unseen, Written
from datacrumbs.daemon.unit import environment_file, read_instance
from datacrumbs.elf.build_id import stream_build_id
from datacrumbs.elf.dwarf import function_arguments
from datacrumbs.elf.functions import elf_functions
from datacrumbs.elf.usdt import usdt_probes
from datacrumbs.errors import DatacrumbsError
from datacrumbs.jobs.metadata import comment_with, probe_file_of_comment
from datacrumbs.model.plan import Argument, Attach, Function, Group, Plan, Provenance, Role, Snippet, Target
from datacrumbs.probefile.codec import decode, encode, parse, plan_from_document
from datacrumbs.probefile.envelope import Grant, open_envelope, read_payload, seal
from datacrumbs.probefile.revocation import FILE_NAME, read_revocations
from datacrumbs.runs.run_order import RUN_ID, _parsed
from datacrumbs.runs.run_policy import read_run_policy
from datacrumbs.serving.decisions import Decision, line
from datacrumbs.serving.denial import DenialError
from datacrumbs.serving.protocol import frame
from datacrumbs.signer.authority import check_schema
from datacrumbs.signer.places import probe_places
from datacrumbs.signer.policy import read_policy
from datacrumbs.signer.request import request_plan
from datacrumbs.signer.snippets import read_trusted
from datacrumbs.signer.target_check import judged
from datacrumbs.signer.target_rule import no_places
from datacrumbs.system import SystemPaths, read_system_configuration
from datacrumbs.trace.columns import Readers
from datacrumbs.trace.dataframes import pl
from datacrumbs.trace.file_names import FileNames
from datacrumbs.trace.json_lines import SCHEMA, call_columns, parse_lines
from datacrumbs.trace.last_line import footer_of
from datacrumbs.trace.members import TraceText

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

_READERS = Readers()

TESTS = Path(__file__).resolve().parents[1]
_DIRECTORY = Path(tempfile.mkdtemp(prefix="datacrumbs-fuzz-"))
atexit.register(shutil.rmtree, _DIRECTORY, ignore_errors=True)
_SOURCE = """
#include <sys/sdt.h>
static unsigned short armed __attribute__((section(".probes")));
int first(int a, const char *b) { DTRACE_PROBE2(fuzz, one, a, b); return a + armed; }
long second(long a) { return first((int)a, "x") * a; }
"""


@dataclass(frozen=True, slots=True)
class Door:
    """One place where bytes come in.

    Args:
        seeds: Gives valid inputs.
        feed: Takes any bytes; raises `DatacrumbsError` or nothing.
        longest: Bytes of an input; longer ones find nothing more and take longer.
        together: How many inputs may be fed at once, a line end between them, where each is lines of one file.
    """

    seeds: Callable[[], list[bytes]]
    feed: Callable[[bytes], object]
    longest: int = 8192
    together: int = 1


def small_plan() -> Plan:
    """A plan with something of everything."""
    arguments = (Argument(0, "fd", "int", Role.FD, 4), Argument(1, "path", "const char *", Role.PATH))
    snippet = Snippet(
        name="one",
        provider="posix",
        text="/* SPDX-License-Identifier: MIT */\n",
        fields=(Argument(0, "n", "size_t", Role.COUNT),),
    )
    functions = (
        Function("read", "read", "POSIX", offset=64, arguments=arguments[:1], aliases=("__read",), snippet="one"),
        Function("open", "open", "POSIX", offset=128, arguments=arguments),
    )
    kernel = Group(
        "sys", "calls", Attach.SYSCALL, Target("", "6.1.0"), (Function("close", "close", "POSIX", offset=3),)
    )
    return Plan(
        (
            Provenance("posix", "datacrumbs-posix", "0.1.0", "libc", 40),
            Provenance("sys", "datacrumbs-sys", "1", "k", 50),
        ),
        (Group("posix", "libc", Attach.UPROBE, Target("/lib/libc.so.6", "a" * 40), functions), kernel),
        (snippet,),
    )


def _sealed() -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    return seal(encode(small_plan()), Grant(1000, "ada", "login1", 1, 2), key)


def _probe_file(data: bytes) -> None:
    # What the mutations of compressed bytes would never reach is reached by compressing them here.
    for content in (data, gzip.compress(data, 1, mtime=0)):
        try:
            read_payload(open_envelope(content, "fuzz"), "fuzz")
        except DatacrumbsError:
            continue


def _plan(data: bytes) -> None:
    plan = plan_from_document(parse(data, "plan"))
    again = encode(plan)
    assert decode(again) == plan
    assert encode(decode(again)) == again


def _request(data: bytes) -> None:
    try:
        document = request_plan(data)
        if document is not None:
            check_schema(document)
    except DenialError as error:
        frame({"message": error.message, "hint": error.hint})  # the reply carries it
        line(Decision("refused", error.code, None, reason=error.message))  # and the log


def _request_seeds() -> list[bytes]:
    plan = encode(small_plan())
    return [b'{"version":1,"request":"sign","plan":%b}' % plan, b'{"version":1,"request":"status"}', b"{}"]


# An input goes to one of several readers, the same one each time.
def _one_of(readers: Sequence[T], data: bytes) -> T:
    return readers[zlib.crc32(data) % len(readers)]


# A request to the service of runs, as its child takes it apart.
def _run_request(data: bytes) -> None:
    with contextlib.suppress(DenialError):
        order = _parsed(data)
        assert order.run == "" or RUN_ID.fullmatch(order.run)
        assert order.options.label.isprintable()


def _run_request_seeds() -> list[bytes]:
    options = b'{"mode":"profile","milliseconds":9,"bytes":7,"label":"dd"}'
    run = b"run-20260101T000000-0123456789abcdef"
    return [
        b'{"version":1,"request":"start","probe_file":"AAAA","options":%b}' % options,
        b'{"version":1,"request":"stop","run":"%b"}' % run,
        b'{"version":1,"request":"claim","run":"%b"}' % run,
        b'{"version":1,"request":"allowed"}',
    ]


# The comment of a job, which what starts daemons on compute nodes reads as root.
def _comment(data: bytes) -> None:
    text = os.fsdecode(data)
    path = probe_file_of_comment(text)
    assert not path or (path.startswith("/") and "\n" not in path)
    assert probe_file_of_comment(comment_with("/a b", text)) == "/a b"


def _comment_seeds() -> list[bytes]:
    return [
        b'{"datacrumbs":{"enable":"yes","probe_file":"/path/to/probes.json.gz"}}',
        b'{"comment":"mine","datacrumbs":{"enable":"no"}}',
        b'{"datacrumbs":{"composite":"x"}}',
        b"my own words",
    ]


# What a process of the user's says to the one that traces.
def _message(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours, (*FROM_WRITER, *FROM_FINDER), 1 << 16, takes_descriptors=True)
    try:
        theirs.sendall(data)
        theirs.close()
        while channel.receive() is not None:
            pass
    except Gone:
        pass
    finally:
        channel.close()
        theirs.close()


def _message_seeds() -> list[bytes]:
    messages = [
        Failed("m", "h"), Full(), Written(1, 1, 0, balanced=True), Again("00" * 24), Unseen(1, "r"),
        Found(1, 2, "00", "a" * 40),
    ]  # fmt: skip
    frames = []
    for each in messages:
        text = json.dumps([type(each).__name__, asdict(each)]).encode()
        frames.append(struct.pack("<II", len(text), 0) + text)
    return [*frames, b"".join(frames)]


# The end of a user's trace, which root's list of runs looks at.
def _last_line(data: bytes) -> None:
    for content in (data, gzip.compress(data, 1, mtime=0)):
        footer = footer_of(_write(_DIRECTORY / "last.pfw.gz", content))
        assert footer is None or all(isinstance(value, int) for value in footer.values())


def _last_line_seeds() -> list[bytes]:
    footer = b'{"name":"datacrumbs_footer","cat":"dftracer","ph":"M","args":{"entered":7,"host":"x"}}\n]\n'
    return [footer, gzip.compress(b"[\n") + gzip.compress(footer)]


def _yaml(data: bytes) -> None:
    paths = SystemPaths(_DIRECTORY)
    readers: list[tuple[Path, Callable[[], object]]] = [
        (_DIRECTORY / "site.yaml", lambda: read_site_file(_DIRECTORY / "site.yaml")),
        (paths.policy, lambda: read_policy(paths.policy)),
        (paths.policy, lambda: read_run_policy(paths.policy)),
        (paths.trusted_snippets, lambda: read_trusted(paths.trusted_snippets)),
        (paths.trusted_keys / FILE_NAME, lambda: read_revocations(paths.trusted_keys)),
        (paths.system_file, lambda: read_system_configuration(paths)),
    ]
    path, read = _one_of(readers, data)
    _write(path, data)
    read()


def _yaml_seeds() -> list[bytes]:
    return [
        default_site_file().read_bytes(),
        b"capture_probes:\n  - name: a\n    probe: uprobe\n    type: binary\n    file: /bin/ls\n    regex: '^f.*'\n",
        b"rules:\n  - users: ['*']\n    providers: [sys]\n    max_functions: 5\n    grant_days: 1\n",
        b"runs_at_once: 2\nruns:\n  - {groups: [a], modes: [profile], at_once: 1, duration: 1h, size: 1G, total: 9G}\n",
        b"keys: [" + b"a" * 64 + b"]\ngrants: {1000: 5}\n",
        b"snippets:\n  - {provider: a, distribution: b, version: '1', file: c, sha256: d}\n",
        b"trace_log_dir: /x\ncall_ring_mib: 64\nflush_seconds: 0.5\n",
        b"a: &a [1, 2]\nb: *a\nc: !!int 3\nd: 2001-01-01\n",
        b"keys: []\nkeys: []\n? [a]\n: 1\n<<: {a: 1}\n",
        b"rules: " + b"[{a: " * 1000,
    ]


def _environment(data: bytes) -> None:
    _write(environment_file(_DIRECTORY, "1"), data)
    instance = read_instance(_DIRECTORY, "1")
    assert instance.probes.is_absolute()
    assert b"\n" not in os.fsencode(instance.probes)


def _elf_seeds() -> list[bytes]:
    source, made = _DIRECTORY / "seed.c", _DIRECTORY / "seed.so"
    source.write_text(_SOURCE)
    seeds = []
    for flags in (["-O1"], ["-O0", "-g"], ["-O1", "-Wl,--strip-all", "-Wl,--build-id=none"]):
        subprocess.run(["cc", "-shared", "-fPIC", "-nostdlib", *flags, "-o", made, source], check=True)
        seeds.append(made.read_bytes())
    return seeds


# As the signing service reads a caller's file, without the process of its own that it does this in.
def _elf(data: bytes) -> None:
    path = _write(_DIRECTORY / "target", data)
    functions = _seed_functions()
    with path.open("rb") as stream:
        target = Target(str(path), stream_build_id(stream, "fuzz"))
        moved = [(offset, 4, [0]) for offset in functions[::2]]
        judged(stream, target, no_places(target) | {"functions": functions, "returns": functions, "moved": moved})


@cache
def _seed_functions() -> list[int]:
    path = _write(_DIRECTORY / "seed-target", _elf_seeds()[0])
    with path.open("rb") as stream:
        return sorted(probe_places(stream).functions)[:4]


# As the configurator reads every library that it finds, for its user.
def _discovery(data: bytes) -> None:
    path = _write(_DIRECTORY / f"library-{os.urandom(6).hex()}", data)
    readers: list[Callable[[Path], object]] = [elf_functions, usdt_probes, function_arguments]
    try:
        _one_of(readers, data)(path)
    finally:
        path.unlink()


# The bytes of the file: what is text of a trace after that, `_trace` feeds.
def _trace_file(data: bytes) -> None:
    path = _write(_DIRECTORY / "t.pfw.gz", data)
    for chunk in TraceText(path).chunks():
        assert chunk.endswith(b"\n")
    if zlib.crc32(data) % 64 == 0:
        _report(path)


def _report(path: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert COMMAND.run([os.fspath(path), "--json"]) == 0
    assert json.loads(printed.getvalue())["traces"]


def _trace(data: bytes) -> None:
    _report(_write(_DIRECTORY / "t.pfw.gz", gzip.compress(data, 1, mtime=0)))


# Names of files likewise: of each hash the first one.
def _file_names(text: bytes) -> None:
    names, _, frame, skipped = FileNames().parse(text, SCHEMA)
    whole, left = parse_lines(text)
    assert skipped == left
    assert {**_named(frame), **dict(names.cast(pl.String).rows())} == _named(whole)


def _named(frame: pl.DataFrame) -> dict[str, str]:
    arguments = pl.col("args").struct
    files = frame.filter((pl.col("ph") == "M") & (pl.col("name") == "FH"))
    rows = files.select(arguments.field("value"), arguments.field("name").alias("path")).drop_nulls().rows()
    return dict(reversed(rows))


# What the library takes of a text is what the reader of all of JSON takes.
def _calls(data: bytes) -> None:
    text = data.rstrip(b"\n") + b"\n"
    _file_names(text)
    part = _READERS.part([text])
    if part.calls is None:
        return
    frame, skipped = parse_lines(text)
    calls = _READERS.functions.numbered(call_columns(frame.filter(pl.col("ph") == "X")))
    assert part.calls.cast(calls.schema).equals(calls)
    others, left = parse_lines(part.text)
    assert others.equals(frame.filter(pl.col("ph").ne_missing("X")))  # a line of nothing that is known has none
    assert left == skipped


def _trace_lines() -> list[bytes]:
    path = TESTS / "readers/synthetic.py"
    specification = importlib.util.spec_from_file_location("datacrumbs_fuzz_synthetic", path)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    data = module.trace_bytes(1)
    return list(gzip.decompress(data).splitlines(keepends=True))


# One of each kind of line, so that inputs stay short.
def _trace_seeds() -> list[bytes]:
    kinds = {json.loads(line)["name"]: line for line in _trace_lines() if line.startswith(b"{")}
    return [b"[\n" + b"".join(kinds.values()) + b"]\n", *kinds.values()]


def _trace_file_seeds() -> list[bytes]:
    return [gzip.compress(b"[\n" + b"".join(_trace_lines()[1:40]), mtime=0)]


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


DOORS = {
    "probe-file": Door(lambda: [_sealed(), gzip.decompress(_sealed())], _probe_file),
    "plan": Door(lambda: [encode(small_plan())], _plan, 4096),
    "request": Door(_request_seeds, _request, 4096),
    "run-request": Door(_run_request_seeds, _run_request, 2048),
    "comment": Door(_comment_seeds, _comment, 1024),
    "message": Door(_message_seeds, _message, 2048),
    "last-line": Door(_last_line_seeds, _last_line, 4096),
    "yaml": Door(_yaml_seeds, _yaml, 1024),
    "environment": Door(lambda: [b"PROBE_FILE=/a b\nUSER=root\nRUN_ID=1\nMODE=profile\n# x\n"], _environment, 512),
    "elf": Door(_elf_seeds, _elf, 32768),
    "discovery": Door(_elf_seeds, _discovery, 32768),
    "calls": Door(_trace_seeds, _calls, 2048),
    "trace-file": Door(_trace_file_seeds, _trace_file, 4096),
    "trace": Door(_trace_seeds, _trace, 16384, together=64),
}
