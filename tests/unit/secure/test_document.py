"""One reader for every YAML file: with lines, without duplicate keys, on the descriptor that was checked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from datacrumbs.configure import read_site_file
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.probefile.revocation import FILE_NAME, Revocations, read_revocations, write_revocations
from datacrumbs.secure.document import read_document, read_document_if_present
from datacrumbs.signer.policy import read_policy
from datacrumbs.signer.snippets import read_trusted
from datacrumbs.system import SystemPaths, read_system_configuration

if TYPE_CHECKING:
    from pathlib import Path

SNIPPET = "{provider: p, distribution: d, version: '1', file: f, sha256: s}"

READERS = {
    "policy": ("policy.yaml", read_policy),
    "trust list": ("trusted-snippets.yaml", read_trusted),
    "revocations": (FILE_NAME, lambda file: read_revocations(file.parent)),
    "system configuration": ("etc/datacrumbs/datacrumbs.yaml", lambda file: read_system_configuration(below(file))),
    "installed site file": ("lead.yaml", lambda file: read_site_file(file, protected=True)),
}

DUPLICATES = {
    "policy": "rules: []\nrules: [{users: ['*']}]\n",
    "trust list": f"snippets:\n- {SNIPPET}\nsnippets: []\n",
    "revocations": f"keys: [{'a' * 64}]\nkeys: [{'b' * 64}]\n",
    "system configuration": "handles: 1\nhandles: 2\n",
    "installed site file": "providers: [sys]\nproviders: [posix]\n",
}

INNER_DUPLICATES = {
    "policy": ("rules:\n- users: [a]\n  users: ['*']\n", "3: rules[0].users"),
    "trust list": (f"snippets:\n- {SNIPPET[:-1]}, file: g}}\n", "2: snippets[0].file"),
    "revocations": ("grants:\n  1000: 99\n  1000: 5\n", "3: grants.1000"),
    "installed site file": ("filters:\n  inclusion_path: /a\n  inclusion_path: /b\n", "3: filters.inclusion_path"),
}

UNKNOWN = {
    "policy": ("rules:\n- users: [a]\n  grantdays: 3\n", "3: rules[0].grantdays: unknown key; did you mean"),
    "trust list": (f"snippets:\n- {SNIPPET[:-1]}, licence: MIT}}\n", "2: snippets[0].licence: unknown key"),
    "revocations": ("\nkey: []\n", "2: key: unknown key; did you mean 'keys'?"),
    "system configuration": ("# size\nhandle: 1\n", "2: handle: unknown key; did you mean 'handles'?"),
    "installed site file": ("\nprovider: [sys]\n", "2: provider: unknown key; did you mean 'providers'?"),
}

WRONG_TYPES = {
    "policy": ("rules:\n- users: [a]\n  max_functions: yes\n", "3: rules[0].max_functions: True is not"),
    "trust list": (
        "snippets:\n- {provider: p, distribution: d,\n   version: 1.0, file: f, sha256: s}\n",
        "3: snippets[0].version: 1.0 is not a string",
    ),
    "revocations": (f"keys:\n- {'a' * 64}\n- 12\n", "3: keys[1]: 12 cannot be revoked; expected 64 hex digits"),
    "system configuration": ("# size\nhandles: many\n", "2: handles: 'many' is not a positive whole number"),
    "installed site file": ("\nproviders: sys\n", "2: providers: 'sys' is not a list"),
}


def below(file: Path) -> SystemPaths:
    return SystemPaths(file.parents[2])


def written(tmp_path: Path, kind: str, text: str) -> Path:
    file = tmp_path / READERS[kind][0]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def refused(tmp_path: Path, kind: str, text: str, message: str) -> None:
    file = written(tmp_path, kind, text)
    with pytest.raises(DatacrumbsError) as caught:
        READERS[kind][1](file)
    assert caught.value.message.startswith(f"{file}:{message}"), caught.value.message
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("kind", READERS)
def test_a_key_that_is_there_twice_is_refused_with_both_lines(tmp_path, kind):
    text = DUPLICATES[kind]
    key = text.partition(":")[0]
    second = text.count("\n")
    refused(tmp_path, kind, text, f"{second}: {key}: the key appears twice, first on line 1")


@pytest.mark.parametrize("kind", INNER_DUPLICATES)
def test_so_is_one_further_in(tmp_path, kind):
    text, message = INNER_DUPLICATES[kind]
    refused(tmp_path, kind, text, f"{message}: the key appears twice")


@pytest.mark.parametrize("kind", READERS)
def test_an_unknown_key_is_named_with_its_line(tmp_path, kind):
    refused(tmp_path, kind, *UNKNOWN[kind])


@pytest.mark.parametrize("kind", READERS)
def test_a_wrong_type_is_named_with_its_line(tmp_path, kind):
    refused(tmp_path, kind, *WRONG_TYPES[kind])


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("text", ["? [a]\n: 1\n", "<<: {a: 1}\n", "&a keys: *a\n", "a: !!python/name:os.system x\n"])
def test_what_other_readers_of_yaml_would_take_is_refused(tmp_path, kind, text):
    refused(tmp_path, kind, text, "1: ")


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_file_that_others_may_write_is_refused(tmp_path, kind, mode):
    file = written(tmp_path, kind, "{}")
    file.chmod(mode)
    with pytest.raises(DatacrumbsError, match="writable by others") as caught:
        READERS[kind][1](file)
    assert caught.value.exit_code == ExitCode.REFUSED


@pytest.mark.parametrize("kind", READERS)
def test_a_link_is_refused_before_anything_is_read(tmp_path, kind):
    file = written(tmp_path, kind, "{}")
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DatacrumbsError, match="symbolic link") as caught:
        READERS[kind][1](file)
    assert caught.value.exit_code == ExitCode.REFUSED


# The file is exchanged after it was opened: what is checked and what is read is the descriptor.
@pytest.mark.parametrize("kind", READERS)
def test_the_rights_are_those_of_the_file_that_is_read(tmp_path, monkeypatch, kind):
    file = written(tmp_path, kind, "{}")
    other = tmp_path / "other"
    other.write_text("{}")
    other.chmod(0o666)
    real_open = os.open
    opened = []

    def exchanging_open(path, *arguments, **names):
        if os.fspath(path) == str(file) and not opened:
            opened.append(path)
            other.rename(file)
        return real_open(path, *arguments, **names)

    monkeypatch.setattr(os, "open", exchanging_open)
    with pytest.raises(DatacrumbsError, match="writable by others"):
        READERS[kind][1](file)
    assert opened


def test_a_users_own_site_file_may_be_a_link_and_writable_by_a_group(tmp_path):
    file = tmp_path / "shared.yaml"
    file.write_text("providers: [sys]")
    file.chmod(0o664)
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    assert read_document(link).mapping()["providers"].items()[0].text() == "sys"


def test_what_is_not_there_is_told_from_what_cannot_be_seen(tmp_path):
    assert read_document_if_present(tmp_path / "none.yaml") is None
    (tmp_path / "file").write_text("")
    with pytest.raises(DatacrumbsError, match="cannot be read"):
        read_document_if_present(tmp_path / "file" / "none.yaml")


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_an_error_in_words(tmp_path, opening):
    file = tmp_path / "deep.yaml"
    file.write_text("a: " + opening * 100_003)
    with pytest.raises(DatacrumbsError) as caught:
        read_document(file)
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_revocation_list_of_nearly_the_largest_size_is_read(tmp_path):
    revocations = Revocations(plans=frozenset(f"{number:064x}" for number in range(60_013)))
    write_revocations(tmp_path, revocations)
    assert read_revocations(tmp_path) == revocations


def test_grants_are_plain_numbers_of_users(tmp_path):
    for text in ("grants: {0x10: 1}", "grants: {01: 1}", "grants: {alice: 1}", "grants: {-1: 1}", "grants: {1: true}"):
        refused(tmp_path, "revocations", text, "1: grants")


@pytest.mark.parametrize(
    "value", ["1:20", "1" + ":1" * 500_000, "-190:20:30.15", "1" + ":59" * 99 + ".5"], ids=range(4)
)
def test_no_number_has_another_base_for_each_colon(tmp_path, value):
    """Numbers of base 60, of which YAML 1.1 makes integers in quadratic time: two minutes for a file of 1 MiB."""
    file = tmp_path / "document.yaml"
    file.write_text(f"a: {value}\n")
    assert read_document(file).mapping()["a"].content == value


@pytest.mark.parametrize("value", ["1" * 65, "0x" + "f" * 500_000, "1_" * 300_000 + "1", "1." + "1" * 64])
def test_a_number_that_is_too_long_is_refused(tmp_path, value):
    file = tmp_path / "document.yaml"
    file.write_text(f"a: {value}\n")
    with pytest.raises(DatacrumbsError, match=f"1: a: a number of {len(value)} characters") as caught:
        read_document(file)
    assert caught.value.exit_code == ExitCode.USAGE


def test_numbers_are_numbers(tmp_path):
    file = tmp_path / "document.yaml"
    file.write_text("[1, 0x1f, 0o17, -2.5, 1e3, 18446744073709551615, .inf]")
    assert [value.content for value in read_document(file).items()] == [
        *(1, 31, "0o17", -2.5, "1e3", 18446744073709551615, float("inf"))
    ]
