"""Bad input through the real commands: exit code, a message that says where and how to fix, nothing left behind."""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.testing import Installation, read_lines

from ..waiting import until  # noqa: TID252 - a helper of all tests
from .conftest import COMMANDS, SITE
from .workloads import accounted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.kernel

FAILED, USAGE, REFUSED = 1, 2, 3
BINARY = "capture_probes:\n  - name: mine\n    probe: uprobe\n    type: binary\n    file: {file}\n    regex: {regex}\n"
# A user without rights, who may read the checkout wherever it lies.
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
NOBODY += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]


@pytest.fixture
def new_place(place: Installation) -> Installation:
    """A place that has kept no compiled program."""
    shutil.rmtree(place.prefix / "var/lib/datacrumbs/programs", ignore_errors=True)
    return place


def configure(place: Installation, text: str) -> Path:
    file = place.prefix / "etc/datacrumbs/datacrumbs.yaml"
    file.write_text(text)
    return file


def files_below(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir())


def check(done: subprocess.CompletedProcess[str], status: int, *words: str, hint: str = "") -> None:
    """The exit status; the words and the hint in the message; no traceback; nothing on stdout."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    if hint:
        assert "hint: " in done.stderr
        assert hint in done.stderr.partition("hint: ")[2]


def check_no_run(place: Installation) -> None:
    """Neither a lock nor a ready file nor a trace."""
    run = place.prefix / "run/datacrumbs"
    assert not run.exists() or not list(run.glob("datacrumbs-*"))
    assert files_below(place.prefix / "var/log/datacrumbs") == []


# --- site files ---------------------------------------------------------------------------------------------------


def compose(place: Installation, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Configure; whatever happens, a failure leaves no file."""
    work = place.prefix / "work"
    work.mkdir(exist_ok=True)
    site = work / "site.yaml"
    site.write_text(text)
    before = files_below(work)
    done = place.command("datacrumbs_probe_configurator", site, work / "out.json.gz", *options)
    assert done.returncode == 0 or files_below(work) == before
    return done


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("capture_probes:\n  - provider: sys\n    preeset: data\n", "yaml:3: capture_probes[0].preeset: unknown key"),
        ("capture_probe: []\n", "site.yaml:1: capture_probe: unknown key; did you mean 'capture_probes'?"),
        ("capture_probes:\n  - provider: sys\n    preset: [1]\n", "yaml:3: capture_probes[0].preset: a list is not"),
        ("capture_probes: 7\n", "site.yaml:1: capture_probes: 7 is not a list"),
        ("# nothing\n", "site.yaml"),
        ("capture_probes: [\n", "site.yaml:2: not valid YAML"),
        (SITE + "filters:\n  minimum_duration: soon\n", "site.yaml:5: filters.minimum_duration: "),
        (BINARY.format(file="/bin/dd", regex="'(('"), "yaml:6: capture_probes[0].regex: not a valid regular"),
        (BINARY.format(file="/no/such.so", regex=".*"), "yaml:5: capture_probes[0].file: /no/such.so: no such"),
        (BINARY.format(file="/etc/passwd", regex=".*"), "site.yaml:5: capture_probes[0].file: /etc/passwd: not a"),
    ],
    ids=[
        "unknown-key", "unknown-top-key", "wrong-type", "wrong-top-type", "empty", "no-yaml", "no-duration", "regex",
        "missing-file", "no-elf",
    ],
)  # fmt: skip
def test_site_file(place: Installation, text: str, words: str) -> None:
    done = compose(place, text)
    check(done, USAGE, words)
    assert "expected" in done.stderr or "hint: " in done.stderr


@pytest.mark.parametrize("size", [0, 4, 40, 700], ids=lambda size: f"{size}-bytes")
def test_torn_elf_file(place: Installation, size: int) -> None:
    library = place.prefix / "torn.so"
    library.write_bytes(Path("/usr/bin/dd").resolve().read_bytes()[:size])
    done = compose(place, BINARY.format(file=library, regex=".*"))
    check(done, USAGE, f"site.yaml:5: capture_probes[0].file: {library}: ", hint="name a program or a shared library")


