"""Write and read a small HDF5 file with h5py: ``datacrumbs_wrap python3 temperatures.py /tmp/temperatures.h5``."""
# ruff: noqa: INP001 (a script)

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np

DAYS = 365
HOURS = 24


def main() -> None:
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "temperatures.h5")
    with h5py.File(path, "w") as file:
        data = file.create_dataset("station/temperature", (DAYS, HOURS), "f4", chunks=(7, HOURS), compression="gzip")
        data.attrs["unit"] = "K"
        for day in range(DAYS):
            data[day] = np.full(HOURS, 273.15 + day % 30, "f4")
    with h5py.File(path) as file:
        data = file["station/temperature"]
        print(f"{data.shape[0]} days, mean {np.mean(data[()]):.2f} {data.attrs['unit']}")


if __name__ == "__main__":
    main()
