"""Finding, loading and asking the installed providers, without touching pluggy elsewhere."""

from __future__ import annotations

from datacrumbs.plugins._loading import load_providers
from datacrumbs.plugins._options import resolve_options
from datacrumbs.plugins._providers import Providers
from datacrumbs.plugins._validation import check_functions, check_provider_description

__all__ = [
    "Providers",
    "check_functions",
    "check_provider_description",
    "load_providers",
    "resolve_options",
]