def test_no_function_matches(place: Installation) -> None:
    done = compose(place, BINARY.format(file="/usr/bin/env", regex="no_such_function"))
    check(done, USAGE, "no function to probe is left", "site.yaml:2: capture_probes[0] (mine)", hint="--list")


def test_missing_site_file(place: Installation) -> None:
    done = place.command("datacrumbs_probe_configurator", place.prefix / "no.yaml", place.prefix / "out.json.gz")
    check(done, USAGE, "no.yaml: no such site file", hint="path of a YAML file")
    assert not (place.prefix / "out.json.gz").exists()


def test_signing_service_is_not_running(place: Installation) -> None:
    check(compose(place, SITE), FAILED, "sign.sock: the signing service is not running", hint="datacrumbs_sign_probes")


def test_output_where_the_user_may_not_write(installation: Installation, place: Installation) -> None:
    site = place.prefix / "site.yaml"
    site.write_text(SITE)
    done = as_nobody(
        "datacrumbs_probe_configurator", "--prefix", installation.prefix, site, place.prefix / "out.json.gz"
    )
    check(done, FAILED, "out.json.gz: cannot be written: Permission denied; nothing was written")
    assert not list(place.prefix.glob("*out.json*"))


# --- probe files --------------------------------------------------------------------------------------------------


def trace_with(
    place: Installation, probes: Path, *arguments: str, **options: object
) -> subprocess.CompletedProcess[str]:
    """Start the daemon on what it cannot take."""
    return place.command("datacrumbs", probes, *arguments, timeout=300, **options)


def rewritten(place: Installation, probes: Path, **changes: object) -> Path:
    """A copy whose envelope has other parts."""
    envelope = json.loads(gzip.decompress(probes.read_bytes())) | changes
    copy = place.prefix / "changed.json.gz"
    copy.write_bytes(gzip.compress(json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode(), mtime=0))
    return copy


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.999])
def test_truncated_probe_file(place: Installation, probes: Path, part: float) -> None:
    data = probes.read_bytes()
    torn = place.prefix / "torn.json.gz"
    torn.write_bytes(data[: int(len(data) * part)])
    check(trace_with(place, torn, "run"), REFUSED, "torn.json.gz: cut short", hint="recreate the probe file")
    check_no_run(place)


def test_altered_probe_file(place: Installation, probes: Path) -> None:
    payload = base64.b64decode(json.loads(gzip.decompress(probes.read_bytes()))["payload"])
    other = payload.replace(b'"uid":0', b'"uid":1', 1)
    assert other != payload
    altered = rewritten(place, probes, payload=base64.b64encode(other).decode())
    check(
        trace_with(place, altered, "run"),
        REFUSED,
        "changed.json.gz: the signature does not match",
        hint="recreate the probe file",
    )
    check_no_run(place)


def test_unsigned_probe_file(place: Installation, probes: Path) -> None:
    unsigned = rewritten(place, probes, signatures=[])
    check(
        trace_with(place, unsigned, "run"),
        REFUSED,
        "changed.json.gz: not a probe file: its form",
        hint="recreate the probe file",
    )
    check_no_run(place)


def test_key_that_is_not_trusted_here(installation: Installation, probes: Path, tmp_path: Path) -> None:
    other = Installation(tmp_path / "other")
    assert other.command("datacrumbs_setup").returncode == 0
    done = trace_with(other, probes, "run")
    check(done, REFUSED, f"{probes}: ", "key", "not trusted", hint=" ")
    check_no_run(other)


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (None, USAGE, "probes.json.gz: cannot be opened: No such file"),
        (b"{}", REFUSED, "probes.json.gz: not a probe file"),
    ],
    ids=["missing", "text"],
)
def test_no_probe_file(place: Installation, content: bytes | None, status: int, words: str) -> None:
    path = place.prefix / "probes.json.gz"
    if content is not None:
        path.write_bytes(content)
    hint = "give the path of a probe file" if content is None else "recreate the probe file"
    check(trace_with(place, path, "run"), status, words, hint=hint)
    check_no_run(place)


