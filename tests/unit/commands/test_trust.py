from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.signer.private_key import load_private_key
from datacrumbs.signer.snippets import TrustedSnippet, read_trusted

from ...json_forms import read_json  # noqa: TID252 - a helper of all tests
from ..install.installing import install  # noqa: TID252 - tests are no package
from ..running import command  # noqa: TID252 - likewise

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "/* hello */\n/* SPDX-License-Identifier: GPL-2.0-only */\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory of installed packages with one provider, whose import would leave a mark."""
    site = tmp_path / "site"
    package, information = site / "dc_demo", site / "datacrumbs_demo-1.2.dist-info"
    (package / "snippets").mkdir(parents=True)
    information.mkdir()
    (package / "__init__.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    (package / "snippets/hello.bpf.c").write_text(TEXT)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: datacrumbs-demo\nVersion: 1.2\n")
    (information / "entry_points.txt").write_text("[datacrumbs.providers]\ndemo = dc_demo\n")
    (information / "RECORD").write_text("dc_demo/__init__.py,,\ndc_demo/snippets/hello.bpf.c,,\n")
    return site


class TestTrust:
    def test_add_list_verify_remove(self, site, paths):
        list(install(paths, "login"))
        where = ("--prefix", paths.prefix, "--json", "--provider", "demo")
        added = read_json("trust", command("trust", "add", *where, path=site).stdout)
        assert added[0]["distribution"] == "datacrumbs-demo"
        assert added[0]["version"] == "1.2"
        assert json.loads(command("trust", "list", *where, path=site).stdout) == added
        assert json.loads(command("trust", "verify", *where, path=site).stdout)[0]["state"] == "trusted"
        (site / "dc_demo/snippets/hello.bpf.c").write_text(TEXT + "int changed;\n")
        found = read_json("trust", command("trust", "verify", *where, path=site, status=1).stdout)
        assert sorted(row["state"] for row in found) == ["not installed", "not trusted"]
        assert json.loads(command("trust", "remove", *where, path=site).stdout) == added
        assert not [entry for entry in read_trusted(paths.trusted_snippets) if entry.provider == "demo"]

    @pytest.mark.parametrize(
        "words",
        [
            ("add", "--provider", "demo", "--json"),
            ("--provider", "demo", "add", "--json"),
            ("--json", "--provider=demo", "add"),
            ("--prov", "demo", "--json", "add"),
        ],
    )
    def test_the_action_can_be_anywhere_as_it_could(self, site, paths, words):
        list(install(paths, "login"))
        before = paths.trusted_snippets.read_bytes()
        planned = command("trust", *words, "--dry-run", "--prefix", paths.prefix, path=site)
        assert "dry run: nothing is changed" in planned.stderr
        assert paths.trusted_snippets.read_bytes() == before
        added = command("trust", "--prefix", paths.prefix, *words, path=site)
        assert json.loads(added.stdout) == json.loads(planned.stdout)
        assert paths.trusted_snippets.read_bytes() != before

    def test_the_provider_is_never_imported(self, site, paths, tmp_path):
        list(install(paths, "login"))
        command("trust", "add", "--provider", "demo", "--prefix", paths.prefix, path=site)
        (site / "datacrumbs_demo-1.2.dist-info/RECORD").write_text("")  # as an editable installation has it
        command("trust", "verify", "--provider", "demo", "--prefix", paths.prefix, path=site)
        assert not (tmp_path / "imported").exists()

    def test_by_distribution(self, site, paths):
        list(install(paths, "login"))
        command("trust", "add", "--distribution", "DataCrumbs_demo", "--prefix", paths.prefix, path=site)
        assert any(entry.provider == "demo" for entry in read_trusted(paths.trusted_snippets))

    @pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
    def test_a_file_that_others_own_is_named(self, site, paths):
        list(install(paths, "login"))
        os.chown(site / "dc_demo/snippets/hello.bpf.c", 65534, -1)
        result = command("trust", "add", "--provider", "demo", "--prefix", paths.prefix, path=site)
        assert "owned by uid 65534, who could have changed it" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("add", "--provider", "absent"), "no installed distribution has this provider"),
            (("add", "--distribution", "absent"), "no installed distribution of this name"),
            (("add",), "one of the arguments --provider --distribution --key is required"),
            (("remove",), "one of the arguments --provider --distribution --key is required"),
            (("remove", "--provider", "absent"), "absent is not in"),
            (("add", "--provider", "a", "--distribution", "b"), "not allowed with"),
        ],
    )
    def test_wrong_use(self, paths, arguments, message):
        result = command("trust", *arguments, "--prefix", paths.prefix, status=ExitCode.USAGE)
        assert message in result.stderr

    @pytest.mark.parametrize("text", ["{", "snippets: 3", "snippets: [{provider: a}]", "[]"])
    def test_a_damaged_list(self, paths, text):
        list(install(paths, "login"))
        paths.trusted_snippets.write_text(text)
        with pytest.raises(DatacrumbsError) as caught:
            read_trusted(paths.trusted_snippets)
        assert caught.value.exit_code == ExitCode.USAGE

    def test_bundled_providers_are_trusted_by_setup(self, paths):
        list(install(paths, "login"))
        for entry in read_trusted(paths.trusted_snippets):
            assert isinstance(entry, TrustedSnippet)
            assert entry.distribution == f"datacrumbs-{entry.provider}"

    def test_the_key_is_usable(self, paths):
        list(install(paths, "login"))
        assert load_private_key(paths.private_key)
