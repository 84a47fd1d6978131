"""Job metadata of SLURM and Flux."""

from __future__ import annotations