# --- the daemon's own configuration and identity ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# one\ncall_ring: 1\n", "datacrumbs.yaml:2: call_ring: unknown key; did you mean 'call_ring_mib'?"),
        ("# one\ncall_ring_mib: 3\n", "datacrumbs.yaml:2: call_ring_mib: 3 is not a power of two; expected"),
        ("handles: many\n", "datacrumbs.yaml:1: handles: 'many' is not a positive whole number; expected"),
        ("flush_seconds: -1\n", "datacrumbs.yaml:1: flush_seconds: -1 is not a positive number; expected"),
        ("trace_log_dir: traces\n", "datacrumbs.yaml:1: trace_log_dir: 'traces' is not an absolute path; expected"),
        ("trace_pattern: '{nobody}.pfw.gz'\n", "datacrumbs.yaml: trace_pattern: {nobody} is not a field; expected"),
        ("trace_pattern: ../x.pfw.gz\n", "datacrumbs.yaml: trace_pattern: '../x.pfw.gz' is not a path below"),
        ("- 1\n", "datacrumbs.yaml:1: a list is not a mapping; expected"),
        ("handles: [\n", "datacrumbs.yaml:2: not valid YAML"),
    ],
)
def test_system_configuration(place: Installation, probes: Path, text: str, words: str) -> None:
    configure(place, text)
    check(trace_with(place, probes, "run"), USAGE, words)
    check_no_run(place)


@pytest.mark.parametrize("run", ["../up", ".hidden", "a b", "$(id)", "x" * 65, ""])
def test_run_id_that_is_no_plain_name(place: Installation, probes: Path, run: str) -> None:
    check(
        trace_with(place, probes, run),
        USAGE,
        "run id: ",
        "may contain only letters, digits, `.`, `-` and `_`",
        hint="letters, digits",
    )
    check_no_run(place)


def test_a_daemon_runs_under_that_id_already(installation: Installation, probes: Path) -> None:
    with installation.daemon(probes, "twice") as daemon:
        done = trace_with(installation, probes, "twice")
        check(done, FAILED, "already running under the run id 'twice'", hint="give another run id")
        assert daemon.ready.is_file()
        assert daemon.wrap("true").returncode == 0
        trace = daemon.lines()
    assert trace.tally()["execve"] or trace.calls
    assert trace.footer
    assert not list(daemon.ready.parent.glob("datacrumbs-twice*"))


# --- what the host lacks ------------------------------------------------------------------------------------------


def as_nobody(command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a user who is not root."""
    return subprocess.run(
        [*NOBODY, COMMANDS / command, *arguments], capture_output=True, text=True, check=False, cwd="/", timeout=300
    )


def test_daemon_without_root(place: Installation, probes: Path) -> None:
    done = as_nobody("datacrumbs", "--prefix", place.prefix, probes, "run")
    check(done, REFUSED, "tracing needs root", hint="sudo")
    check_no_run(place)


@pytest.mark.parametrize("command", ["datacrumbs_setup", "datacrumbs_sign_probes"])
def test_administration_without_root(command: str) -> None:
    check(as_nobody(command), REFUSED, "root", hint=f"sudo {command}")


def masked(mounts: Sequence[str], *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command where some places of the host are covered, seen by it alone."""
    script = " && ".join([*mounts, 'exec "$@"'])
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *command],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


NO_HEADERS = ["mount -t tmpfs none /lib/modules"]
NO_USABLE_HEADERS = [
    *NO_HEADERS,
    "mkdir -p /lib/modules/$(uname -r)/build",
    "mount -t tmpfs none /mnt",
    "mkdir /mnt/upper /mnt/work",
    "mount -t overlay -o lowerdir=/tmp,upperdir=/mnt/upper,workdir=/mnt/work none /tmp",
    # Where bcc would look next, as somebody else has prepared it.
    "mkdir -p /tmp/kheaders-$(uname -r)/include/linux",
    "touch /tmp/kheaders-$(uname -r)/include/linux/kconfig.h",
]
NO_BTF = ["mount --bind /dev/null /sys/kernel/btf/vmlinux"]


