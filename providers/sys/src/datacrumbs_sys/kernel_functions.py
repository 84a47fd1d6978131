"""Functions inside the kernel, by layer, for kernels that have kprobes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from datacrumbs.errors import usage_error
from datacrumbs.kernel.symbols import kernel_function_arguments, kernel_functions_like
from datacrumbs.provider import Argument, Function, Result, Role

if TYPE_CHECKING:
    from collections.abc import Collection

# The entrances of each layer: what takes part in an input or output call, not every helper.
GROUPS = {
    "vfs": (
        r"vfs_(read|write|readv|writev|iter_read|iter_write|iocb_iter_read|iocb_iter_write|open|create|fsync"
        r"|fsync_range|fallocate|truncate|getattr|statx|fstat|statfs|unlink|rename|link|symlink|readlink|mkdir|rmdir"
        r"|mknod|llseek|copy_file_range|clone_file_range|splice_read|setxattr|getxattr|listxattr|removexattr)"
        r"|iterate_dir|do_truncate|do_splice_direct|filp_close"
    ),
    "pagecache": (
        r"filemap_(read|fault|map_pages|get_pages|splice_read|write_and_wait_range|fdatawait_range|fdatawrite"
        r"|fdatawrite_range|flush)|file_write_and_wait_range|generic_file_(read_iter|write_iter|direct_write)"
        r"|generic_perform_write|iomap_file_buffered_write|page_cache_(ra_unbounded|ra_order|sync_ra|async_ra)"
        r"|do_writepages|balance_dirty_pages_ratelimited"
    ),
    "ext4": (
        r"ext4_(file_(read_iter|write_iter|open|mmap|getattr|splice_read)|buffered_write_iter|dio_write_iter|llseek"
        r"|sync_file|release_file|readahead|read_folio|writepages|do_writepages|da_write_begin|da_write_end"
        r"|write_begin|map_blocks|page_mkwrite|create|lookup|unlink|rename2|mkdir|rmdir|readdir|setattr|getattr"
        r"|fallocate|truncate|evict_inode)"
    ),
    "xfs": (
        r"xfs_(file_(read_iter|write_iter|buffered_read|buffered_write|dio_read|dio_write|dio_write_aligned"
        r"|dio_write_unaligned|fsync|open|release|fallocate|readdir|llseek|mmap|splice_read)|vm_(read|write)pages"
        r"|vn_(create|lookup|unlink|rename|mkdir|getattr|setattr)|bmapi_(read|write)|log_force|log_force_seq)"
    ),
    "block": (
        r"submit_bio|submit_bio_wait|submit_bio_noacct|blk_mq_submit_bio|blkdev_issue_flush"
        r"|blkdev_(read_iter|write_iter|fsync)|blk_finish_plug|__blk_flush_plug"
    ),
}
CATEGORIES = {"vfs": "VFS", "pagecache": "PAGECACHE", "ext4": "EXT4", "xfs": "XFS", "block": "BLOCK"}
_COUNTS = frozenset(("count", "len", "nbytes"))


def kernel_layer_functions(groups: Collection[str], pattern: str = "") -> tuple[Function, ...]:
    """The kernel's functions of some layers, sorted by name within each.

    Args:
        groups: Of `GROUPS`.
        pattern: A regular expression of further functions, for the whole name; category KERNEL.

    Raises:
        DatacrumbsError: (exit 2) The pattern is no regular expression.
    """
    functions = {name: _function(name, CATEGORIES[group]) for group, name in _in_layers(groups)}
    if pattern:
        _check_pattern(pattern)
        (names,) = kernel_functions_like([pattern])
        functions |= {name: _function(name, "KERNEL") for name in names if name not in functions}
    return tuple(functions.values())


def kernel_layer_names(groups: Collection[str]) -> frozenset[str]:
    """The names of `kernel_layer_functions`, without what takes time: what each of them takes."""
    return frozenset(name for _, name in _in_layers(groups))


def _in_layers(groups: Collection[str]) -> list[tuple[str, str]]:
    wanted = [group for group in GROUPS if group in groups]
    found = kernel_functions_like([GROUPS[group] for group in wanted])
    return [(group, name) for group, names in zip(wanted, found, strict=True) for name in names]


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise usage_error(
            f"sys: options.kernel_functions: not a valid regular expression: {error}; "
            "expected a pattern of whole names like `nfs_file_.*`"
        ) from None


def _function(name: str, category: str) -> Function:
    arguments, result = kernel_function_arguments(name)
    captured = tuple(_with_role(argument) for argument in arguments)
    return Function(name, name, category, arguments=captured, result=_named_result(name, result))


# A kernel function that returns a file's position or a number of bytes does not always say so by type.
def _named_result(name: str, result: Result) -> Result:
    return Result.OFFSET if name.endswith("llseek") else result


def _with_role(argument: Argument) -> Argument:
    if argument.label in _COUNTS:
        return replace(argument, role=Role.COUNT)
    if argument.label == "flags":
        return replace(argument, role=Role.FLAGS)
    return argument
