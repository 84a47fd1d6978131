"""One strict reading of what a job says of tracing, and writing it beside what the user had said."""

from __future__ import annotations

import json

import pytest

from datacrumbs.errors import DatacrumbsError
from datacrumbs.jobs.metadata import comment_with, probe_file_of, probe_file_of_comment

FILE = "/home/alice/probes.json.gz"
EXACT = f'{{"datacrumbs":{{"enable":"yes","probe_file":"{FILE}"}}}}'


def said(**section: object) -> str:
    return json.dumps({"datacrumbs": section})


@pytest.mark.parametrize(
    "comment",
    [
        *(
            "",
            " ",
            "mine",
            "datacrumbs",
            'see "datacrumbs" in the wiki',
            "null",
            "12",
            "[1]",
            "{}",
            '{"a":1}',
            "{broken",
        ),
        *('{"a":"datacrumbs"}', '{"a":{"datacrumbs":{}}}', '["datacrumbs"]', '"datacrumbs"', '{"a":1,"a":2}'),
        *(said(enable="no"), said(enable="no", probe_file=FILE), "\udcff", "ümlaut \n\t"),
    ],
)
def test_no_tracing(comment: str) -> None:
    assert probe_file_of_comment(comment) == ""


@pytest.mark.parametrize(
    ("comment", "path"),
    [
        (EXACT, FILE),
        (f" {EXACT}\n", FILE),
        (said(probe_file="/a b'\"=ü/x", enable="yes"), "/a b'\"=ü/x"),
        ('{"mine":[1,{"x":2}],' + EXACT[1:], FILE),
        (said(enable="yes", probe_file="/latin-\udce4"), "/latin-\udce4"),
    ],
)
def test_tracing(comment: str, path: str) -> None:
    assert probe_file_of_comment(comment) == path


BAD = {
    "cut": (EXACT[:-1], "not valid JSON"),
    "twice": ('{"datacrumbs":{"enable":"yes","enable":"yes"}}', "a key appears twice"),
    "both": ('{"datacrumbs":{},"datacrumbs":{}}', "appears twice"),
    "nan": ('{"datacrumbs":NaN}', "not valid JSON"),
    "bytes": ('{"datacrumbs":"\udcff"}', "not valid JSON"),
    "text": ('{"datacrumbs":"yes"}', "datacrumbs: 'yes' is not an object"),
    "list": ('{"datacrumbs":[]}', "is not an object"),
    "null": ('{"datacrumbs":null}', "is not an object"),
    "empty": (said(), "datacrumbs.enable: missing"),
    "true": (said(enable=True, probe_file=FILE), "datacrumbs.enable: True is neither yes nor no"),
    "one": (said(enable=1, probe_file=FILE), "neither yes nor no"),
    "list of yes": (said(enable=["yes"], probe_file=FILE), "neither yes nor no"),
    "Yes": (said(enable="Yes", probe_file=FILE), "neither yes nor no"),
    "no file": (said(enable="yes"), "datacrumbs.probe_file: missing"),
    "relative": (said(enable="yes", probe_file="probes.json.gz"), "is not an absolute path"),
    "empty path": (said(enable="yes", probe_file=""), "is not an absolute path"),
    "number": (said(enable="yes", probe_file=7), "is not an absolute path"),
    "line": (said(enable="yes", probe_file="/a\nUSER=root"), "control characters"),
    "zero": (said(enable="yes", probe_file="/a\0b"), "control characters"),
    "surrogate": (said(enable="yes", probe_file="/\ud800"), "too long, or has"),
    "long": (said(enable="yes", probe_file="/" + "x" * 4096), "too long, or has"),
    "off and wrong": (said(enable="no", probe_file=7), "is not an absolute path"),
    "unknown": (said(enable="yes", probe_file=FILE, mode="trace"), "unknown key 'mode'"),
    "composite": (said(enable="yes", composite="x.yaml"), "datacrumbs.composite: no longer supported"),
    "probes": (said(enable="yes", probes=FILE, probe_file=FILE), "datacrumbs.probes: no longer supported"),
}


@pytest.mark.parametrize("row", BAD)
def test_what_is_not_exactly_right_is_refused(row: str) -> None:
    comment, reason = BAD[row]
    with pytest.raises(DatacrumbsError, match=f"(?s).*{reason}") as caught:
        probe_file_of_comment(comment)
    assert caught.value.hint
    assert caught.value.message.isprintable()


def test_former_keys_say_what_takes_their_place() -> None:
    for key in ("composite", "probes"):
        with pytest.raises(DatacrumbsError) as caught:
            probe_file_of({key: "x"})
        assert "datacrumbs_probe_configurator" in caught.value.hint


def test_without_a_comment_it_is_exactly_that() -> None:
    assert comment_with(FILE) == EXACT


@pytest.mark.parametrize(
    "own", ["mine", "", "a 'b' \"c\" = d\nü\\", "12", "[1, 2]", "{broken", '{"a":1,"a":2}', "caf\udce9", '"text"']
)
def test_words_are_kept_as_they_are(own: str) -> None:
    comment = comment_with(FILE, own)
    assert json.loads(comment)["comment"] == own
    assert probe_file_of_comment(comment) == FILE


@pytest.mark.parametrize("own", ["{}", " { } ", '{"b": 1.50, "a": "ü\\u00fc"}\n', '{"comment": "x"}'])
def test_an_object_keeps_its_text(own: str) -> None:
    comment = comment_with(FILE, own)
    assert comment.startswith(own.rstrip().removesuffix("}").rstrip())
    kept = json.loads(comment)
    assert kept.pop("datacrumbs") == {"enable": "yes", "probe_file": FILE}
    assert kept == json.loads(own)


@pytest.mark.parametrize("path", ["/a b/'q'\"=ü.gz", "/\udce4/x", "/$(touch pwned)"])
def test_any_path_comes_back(path: str) -> None:
    assert probe_file_of_comment(comment_with(path, "mine")) == path


def test_metadata_of_the_users_own_is_not_replaced() -> None:
    with pytest.raises(DatacrumbsError, match="has the key 'datacrumbs' already"):
        comment_with(FILE, EXACT)