@pytest.mark.parametrize("mounts", [NO_HEADERS, NO_USABLE_HEADERS], ids=["none", "in-tmp"])
def test_no_kernel_headers(new_place: Installation, probes: Path, mounts: Sequence[str]) -> None:
    done = masked(mounts, COMMANDS / "datacrumbs", "--prefix", new_place.prefix, probes, "run")
    check(done, FAILED, f"/lib/modules/{os.uname().release}/build: no kernel headers", hint="linux-headers")
    check_no_run(new_place)


def test_no_kernel_type_information(new_place: Installation, probes: Path) -> None:
    done = masked(NO_BTF, COMMANDS / "datacrumbs", "--prefix", new_place.prefix, probes, "run")
    check(done, FAILED, "/sys/kernel/btf/vmlinux cannot be read", hint="CONFIG_DEBUG_INFO_BTF=y")
    check_no_run(new_place)


@pytest.mark.parametrize(
    ("mounts", "name"),
    [(NO_HEADERS, "kernel headers"), (NO_USABLE_HEADERS, "kernel headers"), (NO_BTF, "kernel BTF")],
    ids=["no-headers", "headers-in-tmp", "no-btf"],
)
def test_doctor_names_what_is_missing(place: Installation, mounts: Sequence[str], name: str) -> None:
    done = masked(mounts, COMMANDS / "datacrumbs_doctor", "--json", "--prefix", place.prefix)
    assert "Traceback" not in done.stderr
    assert done.returncode == FAILED
    document = json.loads(done.stdout)
    (found,) = [entry for entry in document["checks"] if entry["name"] == name]
    assert found["state"] == "missing"
    assert found["fix"]


# --- the trace's place --------------------------------------------------------------------------------------------


def test_trace_directory_is_a_link(place: Installation, probes: Path) -> None:
    traces = place.prefix / "var/log/datacrumbs"
    (place.prefix / "elsewhere").mkdir()
    traces.rmdir()
    traces.symlink_to(place.prefix / "elsewhere")
    check(
        trace_with(place, probes, "run"),
        REFUSED,
        f"{traces}: the trace directory is a symbolic link",
        hint="trace_log_dir",
    )
    assert files_below(place.prefix / "elsewhere") == []
    check_no_run(place)


def test_link_on_the_way_to_the_trace(place: Installation, probes: Path) -> None:
    traces = place.prefix / "var/log/datacrumbs"
    (place.prefix / "elsewhere").mkdir()
    (traces / "root").symlink_to(place.prefix / "elsewhere")
    check(trace_with(place, probes, "run"), REFUSED, "'root' on the way to the trace is a link", hint="remove it")
    assert files_below(place.prefix / "elsewhere") == []


def test_missing_trace_directory(place: Installation, probes: Path) -> None:
    (place.prefix / "var/log/datacrumbs").rmdir()
    check(trace_with(place, probes, "run"), FAILED, "cannot open the trace directory", hint="datacrumbs_setup")
    check_no_run(place)


def test_trace_exists_already(place: Installation, probes: Path) -> None:
    configure(place, "trace_pattern: '{run_id}.pfw.gz'\n")
    trace = place.prefix / "var/log/datacrumbs/run.pfw.gz"
    trace.write_bytes(b"an older trace")
    check(trace_with(place, probes, "run"), FAILED, f"{trace}: the trace exists already", hint="another run id")
    assert trace.read_bytes() == b"an older trace"
    assert not list((place.prefix / "run/datacrumbs").glob("datacrumbs-*"))


