"""Which side is to be updated when a provider and the core do not fit together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from datacrumbs.errors import DatacrumbsError
from datacrumbs.plugins import load_providers
from datacrumbs.plugins._versions import release, update_advice


@pytest.fixture
def require(install, tmp_path):
    """Install a provider whose distribution needs these versions of datacrumbs."""

    def require_versions(requirement: str, body: str = "") -> str:
        distribution = install("alpha", body)
        (metadata,) = tmp_path.glob("datacrumbs_alpha-*/METADATA")
        metadata.write_text(metadata.read_text() + f"Requires-Dist: {requirement}\nRequires-Dist: numpy >=99\n")
        return distribution

    return require_versions


@pytest.mark.parametrize(
    ("requirement", "core", "advice"),
    [
        ("datacrumbs>=0.3", "0.2.1", "update datacrumbs: it needs datacrumbs >=0.3, this is 0.2.1"),
        ("datacrumbs (>=0.10)", "0.9", "update datacrumbs: it needs datacrumbs >=0.10, this is 0.9"),
        ("datacrumbs>0.2", "0.2.0", "update datacrumbs: it needs datacrumbs >0.2, this is 0.2.0"),
        ("datacrumbs>=0.1,<0.2", "0.2.0", "update datacrumbs-alpha: it needs datacrumbs <0.2, this is 0.2.0"),
        ("datacrumbs~=0.1.0", "0.2.0", "update datacrumbs-alpha: it needs datacrumbs <0.2, this is 0.2.0"),
        ("datacrumbs~=0.3.0", "0.2.0", "update datacrumbs: it needs datacrumbs >=0.3.0, this is 0.2.0"),
        ("datacrumbs==0.1", "0.2", "update datacrumbs-alpha: it needs datacrumbs ==0.1, this is 0.2"),
        ("datacrumbs>=0.1", "0.2", "update or reinstall datacrumbs-alpha"),
        ("datacrumbs", "0.2", "update or reinstall datacrumbs-alpha"),
        ("datacrumbs-posix>=7", "0.2", "update or reinstall datacrumbs-alpha"),
    ],
)
def test_the_older_side_is_to_be_updated(require, requirement, core, advice):
    assert update_advice(require(requirement), core) == advice


def test_a_distribution_that_is_not_there_is_named():
    assert update_advice("no-such-distribution-at-all") == "update or reinstall no-such-distribution-at-all"


def test_versions_are_compared_by_their_numbers():
    assert release("0.10.0") == (0, 10) > release("0.9.3rc1") == (0, 9, 3)
    assert release("dev") == ()


def test_what_a_provider_of_a_newer_core_asks_for_says_so(require):
    require("datacrumbs>=7", "from datacrumbs.provider import Wonder\n")
    with pytest.raises(DatacrumbsError) as caught:
        load_providers(only=["alpha"])
    assert "ImportError" in caught.value.message
    assert caught.value.hint.startswith("update datacrumbs: it needs datacrumbs >=7")


def test_a_hook_that_does_not_exist_may_be_of_a_newer_core(install):
    install("alpha", "@hookimpl\ndef datacrumbs_wonders(host):\n    return []\n")
    with pytest.raises(DatacrumbsError) as caught:
        load_providers(only=["alpha"])
    assert "a misspelt name, or a hook of a newer datacrumbs" in caught.value.hint


@pytest.mark.parametrize(
    ("line", "where"),
    [
        (
            "TABLE = ",
            "provider 'alpha' of datacrumbs-alpha: signature 'read' (LINE): argument 'fd:int=file': file is not a role",
        ),
        (
            "@hookimpl\ndef datacrumbs_presets():\n    return ",
            "provider 'alpha' of datacrumbs-alpha: datacrumbs_presets has a wrong table: signature 'read' (LINE): ",
        ),
    ],
    ids=["while imported", "in a hook"],
)
def test_a_wrong_role_names_its_provider(install, line, where):
    table = "from datacrumbs.elf.signatures import signature\n"
    install("alpha", f'{table}{line}[signature("POSIX", "read", "bytes", "fd:int=file")]\n')
    with pytest.raises(DatacrumbsError) as caught:
        load_providers(only=["alpha"]).presets("alpha")
    file, line = re.findall(r"\(([^()]*):(\d+)\)", caught.value.message)[0]
    assert "signature(" in Path(file).read_text(encoding="utf-8").splitlines()[int(line) - 1]
    assert where in caught.value.message.replace(f"{file}:{line}", "LINE")
    assert "--without alpha" in caught.value.hint
