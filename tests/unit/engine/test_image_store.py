"""What is kept of compiled programs is taken only as it was written."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.engine import image_store
from datacrumbs.engine.image_store import ImageStore

from .images import IMAGE, KEY

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path, told) -> ImageStore:
    return ImageStore(tmp_path / "programs", told.append)


def test_kept_and_found(store, told, tmp_path):
    assert store.load(KEY) is None
    store.save(KEY, IMAGE)
    assert store.load(KEY) == IMAGE
    assert store.load("cd" * 32) is None
    assert told == []
    assert (tmp_path / "programs").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / f"programs/{KEY}.program").stat().st_mode & 0o777 == 0o600


def writable_by_others(path):
    path.chmod(0o666)


def cut_short(path):
    os.truncate(path, 100)


def empty(path):
    os.truncate(path, 0)


def a_link(path):
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere"))


def a_directory(path):
    path.unlink()
    path.mkdir()


def too_large(path):
    os.truncate(path, image_store.SIZE_LIMIT + 1)


def directory_for_all(path):
    path.parent.chmod(0o777)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (writable_by_others, "writable by others"),
        (cut_short, "damaged"),
        (empty, "another version"),
        (a_link, "a symbolic link"),
        (a_directory, "not a regular file"),
        (too_large, "larger than"),
        (directory_for_all, "writable by others"),
    ],
)
def test_what_is_not_as_it_was_written_is_left_aside(spoil, said, store, told, tmp_path):
    store.save(KEY, IMAGE)
    spoil(tmp_path / f"programs/{KEY}.program")
    assert store.load(KEY) is None
    assert len(told) == 1
    assert said in told[0]
    assert told[0].endswith("not used")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_owners_file_is_left_aside(store, told, tmp_path):
    store.save(KEY, IMAGE)
    os.chown(tmp_path / f"programs/{KEY}.program", 65534, 65534)
    assert store.load(KEY) is None
    assert "owned by uid 65534" in told[0]


@pytest.mark.parametrize("spoil", [cut_short, a_link, writable_by_others])
def test_the_next_image_takes_the_place(spoil, store, told, tmp_path):
    store.save(KEY, IMAGE)
    spoil(tmp_path / f"programs/{KEY}.program")
    store.save(KEY, IMAGE)
    assert store.load(KEY) == IMAGE
    assert told == []


def test_nothing_is_kept_where_others_may_write(store, tmp_path):
    (tmp_path / "programs").mkdir(mode=0o777)
    (tmp_path / "programs").chmod(0o777)
    store.save(KEY, IMAGE)
    assert list((tmp_path / "programs").iterdir()) == []


def test_only_so_many_are_kept(store, tmp_path):
    for number in range(image_store.KEPT + 5):
        store.save(f"{number:064}", IMAGE)
        os.utime(tmp_path / f"programs/{number:064}.program", ns=(number, number))
    store.save(KEY, IMAGE)
    assert len(list((tmp_path / "programs").iterdir())) == image_store.KEPT
    assert store.load(KEY) == IMAGE
    assert store.load(f"{3:064}") is None


@pytest.fixture
def closed() -> Iterator[Path]:
    """A directory that is root's all the way from the root on; those of pytest are in one where anybody can write."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    place = Path(tempfile.mkdtemp(dir="/opt"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


def test_a_shared_program_is_found_and_nothing_is_written_to_where_it_is(told, tmp_path, closed):
    ImageStore(closed / "shared", told.append).save(KEY, IMAGE)
    (kept,) = (closed / "shared").iterdir()
    kept.chmod(0o444)
    store = ImageStore(tmp_path / "programs", told.append, (closed / "absent", closed / "shared"))
    assert store.load(KEY) == IMAGE
    assert store.load("cd" * 32) is None
    store.save("cd" * 32, IMAGE)
    assert list((closed / "shared").iterdir()) == [kept]
    assert told == []


@pytest.mark.parametrize("changeable", ["", "above", "above/shared", f"above/shared/{KEY}.program"])
@pytest.mark.parametrize("by", ["owner", "mode", "link"])
def test_a_shared_program_is_left_aside_that_others_can_change(told, tmp_path, closed, changeable, by):
    shared = closed / "above/shared"
    ImageStore(shared, told.append).save(KEY, IMAGE)
    place, elsewhere = closed / changeable, tmp_path / "anybodys" / "elsewhere"
    if by == "owner":
        os.chown(place, 65534, 65534)
    elif by == "mode":
        place.chmod(place.stat().st_mode | 0o002)
    else:  # to where anybody could have put the same
        elsewhere.parent.mkdir()
        elsewhere.parent.chmod(0o777)
        place.rename(elsewhere)
        place.symlink_to(elsewhere)
    loaded = ImageStore(tmp_path / "programs", told.append, (shared,)).load(KEY)
    if by == "link":
        place.unlink()
        elsewhere.rename(place)
    assert loaded is None
    assert len(told) == 1
    assert told[0].endswith("not used")
