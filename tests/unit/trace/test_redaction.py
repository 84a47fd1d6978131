"""Which names are hidden, and how."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datacrumbs.model.record import Name, NameKind
from datacrumbs.trace.names import NameTable
from datacrumbs.trace.redaction import Redaction

PATTERNS = ("/home/*/secret", "/etc/shadow*")
HIDDEN = r"~[0-9a-f]{12}"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/home/ada/secret", f"/home/ada/{HIDDEN}"),
        ("/home/ada/secret/keys/x", f"/home/ada/{HIDDEN}/{HIDDEN}/{HIDDEN}"),
        ("/etc/shadow-", f"/etc/{HIDDEN}"),
        ("/home/ada/x/../secret/y", f"/home/ada/{HIDDEN}/{HIDDEN}"),
        ("/home/ada/secret/../public", f"/home/ada/{HIDDEN}/{HIDDEN}/{HIDDEN}"),
        ("/../home/ada/secret", f"/home/ada/{HIDDEN}"),
        ("secret/y", f"{HIDDEN}/{HIDDEN}"),
        (".../public/y", rf"\.\.\./{HIDDEN}/{HIDDEN}"),
        ("/home/ada/secret (deleted)", rf"/home/ada/{HIDDEN} \(deleted\)"),
        ("/home/ada/public (deleted)", "/home/ada/public (deleted)"),
        ("/home/ada/secrets", "/home/ada/secrets"),
        ("/home/secret", "/home/secret"),
        ("/srv/home/ada/secret", "/srv/home/ada/secret"),
        ("/work/ufs:/home/ada/secret/x", f"/work/ufs:/home/ada/{HIDDEN}/{HIDDEN}"),
        ("/work/nfs:/x/../home/ada/secret", f"/work/nfs:/home/ada/{HIDDEN}"),
        ("/work/nfs:/../home/ada/secret", f"/work/nfs:/{HIDDEN}/{HIDDEN}/{HIDDEN}/{HIDDEN}"),
        ("/home/ada/ufs:secret/x", f"/home/ada/{HIDDEN}/{HIDDEN}"),
        ("/work/ufs:/home/ada/public", "/work/ufs:/home/ada/public"),
        ("/work/12:30/x", "/work/12:30/x"),
        ("ufs:/home/ada/secret/x", f"{HIDDEN}/{HIDDEN}/{HIDDEN}/{HIDDEN}/{HIDDEN}"),
        ("budget:2026.txt", HIDDEN),
        ("pipe:[4711]", "pipe:[4711]"),
        ("socket:[4711]", "socket:[4711]"),
        ("anon_inode:inotify", "anon_inode:inotify"),
        ("anon_inode:[eventpoll]", r"anon_inode:\[eventpoll\]"),
        ("[lost name 00000000000003e7]", "[lost name 00000000000003e7]"),
        ("", ""),
    ],
)
def test_what_is_hidden(path: str, shown: str) -> None:
    found = Redaction(PATTERNS).path(path)
    assert found == shown or re.fullmatch(shown, found)


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("/home/ada/secret/x", f"/home/ada/{HIDDEN}/{HIDDEN}"),
        ("/home//ada/./secret/x", f"/home/ada/{HIDDEN}/{HIDDEN}"),
        ("/opt/model", "/opt/model"),
        ("--in=/home/ada/secret", f"--in=/home/ada/{HIDDEN}"),
        ("--in=secret", f"--in={HIDDEN}"),
        ("-I/home/ada/secret", HIDDEN),
        ("/opt:/home/ada/secret", HIDDEN),
        ("file:///home/ada/secret", HIDDEN),
        ("secret/x", HIDDEN),
        ("budget.txt", HIDDEN),
        ("open('/home/ada/secret')", HIDDEN),
        ("", HIDDEN),
        ("4711001234", HIDDEN),
        ("/proc/self/cwd/x", HIDDEN),
        ("/proc/4711/task/4712/root/data/x", HIDDEN),
        ("/opt/../proc//self/cwd", HIDDEN),
        *((plain, plain) for plain in ("-v", "--verbose", "--", "-", "23", "-7", "1.5", "64M", "10%")),
    ],
)
def test_what_is_hidden_of_arguments(argument: str, shown: str) -> None:
    """What cannot be told from a name below a hidden directory is hidden whole."""
    assert re.fullmatch(shown, Redaction(PATTERNS).argument(argument))
    assert Redaction(()).argument(argument) == argument


def test_names_of_a_run_are_the_same_and_of_another_run_different() -> None:
    one, other = Redaction(PATTERNS), Redaction(PATTERNS)
    path = "/home/ada/secret/x"
    assert one.path(path) == one.path(path) != other.path(path)
    assert one.path(path).rpartition("/")[0] == one.path("/home/ada/secret/y").rpartition("/")[0]
    assert one.path("/home/bob/secret/x").rpartition("/")[2] != one.path(path).rpartition("/")[2]


def test_nothing_changes_without_patterns() -> None:
    nothing = Redaction(())
    assert (nothing.path("x/../y"), nothing.path("/a"), nothing.word("w")) == ("x/../y", "/a", "w")


@given(st.lists(st.sampled_from(["home", "ada", "secret", "..", "public", "deep"]), min_size=1, max_size=8))
def test_no_way_around(parts: list[str]) -> None:
    """What a path leads to decides, wherever it goes on the way."""
    reached: list[str] = []
    for part in parts:
        if part == "..":
            reached = reached[:-1]
        else:
            reached.append(part)
    shown = Redaction(("/home/*/secret",)).path("/" + "/".join(parts))
    if len(reached) > 2 and (reached[0], reached[2]) == ("home", "secret"):
        assert shown.split("/")[1:3] == reached[:2]
        assert all(re.fullmatch(HIDDEN, part) for part in shown.split("/")[3:])


def test_the_table_resolves_with_true_names_and_tells_hidden_ones() -> None:
    names = NameTable("0" * 16, "/home/ada/secret", PATTERNS)
    directory = Name(1, NameKind.LOCATION, 0, "/home/ada/secret")
    lines = names.add([directory, Name(2, NameKind.PATH, 1, "plans/moon.txt"), Name(3, NameKind.COMMAND, 0, "tool")])
    text = "".join(lines)
    assert not re.search("secret|plans|moon|tool", text)
    assert len(re.findall(f'"/home/ada/{HIDDEN}/{HIDDEN}/{HIDDEN}"', text)) == 1
    assert re.fullmatch(HIDDEN, names.text(3))
    import numpy as np

    _, included, _ = names.find(np.array([2], np.uint64), NameKind.PATH)
    assert included.all()


def test_what_is_hidden_under_one_name_is_not_told_by_that_of_its_place() -> None:
    names = NameTable("0" * 16, "", PATTERNS)
    opened = [
        Name(1, NameKind.PATH, 0, "/home/ada/secret/link"),
        Name(2, NameKind.PATH, 0, "/srv/link"),
        Name(3, NameKind.PATH, 0, "/srv/other"),
        Name(4, NameKind.PLACE, 1, "/srv/moon"),
        Name(5, NameKind.PLACE, 2, "/home/ada/secret/moon"),
        Name(6, NameKind.PLACE, 3, ".../secret/moon"),
    ]
    text = "".join(names.add(opened))
    assert not re.search("secret|moon", text)
    assert re.findall('"place":"([^"~]*)', text) == ["/home/ada/", ".../"]
