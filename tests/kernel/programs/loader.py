"""Arrays that two workers load, as a training program's loader does: by reading them, and by mapping them."""

import multiprocessing
import sys
from pathlib import Path

import numpy as np

FILES, READ, MAPPED = 7, 3, 5


def read(path):
    return int(np.load(path).sum())


def look(path):
    return int(np.load(path, mmap_mode="r")[::512].sum())


if __name__ == "__main__":
    paths = [Path(sys.argv[2]) / f"array{index}.npy" for index in range(FILES)]
    for index, path in enumerate(paths):
        np.save(path, np.full(16411, index))
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        done = [pool.map(task, paths, chunksize=1) for task in (*[read] * READ, *[look] * MAPPED)]
        pool.close()
        pool.join()
    print(sum(map(sum, done)))
