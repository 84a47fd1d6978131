"""HDF5 by h5py, which closes what it opens by H5Idec_ref. Says when its library is mapped, and goes on when told."""

import sys

import h5py
import numpy as np

print("mapped", flush=True)
sys.stdin.readline()
for name, writes, reads, times in (("first.h5", 7, 11, 3), ("second.h5", 13, 5, 2)):
    path = f"{sys.argv[1]}/{name}"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", (101,), "i8")
        for turn in range(writes):
            data[...] = np.arange(101) + turn
    for _ in range(times):
        with h5py.File(path, "r") as file:
            for _ in range(reads):
                file["data"][...]
