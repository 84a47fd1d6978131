from __future__ import annotations

import json

from datacrumbs.probefile.codec import digest, encode
from datacrumbs.probefile.show import describe, readable
from datacrumbs.probefile.storage import read_unverified


def test_description_is_json_with_the_grant_and_every_function(bench):
    document = json.loads(json.dumps(describe(read_unverified(bench.path))))
    assert document["grant"]["user"] == "ada"
    assert document["signature"]["verified"] is False
    assert document["digest"] == digest(encode(bench.plan))
    assert [function["name"] for group in document["groups"] for function in group["functions"]] == [
        "readv",
        "write",
        "open",
    ]


def test_text_says_when_nothing_was_verified(bench):
    text = readable(read_unverified(bench.path))
    assert "NOT VERIFIED" in text
    assert "granted   to ada (uid 1000) by login1" in text
    assert "POSIX readv(fd:fd) -> bytes @0x40  [__readv, snippet vector]" in text
