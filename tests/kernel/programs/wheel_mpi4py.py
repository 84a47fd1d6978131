"""MPI-IO by mpi4py, which looks for an MPI by name. Says which it found, and goes on when told."""

import sys

from mpi4py import MPI

print(MPI.Get_library_version().split("\n")[0], flush=True)
if MPI.COMM_WORLD.rank == 0:
    sys.stdin.readline()
MPI.COMM_WORLD.Barrier()
block = bytearray(b"x" * 1009)
for name, writes, reads in (("first", 7, 11), ("second", 13, 5)):
    path = f"{sys.argv[1]}/{name}.{MPI.COMM_WORLD.rank}"
    file = MPI.File.Open(MPI.COMM_SELF, path, MPI.MODE_CREATE | MPI.MODE_RDWR)
    for turn in range(writes):
        file.Write_at(turn * len(block), block)
    for _ in range(reads):
        file.Read_at(0, block)
    file.Close()
