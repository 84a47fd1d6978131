"""Which C code reaches the kernel."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from datacrumbs.engine import compiler
from datacrumbs.kernel import header_files
from datacrumbs.model.licences import is_gpl_compatible
from datacrumbs.probefile.codec import encode
from datacrumbs.serving.denial import DenialError
from datacrumbs.signer.authority import open_authority
from datacrumbs.signer.compilation import REMEMBERED, Compilation

from .deciding import ME, denied, sign


class TestSnippets:
    def test_an_untrusted_snippet(self, installation):
        installation.trust("something else")
        denied(
            installation, installation.plan(), "snippet.untrusted", "posix/one of datacrumbs-posix 0.1.0 .*not trusted"
        )

    def test_an_altered_snippet(self, installation):
        plan = installation.plan()
        snippet = replace(plan.snippets[0], text=plan.snippets[0].text + " ")
        denied(installation, replace(plan, snippets=(snippet,)), "snippet.untrusted", "not trusted")

    @pytest.mark.parametrize("change", [{"version": "0.1.1"}, {"distribution": "other"}])
    def test_a_trusted_text_under_another_package(self, installation, change):
        plan = installation.plan()
        plan = replace(plan, providers=(replace(plan.providers[0], **change),))
        denied(installation, plan, "snippet.untrusted", "not trusted")

    def test_a_trusted_text_under_another_name(self, installation):
        plan = installation.plan()
        plan = replace(plan, snippets=(*plan.snippets, replace(plan.snippets[0], name="two")))
        denied(installation, plan, "snippet.untrusted", "posix/two of datacrumbs-posix 0.1.0 .*not trusted")

    def test_a_clash_with_another_snippet_is_not_remembered(self, installation):
        """Which snippets are in a plan is its author's choice."""
        (snippet,) = installation.plan().snippets
        text = snippet.text + "static __always_inline int helper(void) { return 1; }\n"
        one, two = (replace(snippet, name=name, text=text) for name in ("one", "two"))
        compilation = Compilation()
        with pytest.raises(DenialError, match=r"snippet two.bpf.c:3: redefinition of 'helper'") as caught:
            compilation.check((one, two))
        assert caught.value.code == "snippet.faulty"
        compilation.check((two,))
        compilation.check((one,))
        assert list(compilation.said().values()) == ["", ""]

    def test_a_fault_beside_other_snippets_is_remembered(self, installation, monkeypatch):
        (snippet,) = installation.plan().snippets
        faulty = replace(snippet, name="two", text=snippet.text + "this is no C\n")
        compilation = Compilation()
        for _ in ("compiled", "remembered"):
            with pytest.raises(DenialError, match=r"snippet two.bpf.c:3: "):
                compilation.check((snippet, faulty))
            monkeypatch.setattr(compiler, "complaint", None)
        assert len(compilation.said()) == 1

    def test_what_is_remembered_has_a_bound(self):
        compilation = Compilation()
        compilation.learn((str(number), "") for number in range(REMEMBERED + 3))
        assert list(compilation.said()) == [str(number) for number in range(3, REMEMBERED + 3)]

    @pytest.mark.parametrize("said", ["Apache-2.0", "LicenseRef-Mine"])
    def test_a_licence_that_the_kernel_does_not_take(self, installation, said):
        text = f"/* x */\n/* SPDX-License-Identifier: {said} */\n"
        installation.trust(text)
        plan = installation.plan()
        plan = replace(plan, snippets=(replace(plan.snippets[0], text=text, licence=said),))
        denied(installation, plan, "snippet.licence", f"licence {said} is not compatible")

    def test_a_snippet_that_does_not_compile(self, installation):
        text = installation.plan().snippets[0].text + "static __always_inline int helper(void) { return missing; }\n"
        installation.trust(text)
        plan = installation.plan()
        plan = replace(plan, snippets=(replace(plan.snippets[0], text=text),))
        authority = open_authority(installation.paths)
        for _ in ("compiled", "remembered"):
            with pytest.raises(DenialError, match=r"provider posix, snippet one.bpf.c:3: .*'missing'") as caught:
                authority.sign(encode(plan), plan, ME)
            assert caught.value.code == "snippet.faulty"

    @pytest.mark.parametrize("lacking", ["headers", "bcc", "time"])
    def test_where_nothing_can_be_compiled_the_daemon_has_the_word(self, installation, monkeypatch, lacking):
        text = installation.plan().snippets[0].text + "this is no C\n"
        installation.trust(text)
        plan = installation.plan()
        plan = replace(plan, snippets=(replace(plan.snippets[0], text=text),))
        if lacking == "headers":
            monkeypatch.setattr(header_files, "MODULES", installation.paths.prefix / "none")
        elif lacking == "bcc":
            monkeypatch.setitem(sys.modules, "bcc", None)
            monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda _: None)
        else:
            monkeypatch.setattr(compiler, "_ask", lambda *_, **__: SimpleNamespace(status=-signal.SIGXCPU, words=""))
        assert sign(installation, plan)

    def test_a_compiler_that_was_not_ready_in_time_is_asked_again(self, installation, monkeypatch):
        """How long it takes on the clock is up to what else runs: nothing of it is remembered."""
        snippet, compilation = installation.plan().snippets[0], Compilation()
        monkeypatch.setattr(compiler, "_ask", lambda *_, **__: SimpleNamespace(status=-signal.SIGALRM, words=""))
        compilation.check((snippet,))
        assert not compilation.said()
        monkeypatch.setattr(compiler, "_ask", lambda *_, **__: SimpleNamespace(status=0, words=""))
        compilation.check((snippet,))
        assert list(compilation.said().values()) == [""]

    def test_a_licence_that_the_text_does_not_state(self, installation):
        text = "/* SPDX-License-Identifier: Apache-2.0 */\n"
        installation.trust(text)
        plan = installation.plan()
        plan = replace(plan, snippets=(replace(plan.snippets[0], text=text),))
        denied(installation, plan, "snippet.licence", "the text says licence Apache-2.0")

    @pytest.mark.parametrize(
        ("expression", "compatible"),
        [
            ("GPL-2.0-only", True),
            ("MIT OR Apache-2.0", True),
            ("MIT AND Apache-2.0", False),
            ("(MIT OR Apache-2.0) AND Apache-2.0", False),
            ("GPL-3.0-only", False),
            ("", False),
        ],
    )
    def test_licence_expressions(self, expression, compatible):
        assert is_gpl_compatible(expression) is compatible
