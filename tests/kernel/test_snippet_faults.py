"""A snippet that cannot run is told by provider, file and line, whoever finds it: the compiler or the kernel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.engine.engine import Engine, Marks
from datacrumbs.errors import DatacrumbsError
from datacrumbs.model.plan import Attach, Function, Group, Plan, Provenance, Snippet, Target

if TYPE_CHECKING:
    from datacrumbs.system import SystemConfiguration

pytestmark = pytest.mark.kernel

SOURCE = Path(__file__).parents[2] / "examples/datacrumbs-zlib/src/datacrumbs_zlib/snippets/stream.bpf.c"
SET = "DC_SET_FIELD(call, 1, left);"


def plan_with(text: str) -> Plan:
    """Two providers with much the same snippet, of which the second one's is at fault."""
    sound = SOURCE.read_text().replace("dc_zlib_stream", "dc_other_sound").replace("DC_ZLIB", "DC_OTHER")
    function = Function("deflate", "deflate", "ZLIB", offset=1, snippet="stream")
    group = Group("zlib", "zlib", Attach.UPROBE, Target("/lib/libz.so", "ab" * 20), (function,))
    known = tuple(Provenance(name, f"datacrumbs-{name}", "1", "zlib", 35) for name in ("other", "zlib"))
    return Plan(
        known,
        (group,),
        (Snippet(name="sound", provider="other", text=sound), Snippet(name="stream", provider="zlib", text=text)),
    )


def load(text: str, state: Path, configuration: SystemConfiguration) -> None:
    engine = Engine.load(plan_with(text), configuration, Marks(0), state)
    try:
        for name in engine._kinds:
            engine._descriptor(name)
    finally:
        engine.close()


def complaint(text: str, state: Path, configuration: SystemConfiguration) -> DatacrumbsError:
    with pytest.raises(DatacrumbsError) as caught:
        load(text, state, configuration)
    return caught.value


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("call, 0, available", "call, 0, availabel", ":12: use of undeclared identifier 'availabel'"),
        (f"{SET}\n}}", SET, ":20: expected '}'"),
        ("u32 left = 0;", "u32 left = 0; /* no end", ":17: unterminated /. comment"),
        (SET, SET + " volatile u64 big[70]; for (int i = 0; i < 70; i++) big[i] = i;", ": .*stack limit of 512 bytes"),
        (SET, "DC_SET_FIELD(call, 1, *(u64 *)DC_ARGUMENT(call, 0));", ":20: .*invalid mem access"),
        (SET, "for (u64 i = 0; i < call->result; i++) left += left >> 7; " + SET, ":20: "),
    ],
    ids=["name", "brace", "comment", "stack", "address", "loop"],
)
def test_a_wrong_snippet_is_named(
    good: str, bad: str, said: str, tmp_path: Path, configuration: SystemConfiguration
) -> None:
    text = SOURCE.read_text()
    assert text.count(good) == 1
    error = complaint(text.replace(good, bad), tmp_path, configuration)
    assert re.search(rf"provider zlib, snippet stream\.bpf\.c{said}", error.message.splitlines()[0]), error.message
    assert "--without zlib" in error.hint
    assert "/virtual/main.c" not in error.message


def test_what_the_snippets_did_not_do_is_not_laid_to_them(
    tmp_path: Path, configuration: SystemConfiguration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datacrumbs.engine.source.compiler_flags", lambda *_, **__: ["-include", "/no/such/header.h"])
    error = complaint(SOURCE.read_text(), tmp_path, configuration)
    assert "snippet" not in error.message.splitlines()[0]
    assert "--without" not in error.hint
