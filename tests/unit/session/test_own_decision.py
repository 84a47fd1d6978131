"""The plan of a recorded command is judged by the rules of the signing service, in the process that records."""

from __future__ import annotations

import json
import os

import pytest

from datacrumbs.configure import Selection, compose, current_host, read_site_file
from datacrumbs.engine import complaints
from datacrumbs.plugins import load_providers
from datacrumbs.probefile.codec import encode
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
    with os.fdopen(child.answer, "rb") as stream:
        answer = stream.read()
    assert child.wait() == 0
    assert json.loads(answer) == []
    assert signed(answer, plan_bytes, user).plan == plan
