"""The documents say what the code does: generated pages are current, links lead somewhere, examples are valid."""

from __future__ import annotations

import importlib.util
import platform
import re
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from datacrumbs.configure import compose
from datacrumbs.configure.host import current_host
from datacrumbs.configure.site import read_site_file
from datacrumbs.plugins import hookspecs, load_providers
from datacrumbs.provider import Attach
from datacrumbs.serving.caller import Caller
from datacrumbs.signer.policy import check_policy, read_policy
from datacrumbs.signer.remote_hosts import read_remote_hosts
from datacrumbs.system import SystemConfiguration, SystemPaths, read_system_configuration

if TYPE_CHECKING:
    from types import ModuleType

REPOSITORY = Path(__file__).resolve().parents[3]
DOCUMENTS = (
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted((REPOSITORY / "providers").glob("*/README.md")),
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"\bdatacrumbs_[a-z_]+")


@pytest.fixture(scope="module")
def docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("datacrumbs_docs_script", REPOSITORY / "scripts/docs.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(REPOSITORY / "scripts"))  # as where it is run as a program
    spec.loader.exec_module(module)
    return module


def blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [text for found, text in _FENCE.findall(document.read_text(encoding="utf-8")) if found == language]


def test_the_default_system_configuration_shows_every_key_with_its_default() -> None:
    text = (REPOSITORY / "systemd/datacrumbs.yaml").read_text(encoding="utf-8")
    shown = yaml.safe_load("\n".join(re.findall(r"^# ([a-z_]+:.*)$", text, re.MULTILINE)))
    shown |= {key: tuple(value) for key, value in shown.items() if isinstance(value, list)}
    shown["trace_log_dir"] = Path(shown["trace_log_dir"])
    assert shown == asdict(SystemConfiguration(Path("/var/log/datacrumbs")))


def test_generated_pages_are_current(docs: ModuleType) -> None:
    stale = [
        str(path)
        for path, text in docs.pages().items()
        if not (REPOSITORY / path).is_file() or (REPOSITORY / path).read_text(encoding="utf-8") != text
    ]
    assert not stale, f"run .venv/bin/python scripts/docs.py; not current: {stale}"


def test_no_page_is_left_over(docs: ModuleType) -> None:
    written = {REPOSITORY / path for path in docs.pages()}
    for directory in (docs.REFERENCE, docs.MANUAL, docs.BASH, docs.ZSH):
        found = {path for path in (REPOSITORY / directory).rglob("*") if path.is_file()}
        assert found == {path for path in written if path.is_relative_to(REPOSITORY / directory)}


def test_every_command_has_a_page() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pages = {file.stem for file in (REPOSITORY / "docs/reference/commands").glob("datacrumbs*.md")}
    assert pages == {*project["scripts"], "datacrumbs_wrap"}


def test_every_hook_is_documented() -> None:
    text = (REPOSITORY / "docs/reference/hooks.md").read_text(encoding="utf-8")
    hooks = [name for name in vars(hookspecs) if name.startswith("datacrumbs_")]
    assert hooks
    for hook in hooks:
        assert f"\n### {hook}\n" in text or f"\n## {hook}\n" in text


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(document: Path) -> None:
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    for link in _LINK.findall(text):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{document.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{document.name}: {link}"


def anchors(document: Path) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", document.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_commands_that_documents_name_exist(document: Path) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = {*project["scripts"], "datacrumbs_wrap"}
    for block in blocks(document, "sh"):
        for line in block.splitlines():
            words = line.split("#")[0].removeprefix("sudo ").split()
            if words and _COMMAND.fullmatch(words[0]):
                assert words[0] in known, f"{document.name}: {line}"


def test_code_in_the_provider_guide_is_the_examples() -> None:
    guide = (REPOSITORY / "docs/write-a-provider.md").read_text(encoding="utf-8")
    quoted = re.findall(r"<!-- from (\S+) -->\n```\w+\n(.*?)\n```", guide, re.DOTALL)
    assert len(quoted) > 5
    for name, text in quoted:
        assert text in (REPOSITORY / "examples/datacrumbs-zlib" / name).read_text(encoding="utf-8"), name


@pytest.mark.parametrize("number", range(len(blocks(REPOSITORY / "docs/site-file.md", "yaml"))))
def test_examples_of_the_site_file_are_valid(number: int, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(blocks(REPOSITORY / "docs/site-file.md", "yaml")[number], encoding="utf-8")
    assert read_site_file(file).file == file


def test_the_first_example_of_the_site_file_composes(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(blocks(REPOSITORY / "docs/site-file.md", "yaml")[0], encoding="utf-8")
    site = read_site_file(file)
    plan = compose(site, load_providers((), ("sys", "posix")), current_host())
    assert {provider.name for provider in plan.providers} == {"sys", "posix"}


def test_the_examples_of_the_other_form_compose(tmp_path: Path) -> None:
    text = next(block for block in blocks(REPOSITORY / "docs/site-file.md", "yaml") if "probe: usdt" in block)
    machine = platform.machine()
    python = Path(sys.executable).resolve()
    text = text.replace("x86_64-linux-gnu", f"{machine}-linux-gnu").replace("/usr/bin/python3.11", str(python))
    file = tmp_path / "site.yaml"
    file.write_text(text, encoding="utf-8")
    plan = compose(read_site_file(file), load_providers((), ("sys",)), current_host())
    assert {group.attach for group in plan.groups} >= {Attach.SYSCALL, Attach.UPROBE, Attach.USDT}


def test_examples_of_the_system_configuration_are_valid(tmp_path: Path) -> None:
    paths = SystemPaths(tmp_path)
    paths.configuration.mkdir(parents=True)
    for block in blocks(REPOSITORY / "docs/system-configuration.md", "yaml"):
        paths.system_file.write_text(block, encoding="utf-8")
        read_system_configuration(paths)


def test_the_examples_of_the_policy_are_valid(tmp_path: Path) -> None:
    examples = blocks(REPOSITORY / "docs/run-a-site.md", "yaml")
    assert examples
    file = tmp_path / "policy.yaml"
    for block in examples:
        file.write_text(block, encoding="utf-8")
        assert all(rule.targets for rule in read_policy(file))
        read_remote_hosts(file)


@pytest.mark.parametrize("groups", [(), ("io-analysts",)], ids=["anybody", "analyst"])
def test_the_examples_policy_allows_the_shipped_site_file(groups: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(blocks(REPOSITORY / "docs/run-a-site.md", "yaml")[0], encoding="utf-8")
    site = read_site_file(REPOSITORY / "datacrumbs/configure/default.yaml")
    plan = compose(site, load_providers(), current_host())
    assert {provider.name for provider in plan.providers} >= {"sys", "posix"}
    user = Caller(1000, 1000, 1, "alice", frozenset(groups), (1000,))
    assert check_policy(read_policy(file), plan, user)


def test_other_examples_in_yaml_parse() -> None:
    for document in DOCUMENTS:
        for block in blocks(document, "yaml"):
            assert yaml.safe_load(block)


def test_files_that_code_and_pages_point_to_are_there() -> None:
    named = re.compile(
        r"(?<![\w/.-])(?:docs|tests|scripts|bench|systemd|providers|datacrumbs)/[\w/.-]+\.(?:py|c|h|md|sh)\b"
    )
    sources = [file for kind in ("py", "c", "h") for file in (REPOSITORY / "datacrumbs").rglob(f"*.{kind}")]
    for source in (*sources, *DOCUMENTS):
        for name in named.findall(source.read_text(encoding="utf-8")):
            places = (REPOSITORY, REPOSITORY / "examples/datacrumbs-zlib")
            assert any((place / name).is_file() for place in places), f"{source.name} names {name}"


def test_each_file_that_is_installed_is_described() -> None:
    text = (REPOSITORY / "systemd/README.md").read_text(encoding="utf-8")
    files = {path.name for path in (REPOSITORY / "systemd").iterdir()} - {"README.md"}
    assert {name for name in files if f"| `{name}`" not in text and f", `{name}`" not in text} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_options_that_documents_name_exist(document: Path) -> None:
    pages = REPOSITORY / "docs/reference/commands"
    for block in blocks(document, "sh"):
        for line in block.splitlines():
            words = line.split("#")[0].removeprefix("sudo ").split()
            page = pages / f"{words[0] if words else ''}.md"
            if not page.is_file() or page.stem in {"datacrumbs", "datacrumbs_record", "datacrumbs_wrap"}:
                continue  # those take another command's options, too
            known = page.read_text(encoding="utf-8")
            for option in re.findall(r"(?<!\S)--[a-z][a-z-]+", line.split("#")[0].split("|")[0]):
                assert option in known, f"{document.name}: {line}"
