from __future__ import annotations

import os
import sys
import types

import pytest

from datacrumbs.provider import (
    Argument,
    Attach,
    Check,
    CheckState,
    Cost,
    Function,
    Layer,
    Preset,
    ProbeTarget,
    Provider,
    Role,
    Snippet,
    Target,
    hookimpl,
)
from datacrumbs.testing import check_provider

TEXT = """/* Counts things. */
/* SPDX-License-Identifier: GPL-2.0-only */
static __always_inline void dc_alpha_one_entry(struct dc_call *call) { DC_SET_FIELD(call, 0, 1); }
"""
FIELD = Argument(0, "bytes", role=Role.BYTES)


@pytest.fixture(autouse=True)
def alpha(tmp_path, monkeypatch):
    """An installed distribution whose entry point names the module that the tests make."""
    info = tmp_path / "datacrumbs_alpha-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: datacrumbs-alpha\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[datacrumbs.providers]\nalpha = alpha_module\n")
    monkeypatch.syspath_prepend(tmp_path)


def module(**hooks):
    made = types.ModuleType("alpha_module")
    made.datacrumbs_provider = hookimpl(lambda: Provider(title="t", layer=Layer.LIBRARY))
    made.datacrumbs_presets = hookimpl(lambda: [Preset("all", "all", Cost.LOW)])
    for name, function in hooks.items():
        setattr(made, name, function)
    return made


def problems(**hooks) -> str:
    with pytest.raises(AssertionError) as caught:
        check_provider(module(**hooks))
    return str(caught.value)


def snippet(text=TEXT, fields=(FIELD,), licence="GPL-2.0-only"):
    return hookimpl(lambda: [Snippet(name="one", text=text, fields=fields, licence=licence)])


def test_a_module_that_is_not_installed():
    text = problems(__name__="another_module")
    assert (
        "no installed distribution has an entry point NAME = another_module in the group datacrumbs.providers" in text
    )
    assert "install the provider to test it" in text


def test_hooks_that_are_not_marked_or_not_there():
    text = problems(datacrumbs_checks=lambda: (), datacrumbs_tragets=lambda: ())
    assert "datacrumbs_checks: not marked; put @hookimpl" in text
    assert "datacrumbs_tragets: no such hook" in text


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (snippet("int x;\n" + TEXT), "the first line is not a comment"),
        (snippet(TEXT.replace("SPDX-License-Identifier:", "")), "the text says licence none (SPDX-License-Identifier)"),
        (snippet(licence="Apache-2.0"), "not compatible with the kernel's GPL"),
        (snippet(TEXT + "#include <linux/fs.h>\n"), "an #include"),
        (snippet(TEXT + "BPF_HASH(mine);\n"), "a map of its own"),
        (snippet(TEXT + "x = bpf_map_lookup_elem(&m, &k);\n"), "fills its fields and nothing else"),
        (snippet(TEXT + "bpf_probe_read_user(&x, 8, p);\n"), "use DC_READ"),
        (snippet(fields=(FIELD, Argument(1, "more"))), "field 1 (more) is never set"),
    ],
)
def test_snippets_that_break_the_rules(made, words):
    assert words in problems(datacrumbs_snippets=made)


def test_presets_and_checks():
    assert "no preset 'all'" in problems(datacrumbs_presets=hookimpl(lambda: ()))
    named = [Preset("all", "all", Cost.LOW, frozenset({"x"}))]
    assert "preset 'all': names functions" in problems(datacrumbs_presets=hookimpl(lambda: named))
    silent = hookimpl(lambda: [Check("x", CheckState.MISSING, "gone")])
    assert "check 'x': missing, but does not say how to fix it" in problems(datacrumbs_checks=silent)


def test_plans_must_be_the_same_each_time():
    target = ProbeTarget(Target(sys.executable, "ab" * 10), Attach.UPROBE, "x")
    counter = iter(range(1, 100))
    text = problems(
        datacrumbs_targets=hookimpl(lambda: [target]),
        datacrumbs_functions=hookimpl(lambda: [Function("f", "f", "X", offset=next(counter))]),
    )
    assert "asked twice, the provider gives different targets or functions" in text


def test_a_module_without_a_description():
    with pytest.raises(AssertionError, match="datacrumbs_provider"):
        check_provider(types.ModuleType("alpha_module"))


def test_a_wrong_line_of_c_is_told_at_its_place():
    wrong = TEXT.replace("DC_SET_FIELD(call, 0, 1);", "DC_SET_FIELD(call, 0, bytes);")
    assert (
        "provider alpha, snippet one.bpf.c:3: use of undeclared identifier 'bytes'"
        in problems(datacrumbs_snippets=snippet(wrong)).splitlines()
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="the verifier lets root in only")
def test_what_the_kernel_refuses_is_told_at_its_place():
    wrong = TEXT.replace("DC_SET_FIELD(call, 0, 1);", "\n\tDC_SET_FIELD(call, 0, *(u64 *)DC_ARGUMENT(call, 0));\n")
    assert "provider alpha, snippet one.bpf.c:4: R1 invalid mem access" in problems(datacrumbs_snippets=snippet(wrong))
