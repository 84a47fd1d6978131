"""What the configurator keeps between compositions: the same plans, and nothing that others could have written."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from datacrumbs.cache import analysis_cache, inspected_files
from datacrumbs.configure import compose, current_host, read_site_file
from datacrumbs.configure import merge as merge_module
from datacrumbs.configure import placing as placing_module
from datacrumbs.elf import dwarf, headers
from datacrumbs.plugins import load_providers
from datacrumbs.probefile.codec import encode

SOURCE = "int first(int fd, const char *path) { return fd; }\nint second(long a, long b) { return a + b; }\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    directory = tmp_path / "cache/datacrumbs"
    monkeypatch.setattr(inspected_files, "SETTLED_SECONDS", 0)
    analysis_cache.keep_in(directory)
    return directory


@pytest.fixture
def library(tmp_path):
    built(tmp_path, SOURCE)
    return tmp_path / "libsome.so"


def built(folder: Path, source: str) -> None:
    (folder / "some.c").write_text(source)
    subprocess.run(["gcc", "-g", "-O1", "-shared", "-fPIC", "-o", "libsome.so", "some.c"], check=True, cwd=folder)


def answers(*found: object):
    waiting = list(found)
    return lambda: waiting.pop(0)


def composed(folder: Path, library: Path) -> bytes:
    (folder / "site.yaml").write_text(
        "capture_probes:\n"
        "  - provider: sys\n"
        "  - {name: mine, probe: uprobe, type: binary, file: LIBRARY, regex: '.*'}\n".replace("LIBRARY", str(library))
    )
    dwarf.arguments_in_memory.cache_clear()
    return encode(compose(read_site_file(folder / "site.yaml"), load_providers((), ("sys",)), current_host()))


def test_plans_from_what_was_kept_are_the_same_bytes(place, library, tmp_path, monkeypatch):
    analysis_cache.keep_in(None)
    plain = composed(tmp_path, library)
    assert not place.exists()
    analysis_cache.keep_in(place)
    assert composed(tmp_path, library) == plain
    files = {path: path.stat().st_mtime_ns for path in place.iterdir()}
    assert {path.name.split("-")[0] for path in files} >= {"arguments", "places", "returns"}
    for module, name in (
        (dwarf, "_described"),
        (placing_module, "_looked_at"),
        (merge_module, "_looked_at"),
        (headers, "_described"),
    ):
        monkeypatch.setattr(module, name, None)  # calling it would fail
    assert composed(tmp_path, library) == plain
    assert {path: path.stat().st_mtime_ns for path in place.iterdir()} == files


def test_another_file_under_the_same_name_is_looked_at_again(place, library, tmp_path):
    first = dwarf.function_arguments(library)
    assert [each.label for each in first["first"]] == ["fd", "path"]
    built(tmp_path, SOURCE.replace("fd", "no"))
    assert [each.label for each in dwarf.function_arguments(library)["first"]] == ["no", "path"]
    assert len(list(place.iterdir())) == 2


def test_a_file_that_changed_just_now_is_not_kept(place, library, monkeypatch):
    monkeypatch.setattr(inspected_files, "SETTLED_SECONDS", 1 << 40)
    assert dwarf.function_arguments(library)
    assert not place.exists()


def test_an_answer_is_kept_for_its_key_and_these_rules(place, monkeypatch):
    assert analysis_cache.cached("x", ["a"], answers({"n": 1})) == {"n": 1}
    assert analysis_cache.cached("x", ["a"], answers({"n": 2})) == {"n": 1}
    assert analysis_cache.cached("x", ["b"], answers({"n": 3})) == {"n": 3}
    assert analysis_cache.cached("y", ["a"], answers({"n": 4})) == {"n": 4}
    assert analysis_cache.cached("x", None, answers({"n": 5})) == {"n": 5}
    monkeypatch.setattr(analysis_cache, "rules", lambda: "others")
    assert analysis_cache.cached("x", ["a"], answers({"n": 6})) == {"n": 6}
    monkeypatch.undo()
    assert place.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data.replace(b"17", b"19"),
        lambda data: data[:0],
        lambda data: data + b" ",
        lambda data: data.partition(b"\n")[2],
        lambda data: bytes(len(data)),
        lambda data: data.replace(b"datacrumbs-kept/1", b"datacrumbs-kept/0"),
    ],
    ids=["short", "changed", "empty", "long", "headless", "zeros", "older"],
)
def test_a_damaged_file_is_found_out_again(place, damage):
    analysis_cache.cached("x", ["a"], answers([17]))
    (file,) = place.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert analysis_cache.cached("x", ["a"], answers([23])) == [23]
    assert analysis_cache.cached("x", ["a"], answers()) == [23]


def test_what_others_can_write_is_not_taken(place):
    analysis_cache.cached("x", ["a"], answers([17]))
    (file,) = place.iterdir()
    file.chmod(0o620)
    assert analysis_cache.cached("x", ["a"], answers([19])) == [19]
    place.chmod(0o777)
    assert analysis_cache.cached("x", ["a"], answers([23])) == [23]
    place.chmod(0o700)
    assert analysis_cache.cached("x", ["a"], answers([29])) == [19]
    file.unlink()
    file.symlink_to("/dev/zero")
    assert analysis_cache.cached("x", ["a"], answers([31])) == [31]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_what_others_own_is_not_taken_by_root(place):
    analysis_cache.cached("x", ["a"], answers([17]))
    (file,) = place.iterdir()
    os.chown(file, 65534, 65534)
    assert analysis_cache.cached("x", ["a"], answers([19])) == [19]
    os.chown(place, 65534, 65534)
    assert analysis_cache.cached("x", ["a"], answers([23])) == [23]


def test_the_oldest_make_room(place, monkeypatch):
    monkeypatch.setattr(analysis_cache, "KEPT", 3)
    monkeypatch.setattr(analysis_cache, "TURNS", 1)
    for number in range(5):
        analysis_cache.cached("x", [number], answers([number]))
        for position, file in enumerate(sorted(place.iterdir(), key=lambda path: path.stat().st_mtime_ns)):
            os.utime(file, ns=(position, position))
    bodies = [json.loads(file.read_bytes().partition(b"\n")[2]) for file in place.iterdir()]
    assert sorted(bodies) == [[2], [3], [4]]


def test_a_directory_is_not_looked_through_for_each_file(place, monkeypatch):
    monkeypatch.setattr(analysis_cache, "KEPT", 3)
    monkeypatch.setattr(analysis_cache, "TURNS", 7)
    looked = []
    monkeypatch.setattr(analysis_cache, "remove_oldest", lambda *about: looked.append(about))
    for number in range(15):
        analysis_cache.cached("x", [number], answers([number]))
    assert looked == [(place, ".json", 3, analysis_cache.ROOM)] * 3


def test_where_an_ordinary_user_keeps_it():
    users_directory, home = analysis_cache.users_directory, {"HOME": "/home/me"}
    assert users_directory(home) == Path("/home/me/.cache/datacrumbs")
    assert users_directory({**home, "XDG_CACHE_HOME": "/scratch"}) == Path("/scratch/datacrumbs")
    assert users_directory({"XDG_CACHE_HOME": "relative"}) is None
