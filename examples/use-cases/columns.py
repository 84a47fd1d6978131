"""Four ranks write a table into one HDF5 file: three whole rows, and one, rank 2, column by column."""

import sys

import h5py
from mpi4py import MPI

ranks = MPI.COMM_WORLD
rows, columns = 211, 1009
mine = slice(ranks.rank * rows, (ranks.rank + 1) * rows)
with h5py.File(sys.argv[1], "w", driver="mpio", comm=ranks) as file:
    table = file.create_dataset("table", (ranks.size * rows, columns), "f8")
    if ranks.rank == 2:
        for row in range(mine.start, mine.stop):
            for column in range(0, columns, 101):
                table[row, column : column + 101] = row
    else:
        table[mine] = ranks.rank
