from __future__ import annotations

from dataclasses import replace

import pytest

from datacrumbs.errors import ExitCode
from datacrumbs.probefile.codec import digest, encode, snippet_digest
from datacrumbs.probefile.envelope import key_id
from datacrumbs.probefile.revocation import FILE_NAME, Revocations, read_revocations, write_revocations
from datacrumbs.probefile.storage import read_probe_file

from .refusing import refused


def test_a_revoked_key(bench, now):
    write_revocations(bench.trust, Revocations(keys=frozenset({key_id(bench.key.public_key())})))
    refused(bench, now, "which was revoked")


def test_a_revoked_key_whose_file_is_there_no_more_is_named_as_revoked(bench, now):
    write_revocations(bench.trust, Revocations(keys=frozenset({key_id(bench.key.public_key())})))
    bench.key_file.unlink()
    refused(bench, now, "which was revoked")


def test_a_revoked_plan(bench, now):
    write_revocations(bench.trust, Revocations(plans=frozenset({digest(encode(bench.plan))})))
    refused(bench, now, "plan .* was revoked")


def test_a_revoked_snippet(bench, now):
    (snippet,) = bench.plan.snippets
    write_revocations(bench.trust, Revocations(snippets=frozenset({snippet_digest(snippet.text)})))
    refused(bench, now, "its snippet posix/vector was revoked")


def test_a_revoked_plan_with_a_small_difference_holds_but_not_what_it_probes(bench, now):
    write_revocations(bench.trust, Revocations(plans=frozenset({digest(encode(bench.plan))})))
    bench.plan = replace(bench.plan, filters=replace(bench.plan.filters, minimum_duration_ns=1))
    bench.write()
    assert read_probe_file(bench.path, bench.trust, now=now, uid=1000)
    write_revocations(bench.trust, Revocations(targets=frozenset({bench.plan.groups[0].target.build_id})))
    refused(bench, now, "target /.* was revoked")


@pytest.mark.parametrize(
    ("kind", "entry", "message"),
    [
        ("providers", "posix", "provider posix was revoked"),
        ("providers", "sys", "provider sys was revoked"),
        ("targets", "kernel", "target kernel was revoked"),
        ("targets", "/*", "target /.* was revoked"),
        ("symbols", "readv", "function readv was revoked"),
        ("symbols", "__readv", "function __readv was revoked"),
        ("symbols", "openat", "function openat was revoked"),
        ("symbols", "syscall:257", "function syscall:257 was revoked"),
    ],
)
def test_a_revoked_part(bench, now, kind, entry, message):
    write_revocations(bench.trust, Revocations(**{kind: frozenset({entry})}))
    refused(bench, now, message)


# In an ELF file the plan may call a place whatever it likes.
def test_a_revoked_place_under_another_name(bench, now):
    group = bench.plan.groups[0]
    functions = tuple(
        replace(function, symbol=f"x{index}", aliases=()) for index, function in enumerate(group.functions)
    )
    bench.plan = replace(bench.plan, groups=(replace(group, functions=functions), *bench.plan.groups[1:]))
    bench.write()
    place = f"{group.target.build_id}:0x80"
    write_revocations(bench.trust, Revocations(symbols=frozenset({"write", "syscall:64", place})))
    refused(bench, now, f"function {place} was revoked")


@pytest.mark.parametrize(
    ("kind", "entry"),
    [
        ("providers", "hdf5"),
        ("targets", "/nowhere/*"),
        ("targets", "a" * 40),
        ("symbols", "writ"),
        ("symbols", "syscall:128"),
        ("symbols", "a" * 40 + ":0x80"),
    ],
)
def test_other_parts_are_not_touched(bench, now, kind, entry):
    write_revocations(bench.trust, Revocations(**{kind: frozenset({entry})}))
    assert read_probe_file(bench.path, bench.trust, now=now, uid=1000)


@pytest.mark.parametrize("text", ["providers: [Posix]", "targets: [lib/x]", "targets: [1]", "symbols: ['a b']"])
def test_an_entry_of_a_wrong_form_lets_nothing_through(bench, now, text):
    (bench.trust / FILE_NAME).write_text(text)
    refused(bench, now, rf"{FILE_NAME}:1: [a-z]+\[0\]: .* cannot be revoked; expected", status=ExitCode.USAGE)


@pytest.mark.parametrize(("uid", "after", "holds"), [(1000, 0, False), (1000, -1, True), (1001, 0, True)])
def test_revoked_grants_of_a_user(bench, now, uid, after, holds):
    write_revocations(bench.trust, Revocations(grants=((uid, bench.grant.issued + after),)))
    if holds:
        assert read_probe_file(bench.path, bench.trust, now=now, uid=1000)
    else:
        refused(bench, now, r"the grants of ada \(uid 1000\) of that time were revoked")


def test_the_list_is_what_was_written_and_an_empty_one_is_no_file(tmp_path):
    revocations = Revocations(
        *(frozenset({digit * 64}) for digit in "abc"),
        frozenset({"posix"}),
        frozenset({"/opt/*", "kernel", "ab" * 20, "1234567890"}),
        frozenset({"openat", "syscall:257", "ab" * 20 + ":0x40"}),
        ((3, 4),),
    )
    write_revocations(tmp_path, revocations)
    assert read_revocations(tmp_path) == revocations
    write_revocations(tmp_path, Revocations())
    assert not (tmp_path / FILE_NAME).exists()
    assert read_revocations(tmp_path) == Revocations()


@pytest.mark.parametrize(
    "text",
    ["[]", "{", "key: []", "keys: [ab]", "keys: ab", "grants: [1]", "grants: {a: 1}", "grants: {1: true}", "\xff", ""],
)
def test_a_damaged_list_lets_nothing_through(bench, now, text):
    (bench.trust / FILE_NAME).write_bytes(text.encode("latin-1"))
    refused(bench, now, FILE_NAME, status=ExitCode.USAGE)


def test_a_list_that_others_may_write_lets_nothing_through(bench, now):
    write_revocations(bench.trust, Revocations())
    path = bench.trust / FILE_NAME
    path.write_text("keys: []\n")
    path.chmod(0o666)
    refused(bench, now, "writable by others")
    path.unlink()
    path.symlink_to("/etc/passwd")
    refused(bench, now, "symbolic link")
