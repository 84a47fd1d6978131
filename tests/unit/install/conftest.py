from __future__ import annotations

from ..signer.conftest import installation  # noqa: F401, TID252 - keys change over while the service runs
