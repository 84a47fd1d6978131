"""Four ranks write their rows of a grid into one HDF5 file, step by step, and read their neighbours'."""

import sys

import h5py
import numpy as np
from mpi4py import MPI

ranks = MPI.COMM_WORLD
rows, columns, steps = 53, 4099, 7
mine = slice(ranks.rank * rows, (ranks.rank + 1) * rows)
with h5py.File(sys.argv[1], "w", driver="mpio", comm=ranks) as file:
    for step in range(steps):
        data = file.create_dataset(f"step{step}", (ranks.size * rows, columns), "f8")
        if step % 2:
            with data.collective:
                data[mine] = np.full((rows, columns), step)
        else:
            for row in range(mine.start, mine.stop):
                data[row] = np.full(columns, row)
    file.flush()
    other = (ranks.rank + 1) % ranks.size
    total = sum(float(file[f"step{step}"][other * rows : (other + 1) * rows].sum()) for step in range(steps))
print(ranks.rank, total)
