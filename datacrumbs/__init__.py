"""DataCrumbs: trace a running program's I/O, layer by layer, with eBPF."""

from __future__ import annotations

__version__ = "0.1.0"
