from __future__ import annotations

import pytest

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.probefile.codec import digest, encode, snippet_digest
from datacrumbs.probefile.envelope import key_id
from datacrumbs.probefile.reader import read_probe_file
from datacrumbs.probefile.revocation import FILE_NAME, Revocations, read_revocations, write_revocations


def refused(bench, now, message, status=ExitCode.REFUSED):
    with pytest.raises(DatacrumbsError, match=message) as caught:
        read_probe_file(bench.path, bench.trust, now=now, uid=1000)
    assert caught.value.exit_code == status


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


@pytest.mark.parametrize(("uid", "after", "holds"), [(1000, 0, False), (1000, -1, True), (1001, 0, True)])
def test_revoked_grants_of_a_user(bench, now, uid, after, holds):
    write_revocations(bench.trust, Revocations(grants=((uid, bench.grant.issued + after),)))
    if holds:
        assert read_probe_file(bench.path, bench.trust, now=now, uid=1000)
    else:
        refused(bench, now, r"the grants of ada \(uid 1000\) of that time were revoked")


def test_the_list_is_what_was_written_and_an_empty_one_is_no_file(tmp_path):
    revocations = Revocations(frozenset({"a" * 64}), frozenset({"b" * 64}), frozenset({"c" * 64}), ((3, 4),))
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
    refused(bench, now, FILE_NAME, ExitCode.USAGE)


def test_a_list_that_others_may_write_lets_nothing_through(bench, now):
    write_revocations(bench.trust, Revocations())
    path = bench.trust / FILE_NAME
    path.write_text("keys: []\n")
    path.chmod(0o666)
    refused(bench, now, "writable by others")
    path.unlink()
    path.symlink_to("/etc/passwd")
    refused(bench, now, "symbolic link")
