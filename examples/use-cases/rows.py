"""Write the rows of a dataset one by one, across 8 chunks of 256 KiB; the second argument is the chunk cache in MiB."""

import sys

import h5py
import numpy as np

cache = int(sys.argv[2]) << 20
with h5py.File(sys.argv[1], "w", rdcc_nbytes=cache) as file:
    data = file.create_dataset("data", (64, 8192), "i4", chunks=(64, 1024))
    for row in range(37):
        data[row] = np.full(8192, row, "i4")
