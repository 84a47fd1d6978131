"""Tests are where the modules that they test are: ``tests/unit/elf/test_dwarf.py`` for ``datacrumbs/elf/dwarf.py``.

A test module may have an aspect behind the name of its module: ``test_service_load.py`` for ``service.py``.
"""

from __future__ import annotations

import re
from pathlib import Path

import datacrumbs

PACKAGE = Path(datacrumbs.__file__).parent
TESTS = Path(__file__).resolve().parents[1]
UNIT = TESTS / "unit"
_TEST = re.compile(r"`([\w/]*\btest_\w+\.py)(?:::([\w:*]+))?`")
LINES = 100
"""Modules with more lines have a test module, or their line in `TESTED_IN`."""

OF_NO_MODULE = {
    "commands/test_json_forms.py": "the forms of what commands print, which are data",
    "bench/test_compression.py": "the measuring programs in bench",
    "bench/test_figures.py": "the measuring programs in bench",
    "bench/test_nodes.py": "the measuring programs in bench",
    "client/test_client_library.py": "C: the library of traced programs",
    "client/test_wrap.py": "C: the launcher",
    "docs/test_current.py": "documents",
    "docs/test_shell.py": "manual pages and completions",
    "jobs/test_flux_cli.py": "what Flux's commands load",
    "packaging/test_recipes.py": "recipes of packages",
    "packaging/test_skips.py": "the rule for tests that are skipped",
    "packaging/test_wheels.py": "what is distributed",
    "plugins/test_third_party_provider.py": "the example in examples/",
    "test_headers.py": "C: every file alone",
    "test_import_law.py": "the whole package",
    "test_mirror.py": "the tests",
}

TESTED_IN = {
    "client/executable": "unit/client/test_tracking.py",
    "client/replacing": "unit/client/test_tracking.py",
    "commands/cluster_stages": "service/test_nodes.py",
    "commands/composing": "unit/commands/test_probe_configurator.py",
    "commands/daemon_run": "kernel/test_run.py",
    "commands/installing": "unit/install/test_rotation.py",
    "commands/live_table": "unit/commands/test_live_view.py",
    "commands/probe_check": "unit/commands/test_probe_configurator.py",
    "commands/record": "kernel/test_record.py",
    "commands/record_process": "kernel/test_record_process.py",
    "commands/record_report": "kernel/test_record.py",
    "commands/record_session": "kernel/test_record.py",
    "commands/report_tables": "unit/commands/test_report.py",
    "commands/reporting": "unit/commands/test_report.py",
    "commands/submitting": "unit/jobs/test_submission.py",
    "commands/trust_actions": "unit/commands/test_trust.py",
    "commands/trusted_keys": "unit/install/test_rotation.py",
    "commands/verbs": "unit/commands/test_command_table.py",
    "configure/candidates": "unit/configure/test_compose.py",
    "configure/merge": "unit/configure/test_compose.py",
    "configure/usdt_entries": "kernel/test_usdt_entries.py",
    "daemon/child_process": "unit/daemon/test_keeper_process.py",
    "daemon/late_files": "kernel/test_late.py",
    "daemon/messages": "unit/daemon/test_channel.py",
    "daemon/run": "kernel/test_run.py",
    "daemon/sealer_process": "unit/daemon/test_sealing.py",
    "daemon/writing": "unit/daemon/test_ending.py",
    "elf/debug_entries": "unit/elf/test_dwarf.py",
    "elf/dependencies": "unit/elf/test_dynamic_loader.py",
    "elf/disassembly": "unit/elf/test_operands.py",
    "elf/entrances": "unit/elf/test_placement.py",
    "elf/frames": "unit/elf/test_functions.py",
    "elf/ifuncs": "unit/elf/test_functions.py",
    "elf/segments": "unit/elf/test_functions.py",
    "elf/unwind": "unit/elf/test_functions.py",
    "cache/inspected_files": "unit/cache/test_composition_cache.py",
    "elf/x86_execution": "unit/elf/test_execution.py",
    "engine/bpf_objects": "kernel/test_start.py",
    "engine/complaints": "kernel/test_snippet_faults.py",
    "engine/engine": "kernel/test_run.py",
    "engine/links": "kernel/test_attach_paths.py",
    "engine/source": "unit/test_headers.py",
    "jobs/prolog": "service/test_slurm.py",
    "kernel/system_call_numbers": "unit/kernel/test_syscalls.py",
    "model/layouts": "unit/model/test_contract.py",
    "model/plan": "unit/probefile/test_codec.py",
    "model/problems": "unit/model/test_rules.py",
    "model/record": "unit/trace/test_writer.py",
    "model/rule_kinds": "unit/model/test_rules.py",
    "nodes/cluster_shell": "unit/nodes/test_fan_out.py",
    "plugins/providers": "unit/plugins/test_loading.py",
    "probefile/schema": "unit/probefile/test_codec.py",
    "provider": "unit/plugins/test_validation.py",
    "report/exact_rows": "unit/report/test_nesting.py",
    "report/exports/perfetto": "readers/test_readers.py",
    "report/exports/stacks": "unit/report/exports/test_endings.py",
    "report/explanation_table": "unit/report/test_explaining.py",
    "report/findings/evidence": "unit/report/findings/test_judging.py",
    "report/findings/gaps": "unit/report/findings/test_judging.py",
    "report/findings/own_rules": "unit/report/findings/test_judging.py",
    "report/heatmap": "unit/report/test_page.py",
    "report/page/contents": "unit/report/test_page.py",
    "report/page/drawing": "unit/report/test_page.py",
    "report/page/explained": "unit/report/test_explaining.py",
    "report/page/rendering": "unit/report/test_page.py",
    "report/page/sections": "unit/report/test_page.py",
    "report/page/sheets": "unit/report/test_page.py",
    "report/run_facts": "unit/report/test_known_runs.py",
    "report/selected_calls": "unit/report/test_known_runs.py",
    "report/summary_cache": "unit/report/test_known_runs.py",
    "report/windows": "unit/report/test_page.py",
    "report/summary": "unit/commands/test_report.py",
    "report/tables": "unit/commands/test_report.py",
    "runs/run_client": "unit/runs/test_run_service.py",
    "runs/kept_run": "unit/runs/test_run_service.py",
    "runs/run_order": "unit/runs/test_run_service.py",
    "runs/run_policy": "unit/runs/test_run_service.py",
    "runs/snapshot_client": "unit/commands/test_live_view.py",
    "secure/file_systems": "unit/probefile/test_mapped_files.py",
    "secure/files": "unit/daemon/test_run_files_races.py",
    "serving/children": "unit/signer/test_service.py",
    "serving/remote_server": "unit/signer/test_relay.py",
    "serving/replies": "unit/signer/test_service.py",
    "serving/server": "unit/signer/test_service.py",
    "session/own_plan": "kernel/test_record.py",
    "session/own_run": "kernel/test_record.py",
    "signer/authority": "unit/signer/test_policy.py",
    "signer/request": "unit/signer/test_service.py",
    "system": "unit/install/test_steps.py",
    "trace/json_lines": "unit/trace/test_columns.py",
    "trace/members": "unit/trace/test_lines.py",
    "trace/names": "unit/trace/test_writer.py",
    "trace/processes": "unit/trace/test_writer.py",
    "trace/profiles": "unit/report/test_estimated_rows.py",
    "trace/line_shape": "unit/trace/test_lines.py",
    "trace/file_facts": "unit/trace/test_reader.py",
    "trace/templates": "unit/trace/test_lines.py",
}
"""Modules without a test module of their own, and where what they do is seen."""


