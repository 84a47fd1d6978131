"""One module per console script."""

from __future__ import annotations

import os

# Before anything imports numpy: no command does linear algebra, and the idle threads of its library cost each start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
