"""Make 23 NumPy arrays of 1 MiB, and let the page cache forget them."""

import os
import sys
from pathlib import Path

import numpy as np

place = Path(sys.argv[1])
place.mkdir(exist_ok=True)
for number in range(23):
    path = place / f"{number}.npy"
    np.save(path, np.full(1 << 17, number, "f8"))
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