@contextmanager
def small_disk(directory: Path, options: str) -> Iterator[Path]:
    """A file system with little room in place of a directory."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def fill(directory: Path) -> None:
    """Take all the room that is left."""
    with suppress(OSError), (directory / "filler").open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))
    assert os.statvfs(directory).f_bfree == 0


@pytest.mark.parametrize("options", ["size=64k", "size=64k,nr_inodes=2"], ids=["no-blocks", "no-inodes"])
def test_trace_directory_is_full_at_the_start(place: Installation, probes: Path, options: str) -> None:
    with small_disk(place.prefix / "var/log/datacrumbs", options) as traces:
        fill(traces)
        done = trace_with(place, probes, "run")
        check(done, FAILED, f"{traces}/root/", "No space left", hint="free space")
        assert files_below(traces) == ["filler"]
    check_no_run(place)


def test_trace_directory_fills_during_a_run(place: Installation, probes: Path) -> None:
    configure(place, "flush_seconds: 0.05\n")
    with small_disk(place.prefix / "var/log/datacrumbs", "size=1m") as traces:
        with place.daemon(probes, "full") as daemon:
            assert daemon.wrap("dd", "if=/dev/zero", "of=/dev/null", "count=101", "status=none").returncode == 0
            wait_for_calls(daemon.trace, 101)
            fill(traces)
            done = daemon.wrap("dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=100003", capture_output=True)
            assert done.returncode == 0
            assert daemon.process.wait(300) == FAILED
        log = daemon.log.read_text()
        assert f"{daemon.trace}" in log
        assert "No space left" in log
        assert "hint: " in log
        assert "Traceback" not in log
        report = plain_command("datacrumbs_report", "--json", daemon.trace)
        document = json.loads(report.stdout)
        trace = read_lines(daemon.trace)
    assert len([call for call in trace.named("write") if call["args"]["ret"] == 512]) == 101
    # The footer is there if the last, half-filled block of the file has room for it; then it counts what is missing.
    assert document["traces"][0]["complete"] is bool(trace.footer)
    if trace.footer:
        assert trace.provenance["ended_by"] == "write error"
        assert trace.footer["lost_unwritten"] > 0
        assert trace.footer["entered"] == trace.footer["lost_unwritten"] + accounted(trace.footer)
    assert not list((place.prefix / "run/datacrumbs").glob("datacrumbs-*"))


def plain_command(command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A command that needs no installation."""
    return subprocess.run([COMMANDS / command, *arguments], capture_output=True, text=True, check=False, timeout=300)


def wait_for_calls(trace: Path, count: int) -> None:
    """Until so many writes of a running trace are in the file."""
    until(lambda: len([call for call in read_lines(trace).named("write") if call["args"]["ret"] == 512]) >= count)


@pytest.mark.parametrize("directory", ["run/datacrumbs", "var/lib/datacrumbs"])
def test_no_room_for_what_the_daemon_keeps(place: Installation, probes: Path, directory: str) -> None:
    target = place.prefix / directory
    target.mkdir(parents=True, exist_ok=True)
    with small_disk(target, "size=64k,nr_inodes=3"):
        fill(target)
        done = trace_with(place, probes, "run")
        check(done, FAILED, f"{target}/", hint="room")
        assert set(files_below(target)) <= {"filler", "attach.sqlite"}
    check_no_run(place)


# --- traces -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no.pfw.gz"), (b"", "empty; expected a trace"), (b"[\n", "not a gzip file; expected a trace")],
    ids=["missing", "empty", "text"],
)
def test_report_of_no_trace(tmp_path: Path, content: bytes | None, words: str) -> None:
    trace = tmp_path / "no.pfw.gz"
    if content is not None:
        trace.write_bytes(content)
    check(plain_command("datacrumbs_report", trace), USAGE, f"{trace}", words)


def test_ended_before_it_is_ready(place: Installation, probes: Path) -> None:
    """A stop signal while it still compiles ends the run in good order, too."""
    command = [COMMANDS / "datacrumbs", "--prefix", place.prefix, probes, "early"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lock = place.prefix / "run/datacrumbs/datacrumbs-early.lock"
    until(lambda: lock.exists() or process.poll() is not None)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, words = process.communicate(timeout=300)
    assert process.returncode == 0, words
    assert "Traceback" not in words
    assert not list(lock.parent.glob("datacrumbs-*"))
