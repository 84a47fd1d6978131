"""Which part of the package may import which: an order from the ground up, and two laws beyond it.

What runs as root never imports what any user may install, and readers never import bcc.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

import datacrumbs

PACKAGE = Path(datacrumbs.__file__).parent
ORDER = (
    "errors",
    "output",
    "quantities",
    "model",  # what a plan and a record are
    "provider",  # what providers import
    "secure",  # what root trusts of the disk
    "installed",
    "system",  # paths and the system configuration
    "cache",  # of what was found out
    "elf",
    "kernel",
    "plugins",
    "probefile",
    "client",
    "engine",
    "trace",
    "serving",  # what services for all users of a host share
    "signer",
    "seal",  # what a node vouches for
    "daemon",
    "runs",  # for users who are not root
    "jobs",  # of a scheduler
    "configure",
    "schemas",  # of what commands print
    "session",  # one command with its own run
    "report",
    "nodes",  # over ssh
    "testing",
    "install",
    "commands",
)
"""Each may import those above it, and itself."""

SAME_STEM = {
    "run": "commands are called as users call them",
    "runs": "commands are called as users call them",
    "contract": "what C and Python agree on, and, inside the test kit alone, what providers must keep",
    "engine": "the module has the package's one class, Engine",
    "daemon": "commands are called as users call them",
    "report": "commands are called as users call them",
    "record": "commands are called as users call them",
    "epilog": "commands are called as users call them",
    "prolog": "commands are called as users call them",
    "tracking": "what two commands share is theirs alone",
}
"""Stems that more than one module or package has, and why."""
ROOT_STAGES = ("engine", "daemon", "runs", "jobs", "serving", "signer", "trace", "probefile")
FOREIGN_TO_ROOT = ("datacrumbs.provider", "datacrumbs.plugins", "datacrumbs.configure", "datacrumbs.testing")
BY_NAME = {PACKAGE / "commands/_registry.py", PACKAGE / "commands/_command.py"}
"""They import the module that declares a command, and the one that does its work, by the names of these."""
READER_STAGES = ("trace", "report")


@cache
def imported_modules(file: Path, package: str) -> frozenset[str]:
    """Full names of all that a file imports, wherever in it, with what it takes from packages."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
            modules |= {base} | {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("import_module", "importlib.import_module"):
            named = isinstance(node.args[0], ast.Constant)
            assert named or file in BY_NAME, f"{file}: imports a module whose name is computed"
            modules |= {str(node.args[0].value)} if named else set()
        elif isinstance(node, ast.keyword) and node.arg == "work" and isinstance(node.value, ast.Constant):
            modules |= {f"{package}.{str(node.value.value).split(':')[0]}"}  # of a `Command`
    return frozenset(modules)


def imports_of_stage(stage: str) -> dict[str, frozenset[str]]:
    """Per file of a stage (path below the package) what it imports."""
    found = {}
    for file in sorted((PACKAGE / stage).rglob("*.py")):
        place = file.relative_to(PACKAGE.parent)
        found[str(place)] = imported_modules(file, ".".join(place.parent.parts))
    return found


def below(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


# What a stage reaches by way of other modules of the package counts too.
def reached_modules(stage: str) -> dict[str, set[str]]:
    direct = imports_of_stage(stage)
    reached = {}
    for place, modules in direct.items():
        seen: set[str] = set()
        waiting = list(modules)
        while waiting:
            module = waiting.pop()
            if module in seen:
                continue
            seen.add(module)
            file = module_file(module)
            if file is not None:
                package = module if file.name == "__init__.py" else module.rpartition(".")[0]
                waiting.extend(imported_modules(file, package))
        reached[place] = seen
    return reached


def module_file(module: str) -> Path | None:
    if not below(module, "datacrumbs"):
        return None
    path = PACKAGE.parent.joinpath(*module.split("."))
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_part_has_its_place_in_the_order() -> None:
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert parts - {"__init__"} == set(ORDER)
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("part", ORDER[:-1])
def test_each_part_imports_only_what_is_below_it(part: str) -> None:
    allowed = {"", "__version__", *ORDER[: ORDER.index(part) + 1]}
    imported = imports_of_stage(part) or {part: imported_modules(PACKAGE / f"{part}.py", "datacrumbs")}
    offences = {
        place: sorted(m for m in modules if below(m, "datacrumbs") and part_of(m) not in allowed)
        for place, modules in imported.items()
    }
    assert not {place: modules for place, modules in offences.items() if modules}


def test_no_modules_import_each_other_in_a_circle() -> None:
    remaining = {}
    for file in PACKAGE.rglob("*.py"):
        package = ".".join(file.parent.relative_to(PACKAGE.parent).parts)
        name = package if file.name == "__init__.py" else f"{package}.{file.stem}"
        modules = {module for module in imported_modules(file, package) if module_file(module)} - {name}
        # What is taken from a package's module is no import of what the package hands on.
        remaining[name] = {each for each in modules if not any(below(other, each) for other in modules - {each})}
    while ended := {name for name, modules in remaining.items() if not modules & remaining.keys()}:
        remaining = {name: modules for name, modules in remaining.items() if name not in ended}
    circles = {name: sorted(modules & remaining.keys()) for name, modules in remaining.items()}
    assert circles == {}


def test_no_two_modules_share_a_stem_without_a_reason() -> None:
    stems: dict[str, list[str]] = {}
    for path in [*PACKAGE.rglob("*.py"), *(each for each in PACKAGE.iterdir() if (each / "__init__.py").is_file())]:
        if path.stem != "__init__":
            stems.setdefault(path.stem.lstrip("_"), []).append(str(path.relative_to(PACKAGE)))
    shared = {stem: places for stem, places in stems.items() if len(places) > 1}
    assert {stem: places for stem, places in shared.items() if stem not in SAME_STEM} == {}
    assert set(shared) == set(SAME_STEM)


def test_no_two_classes_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for file in PACKAGE.rglob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(file.relative_to(PACKAGE)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


@pytest.mark.parametrize("stage", ROOT_STAGES)
def test_root_code_never_reaches_providers_plugins_or_the_configurator(stage: str) -> None:
    offences = {
        place: sorted(m for m in modules if any(below(m, foreign) for foreign in FOREIGN_TO_ROOT))
        for place, modules in reached_modules(stage).items()
    }
    assert offences, f"{stage} has no modules: was it renamed?"
    assert not {place: modules for place, modules in offences.items() if modules}


@pytest.mark.parametrize("stage", ROOT_STAGES)
def test_root_code_never_reaches_a_provider_distribution_or_pluggy(stage: str) -> None:
    offences = {
        place: sorted(m for m in modules if m.startswith("datacrumbs_") or below(m, "pluggy"))
        for place, modules in reached_modules(stage).items()
    }
    assert not {place: modules for place, modules in offences.items() if modules}


@pytest.mark.parametrize("stage", READER_STAGES)
def test_readers_never_reach_bcc(stage: str) -> None:
    offences = [place for place, modules in reached_modules(stage).items() if any(below(m, "bcc") for m in modules)]
    assert not offences


def test_the_law_sees_every_form_of_import(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "import a.b\nfrom c import d\nfrom . import e\nfrom ..f import g\n"
        "def h():\n    import i\n    import importlib\n    importlib.import_module('j.k')\n"
    )
    assert imported_modules(file, "x.y") == {
        *("a.b", "c", "c.d", "x.y", "x.y.e", "x.f", "x.f.g", "i", "importlib", "j.k"),
    }


def test_nothing_that_runs_as_root_for_others_keeps_or_takes_what_was_kept() -> None:
    callers = {
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        if "keep_in(" in file.read_text(encoding="utf-8")
    }
    assert callers == {"commands/_composing.py", "cache/analysis_cache.py", "session/own_plan.py"}
