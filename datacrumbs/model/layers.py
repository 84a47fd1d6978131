"""The layers of the I/O stack, as people read them."""

from __future__ import annotations

LAYERS = {
    "HDF5": "HDF5",
    "MPIIO": "MPI-IO",
    "MPI": "MPI",
    "STDIO": "STDIO",
    "POSIX": "POSIX",
    "SYS": "system calls",
    "IO_URING": "io_uring",
    "VFS": "file system",
    "PAGECACHE": "page cache",
    "EXT4": "ext4",
    "XFS": "XFS",
    "KERNEL": "kernel functions",
    "BLOCK": "block layer",
}
"""Category -> layer, from the application down; other categories come first, under their own names."""
