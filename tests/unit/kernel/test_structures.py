from __future__ import annotations

import pytest

from datacrumbs.errors import DatacrumbsError
from datacrumbs.kernel import btf, structures


def test_the_running_kernel_has_what_the_program_is_compiled_with():
    types = structures.running_kernel()
    offsets = structures.struct_offsets(types)
    tables = (*structures.MEMBERS.items(), *structures.OPTIONAL.items())
    assert set(offsets) == {(name, member) for name, members in tables for member in members.split()}
    members = types.structure("task_struct")
    assert members is not None
    by_name = {member.name: member.offset for member in members}
    assert offsets["task_struct", "files"] == 8 * by_name["files"]
    flags = structures.definitions(types)
    assert f"-DDC_TASK_FILES={by_name['files']}" in flags
    (bit,) = [flag for flag in flags if flag.startswith("-DDC_LINUX_BINPRM_SECUREEXEC_BIT=")]
    assert bit.endswith(f"={offsets['linux_binprm', 'secureexec']}")


def test_functions_that_the_kernel_lacks_have_no_id():
    types = structures.running_kernel()
    found = structures.function_ids(types, ["vfs_read", "no_such_function"])
    assert found == {"vfs_read": types.type_id(btf.Kind.FUNCTION, "vfs_read")}


@pytest.mark.parametrize("lacking", ["", *structures.TURNS])
def test_the_kernel_counts_turns_if_it_has_all_that_this_needs(lacking, monkeypatch):
    types = structures.running_kernel()
    ids = {name: number for number, name in enumerate((*structures.TURNS, structures.CAST), 1) if name != lacking}
    monkeypatch.setattr(structures, "function_ids", lambda _, names: {name: ids[name] for name in names if name in ids})
    assert ("-DDC_WITH_TURNS" in structures.definitions(types)) == (not lacking)


def test_a_member_that_this_kernel_lacks_is_an_error_unless_it_is_optional(monkeypatch):
    types = structures.running_kernel()
    monkeypatch.setitem(structures.MEMBERS, "task_struct", "files no_such_member")
    with pytest.raises(DatacrumbsError, match="struct task_struct of this kernel has no member no_such_member"):
        structures.struct_offsets(types)
    monkeypatch.setitem(structures.MEMBERS, "task_struct", "files")
    monkeypatch.setitem(structures.OPTIONAL, "no_such_structure", "mode")
    assert structures.struct_offsets(types)["no_such_structure", "mode"] == -1


def test_a_kernel_without_type_information_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(btf, "BTF_DIRECTORY", tmp_path)
    with pytest.raises(DatacrumbsError, match="no type information"):
        structures.running_kernel()
