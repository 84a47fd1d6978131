"""Every C file can be compiled by itself, with the flags that editors find beside it (``compile_flags.txt``)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import datacrumbs
from datacrumbs.engine import source
from datacrumbs.model.plan import Snippet

PACKAGE = Path(datacrumbs.__file__).parent
FILES = tuple(sorted(str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.[ch]")))
STRICT = ("-Werror=implicit-function-declaration", "-Werror=incompatible-pointer-types", "-Werror=undef")


def flags_beside(file: Path) -> tuple[Path, list[str]]:
    """The nearest directory with flags, as clangd looks for it, and the flags."""
    directory = next(parent for parent in file.parents if (parent / "compile_flags.txt").is_file())
    return directory, (directory / "compile_flags.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.skipif(shutil.which("clang") is None, reason="needs clang")
def test_every_file_stands_by_itself(name: str) -> None:
    directory, flags = flags_beside(PACKAGE / name)
    command = ["clang", *flags, *STRICT, "-fsyntax-only", PACKAGE / name]
    done = subprocess.run(command, cwd=directory, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_headers_are_guarded() -> None:
    for name in FILES:
        text = (PACKAGE / name).read_text(encoding="utf-8")
        if name.endswith(".h"):
            guard = re.search(r"^#ifndef (\w+)\n#define \1$", text, re.MULTILINE)
            assert guard, name
            assert text.rstrip().endswith("#endif"), name


def test_what_a_part_of_the_program_includes_is_before_it() -> None:
    """The program is put together without includes, in an order that must therefore serve all of them."""
    parts = [*source._BEFORE_SNIPPETS, *source._AFTER_SNIPPETS]
    for position, part in enumerate(parts):
        if part == source._CONTRACT:
            continue
        text = (PACKAGE / "engine/bpf" / part).read_text(encoding="utf-8")
        for included in re.findall(r'^#include "(?:.*/)?(.*)"$', text, re.MULTILINE):
            assert included in parts[:position], part
    assert {Path(name).name for name in FILES if name.startswith("engine/bpf/")} == set(parts) - {source._CONTRACT}


# bcc makes a table of all symbols of the kernel at each use of these names that it sees.
def test_bcc_sees_none_of_its_names_for_helpers_that_read_memory() -> None:
    text = source.up_to_snippet(Snippet(name="s", provider="p", text="/* a snippet */"))
    for name in ("user", "user_str", "kernel", "kernel_str"):
        helper = f"bpf_probe_read_{name}"
        before = text.partition(f"#define {helper} dc_probe_read_{name}\n")[0]
        assert before != text
        assert not re.search(rf"\b{helper}\b", before)
