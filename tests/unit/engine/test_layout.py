"""The layouts that C and Python share are the same: the C compiler's word against numpy's."""

from __future__ import annotations

import subprocess
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from datacrumbs.engine import counters, counting, function_table, ring
from datacrumbs.model import record

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

_STRUCTURES = {
    "dc_record": record.CALL,
    "dc_function": function_table.DESCRIPTOR,
    "dc_count": counters.COUNT,
    "dc_name_head": ring._NAME_HEAD,
    "dc_profile_key": counting.KEY,
    "dc_profile": counting.VALUE,
}
_RENAMED = {"errno": "error"}


def _fields(dtype: np.dtype) -> list[str]:
    return list(dtype.names or ())


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    lines = []
    for structure, dtype in _STRUCTURES.items():
        lines.append(f'printf("{structure} %zu\\n", sizeof(struct {structure}));')
        lines += [
            f'printf("{structure}.{field} %zu\\n", offsetof(struct {structure}, {_RENAMED.get(field, field)}));'
            for field in _fields(dtype)
        ]
    lines += [
        'printf("totals %d\\n", DC_TOTALS);',
    ]
    layout = (files("datacrumbs.engine") / "bpf" / "layout.h").read_text()
    source = (
        "#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n"
        "typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64;\n"
        "typedef int32_t s32; typedef int64_t s64;\n"
        + layout
        + "\nint main(void) {"
        + "\n".join(lines)
        + "return 0; }\n"
    )
    directory: Path = tmp_path_factory.mktemp("layout")
    (directory / "layout.c").write_text(source)
    subprocess.run(["cc", "-o", directory / "layout", directory / "layout.c"], check=True)
    output = subprocess.run([directory / "layout"], check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (line.split() for line in output.splitlines())}


@pytest.mark.parametrize("structure", _STRUCTURES)
def test_structure(structure: str, compiled: dict[str, int]) -> None:
    dtype = _STRUCTURES[structure]
    assert compiled[structure] == dtype.itemsize
    for field in _fields(dtype):
        assert compiled[f"{structure}.{field}"] == dtype.fields[field][1], field


def test_totals(compiled: dict[str, int]) -> None:
    assert compiled["totals"] == len(counters.TOTALS)