def modules() -> dict[str, Path]:
    """Modules and packages by their paths in the package, without the mark of private ones."""
    places = {file: file.parent if file.stem == "__init__" else file for file in PACKAGE.rglob("*.py")}
    return {
        str(place.parent.relative_to(PACKAGE) / place.stem.lstrip("_")): file
        for file, place in places.items()
        if place != PACKAGE
    }


def module_of(place: str, names: dict[str, Path]) -> str:
    """The module of a test module, of several that fit the one with the longest name; nothing when none fits."""
    name = re.sub(r"(^|/)test_([^/]*)\.py$", r"\1\2", place)
    return max((each for each in names if name == each or name.startswith(f"{each}_")), key=len, default="")


def found() -> dict[str, str]:
    names = modules()
    places = [str(file.relative_to(UNIT)) for file in UNIT.rglob("test_*.py")]
    return {place: module_of(place, names) for place in places}


def test_every_test_module_has_its_module() -> None:
    assert {place for place, module in found().items() if not module} == set(OF_NO_MODULE)


def test_every_module_of_some_length_is_tested() -> None:
    own = set(found().values())
    long = {name for name, file in modules().items() if len(file.read_text(encoding="utf-8").splitlines()) > LINES}
    assert long - own - set(TESTED_IN) == set(), "needs a test module of its own, or a line here"
    assert set(TESTED_IN) - set(modules()) == set(), "is there no more"
    assert set(TESTED_IN) & own == set(), "has a test module of its own"


def test_what_is_tested_elsewhere_is_tested_there() -> None:
    assert {name: place for name, place in TESTED_IN.items() if not (TESTS / place).is_file()} == {}


def test_the_rule_takes_the_longest_name() -> None:
    names = dict.fromkeys(["a/run", "a/run_files", "b"], PACKAGE)
    assert module_of("a/test_run_files_races.py", names) == "a/run_files"
    assert module_of("a/test_run.py", names) == "a/run"
    assert module_of("test_b.py", names) == "b"
    assert module_of("a/test_b.py", names) == ""
    assert module_of("a/test_runs.py", names) == ""


def test_tests_that_documents_name_are_there() -> None:
    files = [*TESTS.rglob("test_*.py"), *(TESTS.parent / "providers").rglob("test_*.py")]
    missing = []
    for document in [TESTS.parent / "README.md", *(TESTS.parent / "docs").rglob("*.md")]:
        for place, name in _TEST.findall(document.read_text(encoding="utf-8")):
            texts = [file.read_text(encoding="utf-8") for file in files if str(file).endswith(f"/{place}")]
            if not any(all(part.rstrip("*") in text for part in name.split("::")) for text in texts):
                missing.append((document.name, place, name))
    assert missing == [], missing
