"""A composition is remembered while all that it depends on stays as it was, and made again when anything changes."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from datacrumbs.cache import analysis_cache, composition_cache, inspected_files
from datacrumbs.commands import _composing
from datacrumbs.commands.probe_configurator import COMMAND
from datacrumbs.errors import DatacrumbsError
from datacrumbs.probefile.codec import encode
from datacrumbs.probefile.envelope import Grant, seal
from datacrumbs.probefile.keys import key_file_name, public_key_pem
from datacrumbs.signer import signature_cache
from datacrumbs.system import SystemPaths
from datacrumbs.trace.unattached import Failure, Unattached

SOURCE = "int first(int fd, const char *path) { return fd; }\n"
MONTH = 30 * 86400


class Place:
    """An installation without its service: signing is done by the test, which counts it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths = SystemPaths(folder / "prefix")
        self.site, self.output = folder / "site.yaml", folder / "probes.json.gz"
        self.library, self.folder, self.signed = folder / "libsome.so", folder, 0
        self.key = Ed25519PrivateKey.generate()
        for directory in (self.paths.state, self.paths.trusted_keys, folder / "packages", folder / "cache"):
            directory.mkdir(parents=True)
        self.paths.policy.write_text("grants: []\n")
        self.trust(self.key)
        self.build(SOURCE)
        self.write("")
        module = types.ModuleType("somebodys_provider")
        module.__file__ = str(folder / "somebodys_provider.py")
        Path(module.__file__).write_text("")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.syspath_prepend(str(folder / "packages"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        monkeypatch.setattr(inspected_files, "SETTLED_SECONDS", -(1 << 40))
        monkeypatch.setattr("datacrumbs.commands._composition.request_signature", self.sign)

    def trust(self, key: Ed25519PrivateKey) -> None:
        public = key.public_key()
        (self.paths.trusted_keys / key_file_name(public)).write_bytes(public_key_pem(public))

    def build(self, source: str) -> None:
        (self.folder / "some.c").write_text(source)
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", self.library, self.folder / "some.c"], check=True)

    def write(self, more: str) -> None:
        entry = f"{{name: mine, probe: uprobe, type: binary, file: {self.library}, regex: '.*'}}"
        self.site.write_text(f"capture_probes:\n  - {entry}\n{more}")

    def sign(self, plan, _paths) -> bytes:
        self.signed += 1
        self.plan = plan
        now = int(time.time())
        return seal(encode(plan), Grant(os.geteuid(), "somebody", "here", now, now + MONTH), self.key)

    def compose(self, *options: str, providers: str = "site") -> bytes:
        prefix = str(self.paths.prefix)
        COMMAND.run([str(self.site), str(self.output), "--prefix", prefix, "--providers", providers, *options])
        return self.output.read_bytes()

    @property
    def remembered(self) -> Path:
        (file,) = analysis_cache.place().glob("signed-*.json")
        return file

    @property
    def states(self) -> dict[str, object]:
        return dict(json.loads(self.remembered.read_bytes().partition(b"\n")[2])["looked_at"])


@pytest.fixture
def place(tmp_path, monkeypatch):
    return Place(tmp_path, monkeypatch)


def test_the_same_again_is_the_same_file_and_says_so(place, capsys):
    first = place.compose()
    assert "kept from" not in capsys.readouterr().err
    assert place.compose() == first
    assert place.signed == 1
    printed = capsys.readouterr()
    assert "kept from" in printed.err
    assert printed.out.startswith(f"{place.output}: 1 function: site 1; for somebody until ")
    assert place.remembered.stat().st_mode & 0o777 == 0o600


def set_time(place, seconds, monkeypatch):
    later = types.SimpleNamespace(time=lambda: time.time() + seconds)
    monkeypatch.setattr(signature_cache, "time", later)


CHANGES = {
    "site file": lambda place, _: place.write("filters: {minimum_duration: 1us}\n"),
    "library": lambda place, _: place.build(SOURCE.replace("return fd", "return fd + 1")),
    "code": lambda place, _: (place.folder / "somebodys_provider.py").write_text("pass\n"),
    "packages": lambda place, _: (place.folder / "packages/new-1.dist-info").mkdir(),
    "policy": lambda place, _: place.paths.policy.write_text("grants: [x]\n"),
    "trust": lambda place, _: place.trust(Ed25519PrivateKey.generate()),
    "key gone": lambda place, _: [file.unlink() for file in place.paths.trusted_keys.iterdir()],
    "revoked": lambda place, _: (place.paths.trusted_keys / "revoked.yaml").write_text("providers: [other]\n"),
    "kernel": lambda _, patch: patch.setattr(composition_cache, "kernel_state", lambda: ["another"]),
    "processor": lambda _, patch: patch.setattr(composition_cache, "_processor", lambda: ["another"]),
    "version": lambda _, patch: patch.setattr(composition_cache, "__version__", "another"),
    "environment": lambda place, patch: patch.setenv("LD_LIBRARY_PATH", str(place.folder)),
    "half over": lambda place, patch: set_time(place, MONTH / 2 + 60, patch),
    "expired": lambda place, patch: set_time(place, MONTH + 60, patch),
    "damaged": lambda place, _: place.remembered.write_bytes(place.remembered.read_bytes()[:-1]),
    "somebody else's": lambda place, _: place.remembered.chmod(0o666),
    "hooks shown": lambda _, patch: patch.setenv("DATACRUMBS_TRACE_HOOKS", "1"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_changed_is_composed_again(place, change, monkeypatch):
    place.compose()
    place.compose()
    assert place.signed == 1
    change(place, monkeypatch)
    place.compose()
    assert place.signed == 2


@pytest.mark.parametrize("option", ["--fresh", "--no-move", "--without=sys", "--preset=all"])
def test_other_options_are_another_question(place, option):
    place.compose()
    place.compose(option, providers="site,sys" if option == "--preset=all" else "site")
    assert place.signed == 2


@pytest.mark.parametrize("name", ["SSH_TTY", "PWD", "SLURM_JOB_ID", "TERM"])
def test_what_belongs_to_a_session_changes_nothing(place, name, monkeypatch):
    place.compose()
    monkeypatch.setenv(name, "another")
    place.compose()
    assert place.signed == 1


def test_a_kept_file_that_is_not_what_the_service_signed_is_not_given(place, monkeypatch):
    place.compose()
    recall = composition_cache.recall

    def forged(*asked):
        found = recall(*asked)
        grant = Grant(os.geteuid(), "x", "x", 0, 1 << 39)
        other = seal(encode(place.plan), grant, Ed25519PrivateKey.generate())
        return found | {"probe_file": base64.b64encode(other).decode()}

    monkeypatch.setattr(composition_cache, "recall", forged)
    place.compose()
    assert place.signed == 2


def test_code_packages_site_file_and_library_are_all_looked_at(place):
    place.compose()
    states = place.states
    for path in (place.library, place.folder / "packages", Path(_composing.__file__), place.paths.policy):
        assert states[str(path)] is not None
    assert states[str(place.paths.trusted_keys / "revoked.yaml")] is None
    assert not any(path.startswith(("/proc/", "/sys/", str(analysis_cache.place()))) for path in states)


def test_what_changed_just_now_is_not_remembered(place, monkeypatch):
    monkeypatch.setattr(inspected_files, "SETTLED_SECONDS", 1 << 40)
    place.compose()
    assert not list(analysis_cache.place().glob("signed-*"))


def test_what_an_unknown_program_read_is_not_remembered(place, monkeypatch):
    sign = place.sign

    def asks_somebody(plan, paths):
        subprocess.run(["true"], check=True)
        return sign(plan, paths)

    monkeypatch.setattr("datacrumbs.commands._composition.request_signature", asks_somebody)
    place.compose()
    assert not list(analysis_cache.place().glob("signed-*"))
    with inspected_files.watched() as looking, inspected_files.explained("/etc/os-release"):
        subprocess.run(["true"], check=True)
    assert looking.complete
    assert "/etc/os-release" in dict(looking.states())


def test_absent_names_and_directories_that_were_listed_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(inspected_files, "SETTLED_SECONDS", -(1 << 40))
    listed, absent = tmp_path / "listed", tmp_path / "absent"
    listed.mkdir()
    with inspected_files.watched() as looking:
        list(listed.glob("*.so"))
        inspected_files.looked_at(absent)
        (tmp_path / "written").write_text("")
    states = looking.states()
    assert str(tmp_path / "written") not in dict(states)
    assert inspected_files.unchanged(states)
    absent.touch()
    assert not inspected_files.unchanged(states)
    absent.unlink()
    (listed / "a.so").touch()
    assert not inspected_files.unchanged(states)


def test_what_failed_before_is_the_first_note(place, monkeypatch, capsys):
    place.build(f"{SOURCE}int second(int fd) {{ return fd + 1; }}\n")
    place.write("user: nobody\n")
    place.compose()
    assert "user: ignored" in capsys.readouterr().err
    (group,) = place.plan.groups
    failed = [Unattached(group.target.build_id, "uprobe", each.symbol, each.place) for each in group.functions]
    failures = {each: Failure(each.symbol) for each in failed}
    monkeypatch.setattr(_composing, "_known_failures", lambda *_: {failed[0]: failures[failed[0]]})
    monkeypatch.setattr(_composing, "_SHOWN_NOTES", 1)
    for _ in range(2):  # composed, and remembered
        place.compose()
        said = capsys.readouterr().err
        assert "1 function is left out (first)" in said
        assert "user: ignored" not in said
    monkeypatch.setattr(_composing, "_known_failures", lambda *_: failures)
    with pytest.raises(DatacrumbsError, match="every function of the plan"):
        place.compose()
    assert "1 function is left out (first)" in capsys.readouterr().err


def test_nothing_heavy_is_imported_for_what_is_remembered():
    code = "import sys, datacrumbs.commands._composing; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "polars", "rich", "pluggy", "capstone", "importlib.metadata", "datacrumbs.configure", "difflib"}
    assert not heavy & set(done.stdout.split())


def test_the_plan_of_a_recorded_command_is_remembered_too(place, monkeypatch):
    from datacrumbs.session import own_composition
    from datacrumbs.session.composition_request import CompositionRequest
    from datacrumbs.session.own_plan import compose_plan

    made = []
    composed = own_composition.composed
    monkeypatch.setattr(own_composition, "composed", lambda *asked: made.append(asked) or composed(*asked))
    wanted = CompositionRequest(str(place.site), only=("site",))
    first = compose_plan(["true"], wanted, place.paths)
    assert json.loads(first["document"])["groups"]
    assert json.dumps(compose_plan(["true"], wanted, place.paths)) == json.dumps(first)
    assert len(made) == 1
    compose_plan(["true"], CompositionRequest(str(place.site), only=("site",), sample=3), place.paths)
    compose_plan(["cat"], wanted, place.paths)
    place.build(SOURCE.replace("return fd", "return fd + 1"))
    compose_plan(["true"], wanted, place.paths)
    assert len(made) == 4
