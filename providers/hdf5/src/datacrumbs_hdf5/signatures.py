"""What is known about HDF5's functions: those on files and their objects in full, the others by their results.

Source: the public headers of HDF5 1.8 to 1.14. Only identifiers of locations (files, groups, datasets,
attributes, committed types) are handles here: property lists, dataspaces and types in memory belong to no file.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from datacrumbs.elf.signatures import Signature, signature
from datacrumbs.provider import ARGUMENT_LIMIT, Returns, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

CATEGORY = "HDF5"

_LOCATION = "loc_id:hid_t=handle"
_NAME = "object:const char *=string"
_OBJECT = "obj_name:const char *=string"
_ATTRIBUTE = "attr_name:const char *=string"
_GROUP = "group_name:const char *=string"
_FILE = "filename:const char *=path"
_FLAGS = "flags:unsigned=flags"
_POSITION = "n:hsize_t"

# name or names: result: arguments
_TABLE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("H5Fcreate H5Fopen", "handle", (_FILE, _FLAGS)),
    ("H5Fis_hdf5 H5Fis_accessible H5Fdelete", "negative", (_FILE,)),
    ("H5Freopen", "handle", (_LOCATION,)),
    ("H5Fflush", "negative", (_LOCATION, "scope:int")),
    (
        (
            "H5Fclose H5Fget_intent H5Fget_vfd_handle H5Fget_filesize H5Fget_eoa H5Fget_fileno H5Fget_info1 "
            "H5Fget_info2 H5Fget_mdc_config H5Fset_mdc_config H5Fget_mdc_hit_rate H5Fget_mdc_size "
            "H5Freset_mdc_hit_rate_stats H5Fget_metadata_read_retry_info H5Fstart_swmr_write H5Fclear_elink_file_cache "
            "H5Fstart_mdc_logging H5Fstop_mdc_logging H5Fget_mdc_logging_status H5Fformat_convert "
            "H5Freset_page_buffering_stats H5Fget_page_buffering_stats H5Fget_mdc_image_info H5Fget_dset_no_attrs_hint "
            "H5Fset_dset_no_attrs_hint H5Fset_mpi_atomicity H5Fget_mpi_atomicity H5Fset_latest_format "
            "H5Fset_libver_bounds"
        ),
        "negative",
        (_LOCATION,),
    ),
    ("H5Fincrement_filesize", "negative", (_LOCATION, "increment:hsize_t=count")),
    ("H5Fget_create_plist H5Fget_access_plist", "handle", (_LOCATION,)),
    (
        "H5Fget_name H5Fget_obj_count H5Fget_obj_ids H5Fget_freespace H5Fget_file_image H5Fget_free_sections",
        "offset",
        (_LOCATION,),
    ),
    ("H5Fmount H5Funmount", "negative", (_LOCATION, _NAME)),
    ("H5Dcreate1 H5Dcreate2 H5Dopen1 H5Dopen2", "handle", (_LOCATION, _NAME)),
    ("H5Dcreate_anon H5Dget_space H5Dget_type H5Dget_create_plist H5Dget_access_plist", "handle", (_LOCATION,)),
    (
        (
            "H5Dread H5Dwrite H5Dread_chunk H5Dread_chunk1 H5Dread_chunk2 H5Dset_extent H5Dextend H5Dflush H5Drefresh "
            "H5Dclose H5Ddebug H5Dformat_convert H5Dget_space_status H5Dget_chunk_storage_size H5Dget_num_chunks "
            "H5Dget_chunk_info H5Dget_chunk_info_by_coord H5Dget_chunk_index_type H5Dvlen_get_buf_size"
        ),
        "negative",
        (_LOCATION,),
    ),
    ("H5Dwrite_chunk", "negative", (_LOCATION, "-", "filters:uint32_t=flags", "-", "bytes:size_t=bytes")),
    ("H5Dread_multi H5Dwrite_multi", "negative", ("count:size_t=count",)),
    ("H5Dget_storage_size H5Dget_offset", "value", (_LOCATION,)),
    ("H5Gcreate1 H5Gcreate2 H5Gopen1 H5Gopen2", "handle", (_LOCATION, _NAME)),
    ("H5Gcreate_anon H5Gget_create_plist", "handle", (_LOCATION,)),
    ("H5Gclose H5Gflush H5Grefresh H5Gget_info H5Gget_num_objs", "negative", (_LOCATION,)),
    (
        "H5Gget_info_by_name H5Gunlink H5Gget_linkval H5Gset_comment H5Gget_comment H5Gget_objinfo H5Giterate",
        "negative",
        (_LOCATION, _NAME),
    ),
    ("H5Gget_info_by_idx", "negative", (_LOCATION, _GROUP, "-2", _POSITION)),
    ("H5Gget_objtype_by_idx", "negative", (_LOCATION, _POSITION)),
    ("H5Gget_objname_by_idx", "offset", (_LOCATION, _POSITION)),
    ("H5Gmove", "negative", (_LOCATION, "src_name:const char *=string", "dst_name:const char *=string")),
    ("H5Gmove2", "negative", (_LOCATION, "src_name:const char *=string", "-", "dst_name:const char *=string")),
    ("H5Glink", "negative", (_LOCATION, "-", "cur_name:const char *=string", "new_name:const char *=string")),
    ("H5Glink2", "negative", (_LOCATION, "cur_name:const char *=string", "-2", "new_name:const char *=string")),
    ("H5Acreate1 H5Acreate2 H5Aopen H5Aopen_name", "handle", (_LOCATION, _ATTRIBUTE)),
    ("H5Acreate_by_name H5Aopen_by_name", "handle", (_LOCATION, _OBJECT, _ATTRIBUTE)),
    ("H5Aopen_by_idx", "handle", (_LOCATION, _OBJECT, "-2", _POSITION)),
    ("H5Aopen_idx", "handle", (_LOCATION, "idx:unsigned")),
    ("H5Aget_space H5Aget_type H5Aget_create_plist", "handle", (_LOCATION,)),
    ("H5Aread H5Awrite H5Aclose H5Aget_info H5Aget_num_attrs H5Aiterate1 H5Aiterate2", "negative", (_LOCATION,)),
    ("H5Adelete H5Aexists", "negative", (_LOCATION, _ATTRIBUTE)),
    ("H5Adelete_by_name H5Aexists_by_name H5Aget_info_by_name", "negative", (_LOCATION, _OBJECT, _ATTRIBUTE)),
    ("H5Adelete_by_idx H5Aget_info_by_idx", "negative", (_LOCATION, _OBJECT, "-2", _POSITION)),
    ("H5Aiterate_by_name", "negative", (_LOCATION, _OBJECT)),
    ("H5Arename", "negative", (_LOCATION, "old_name:const char *=string", "new_name:const char *=string")),
    (
        "H5Arename_by_name",
        "negative",
        (_LOCATION, _OBJECT, "old_name:const char *=string", "new_name:const char *=string"),
    ),
    ("H5Aget_name", "offset", (_LOCATION,)),
    ("H5Aget_name_by_idx", "offset", (_LOCATION, _OBJECT, "-2", _POSITION)),
    ("H5Aget_storage_size", "value", (_LOCATION,)),
    (
        "H5Lcreate_hard H5Lmove H5Lcopy",
        "negative",
        (_LOCATION, "src_name:const char *=string", "-", "dst_name:const char *=string"),
    ),
    ("H5Lcreate_soft", "negative", ("target:const char *=string", _LOCATION, _NAME)),
    (
        "H5Lcreate_external",
        "negative",
        ("external_file:const char *=string", "external_object:const char *=string", _LOCATION, _NAME),
    ),
    (
        "H5Lcreate_ud H5Ldelete H5Lexists H5Lget_info H5Lget_info1 H5Lget_info2 H5Lget_val",
        "negative",
        (_LOCATION, _NAME),
    ),
    (
        "H5Ldelete_by_idx H5Lget_info_by_idx H5Lget_info_by_idx1 H5Lget_info_by_idx2 H5Lget_val_by_idx",
        "negative",
        (_LOCATION, _GROUP, "-2", _POSITION),
    ),
    ("H5Lget_name_by_idx", "offset", (_LOCATION, _GROUP, "-2", _POSITION)),
    ("H5Literate H5Literate1 H5Literate2 H5Lvisit H5Lvisit1 H5Lvisit2", "negative", (_LOCATION,)),
    (
        (
            "H5Literate_by_name H5Literate_by_name1 H5Literate_by_name2 "
            "H5Lvisit_by_name H5Lvisit_by_name1 H5Lvisit_by_name2"
        ),
        "negative",
        (_LOCATION, _GROUP),
    ),
    ("H5Oopen", "handle", (_LOCATION, _NAME)),
    ("H5Oopen_by_addr", "handle", (_LOCATION, "addr:haddr_t=offset")),
    ("H5Oopen_by_token", "handle", (_LOCATION,)),
    ("H5Oopen_by_idx", "handle", (_LOCATION, _GROUP, "-2", _POSITION)),
    (
        (
            "H5Oclose H5Oflush H5Orefresh H5Oincr_refcount H5Odecr_refcount H5Oget_info H5Oget_info1 H5Oget_info2 "
            "H5Oget_info3 H5Oget_native_info H5Odisable_mdc_flushes H5Oenable_mdc_flushes H5Oare_mdc_flushes_disabled "
            "H5Ovisit H5Ovisit1 H5Ovisit2 H5Ovisit3"
        ),
        "negative",
        (_LOCATION,),
    ),
    (
        (
            "H5Oexists_by_name H5Oget_info_by_name H5Oget_info_by_name1 H5Oget_info_by_name2 H5Oget_info_by_name3 "
            "H5Oget_native_info_by_name H5Oset_comment_by_name "
            "H5Ovisit_by_name H5Ovisit_by_name1 H5Ovisit_by_name2 H5Ovisit_by_name3"
        ),
        "negative",
        (_LOCATION, _NAME),
    ),
    (
        "H5Oget_info_by_idx H5Oget_info_by_idx1 H5Oget_info_by_idx2 H5Oget_info_by_idx3 H5Oget_native_info_by_idx",
        "negative",
        (_LOCATION, _GROUP, "-2", _POSITION),
    ),
    ("H5Oset_comment", "negative", (_LOCATION,)),
    ("H5Iget_file_id", "handle", ("obj_id:hid_t=handle",)),
    ("H5Idec_ref", "negative", ("obj_id:hid_t=released",)),
    ("H5Oget_comment", "offset", (_LOCATION,)),
    ("H5Oget_comment_by_name", "offset", (_LOCATION, _NAME)),
    ("H5Olink", "negative", (_LOCATION, "-", _NAME)),
    ("H5Ocopy", "negative", (_LOCATION, "src_name:const char *=string", "-", "dst_name:const char *=string")),
    ("H5Topen1 H5Topen2", "handle", (_LOCATION, _NAME)),
    ("H5Tcommit1 H5Tcommit2", "negative", (_LOCATION, _NAME)),
    ("H5Tcommit_anon", "negative", (_LOCATION,)),
    ("H5Rdereference1 H5Rdereference2 H5Rget_region", "handle", (_LOCATION,)),
    ("H5Rcreate", "negative", ("-", _LOCATION, _NAME)),
    ("H5Rcreate_object H5Rcreate_region", "negative", (_LOCATION, _NAME)),
    ("H5Rcreate_attr", "negative", (_LOCATION, _NAME, _ATTRIBUTE)),
)

_CLOSING = re.compile(r"H5[ADFGMO]close")
_DATA = re.compile(r"H5(D(read|write)(_chunk\d?|_multi)?|A(read|write))(_async)?")

# They call the user's operator for each element, and C++ programs throw out of it: a return probe on a frame
# that an exception passes aborts the program, and a longjmp never comes back. So these are instants.
_RUNS_OPERATOR = re.compile(
    r"H5[A-Z]{1,2}(iterate|visit|walk)\w*|H5D(scatter|gather)|H5Isearch|H5DSiterate_scales|H5M(iterate|iterate_by_name)"
)

_IDENTIFIERS = re.compile(
    r"H5E(register_class|create_msg|create_stack|get_current_stack)|H5EScreate|H5FD(register|perform_init)"
    r"|H5I(register|register_future|get_file_id)|H5P(copy|create|create_class|decode|get_class|get_class_parent)"
    r"|H5P(get_driver|get_virtual_srcspace|get_virtual_vspace|get_elink_fapl|get_vol_id)"
    r"|H5S(copy|create|create_simple|decode|decode[12]|combine_hyperslab|combine_select|select_project_intersection)"
    r"|H5T(create|copy|get_create_plist|decode|decode[12]|enum_create|vlen_create|array_create[12]|complex_create)"
    r"|H5T(get_super|get_member_type|get_native_type)|H5R(open_object|open_region|open_attr)"
    r"|H5VL(register_connector\w*|get_connector_id\w*|peek_connector_id\w*)"
    r"|H5LT(text_to_dtype|open_file_image)|H5PT(create|open|create_fl|get_dataset|get_type)"
)
_SIGNED = re.compile(
    r"H5Iget_name|H5E(get_class_name|get_msg|get_num)|H5R(get_name|get_file_name|get_obj_name|get_attr_name)"
    r"|H5P(get_virtual_dsetname|get_virtual_filename|get_efile_prefix|get_virtual_prefix|get_data_transform)"
    r"|H5P(get_elink_prefix)|H5PLget|H5DS(get_label|get_scale_name)"
    r"|H5S(get_simple_extent_npoints|get_select_elem_npoints|get_select_hyper_nblocks|get_select_npoints)"
)
_UNSIGNED = re.compile(
    r"H5T(get_size|get_precision|get_ebias|get_member_offset)|H5Pget_buffer|H5LDget_dset_type_size"
    r"|H5FD(alloc|get_eoa|get_eof)"
)
_ADDRESSES = re.compile(
    r"H5(allocate|resize)_memory|H5I(object_verify|remove_verify|search)|H5T(get_tag|get_member_name)"
    r"|H5E(get_major|get_minor)|H5Tfind|H5P(get_class_name|get_driver_info)|H5FDopen"
)


def _curated() -> Iterator[Signature]:
    for names, result, arguments in _TABLE:
        for name in names.split():
            entry = signature(CATEGORY, name, result, *arguments, returns=returns(name))
            if _CLOSING.fullmatch(name):
                entry = replace(entry, arguments=(replace(entry.arguments[0], role=Role.CLOSED),))
            yield entry
            yield _asynchronous(entry)


# H5Dread_async(app_file, app_func, app_line, dset_id, ...): the same three arguments before those of each.
def _asynchronous(entry: Signature) -> Signature:
    name = f"{entry.name.rstrip('0123456789')}_async"
    moved = tuple(
        replace(argument, index=argument.index + 3)
        for argument in entry.arguments
        if argument.index + 3 < ARGUMENT_LIMIT
    )
    return replace(entry, name=name, symbols=(name,), arguments=moved)


def returns(name: str) -> Returns:
    """Whether a function's returns can be probed: not where it runs the program's own operators."""
    return Returns.CALLS_BACK if _RUNS_OPERATOR.fullmatch(name.removesuffix("_async")) else Returns.PROBED


def result_of(name: str) -> str:
    """What a function without a curated signature returns: a `Result` by value.

    Most return ``herr_t``, ``htri_t``, ``int`` or an enumeration: negative when they fail.
    """
    for pattern, result in (
        (_IDENTIFIERS, "handle"),
        (_SIGNED, "offset"),
        (_UNSIGNED, "value"),
        (_ADDRESSES, "pointer"),
    ):
        if pattern.fullmatch(name):
            return result
    return "negative"


SIGNATURES: tuple[Signature, ...] = tuple({entry.name: entry for entry in _curated()}.values())
"""Curated signatures of the functions on files, datasets, groups, attributes, links, objects and references."""

DATA = frozenset(entry.name for entry in SIGNATURES if _DATA.fullmatch(entry.name))
"""The functions that move data of datasets and attributes."""

METADATA = frozenset(entry.name for entry in SIGNATURES) - DATA
"""The other functions on files and their objects."""

FILES = frozenset(entry.name for entry in SIGNATURES if entry.name.startswith("H5F"))
"""The functions on whole files."""
