"""The plan of a recorded command is judged by the rules of the signing service, in the process that records."""

from __future__ import annotations

import json
import os
import signal

import pytest

from datacrumbs.configure import Selection, compose, current_host, read_site_file
from datacrumbs.engine import complaints
from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.plugins import load_providers
from datacrumbs.probefile.codec import encode
from datacrumbs.serving.limited import CHECK, start
from datacrumbs.session.invoker import invoker
from datacrumbs.session.own_decision import begin_decision, signed
from datacrumbs.system import SystemPaths


def test_its_snippets_are_compiled_by_the_engine_alone(tmp_path, monkeypatch):
    pytest.importorskip("datacrumbs_posix")
    monkeypatch.setattr(complaints, "find_complaints", None)  # calling it would end the child
    (tmp_path / "site.yaml").write_text("capture_probes: [{provider: posix, preset: stdio}]\n")
    site = read_site_file(tmp_path / "site.yaml")
    plan = compose(site, load_providers((), ("posix",)), current_host("sh"), Selection())
    assert plan.snippets
    user, plan_bytes = invoker(os.environ), encode(plan)
    child = begin_decision(plan_bytes, user, SystemPaths(tmp_path))
    with child.channel, child.channel.makefile("rb") as stream:
        answer = stream.read()
    assert json.loads(answer) == []
    assert signed(answer, child.wait(), plan_bytes, user).plan == plan


@pytest.mark.parametrize(
    ("ended_by", "words", "hint"),
    [
        (signal.SIGXCPU, "exceeds the allowed memory or processor time", "select fewer functions"),
        (signal.SIGALRM, "not checked in time: this host is very busy", "try again"),
    ],
)
def test_a_limit_blames_the_plan_for_what_it_takes_alone(ended_by, words, hint):
    """How long a check takes on the clock is up to what else runs."""
    child = start(lambda _: os.kill(os.getpid(), ended_by) or b"", CHECK)
    child.channel.close()
    with pytest.raises(DatacrumbsError, match=words) as caught:
        signed(b"", child.wait(), b"", invoker(os.environ))
    assert hint in caught.value.hint
    assert caught.value.exit_code is ExitCode.FAILED
