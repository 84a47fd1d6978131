"""Finding, loading and asking the installed providers, without touching pluggy elsewhere."""

from __future__ import annotations

from datacrumbs.plugins import hookspecs
from datacrumbs.plugins._loading import load_module, load_providers
from datacrumbs.plugins._options import OptionError, resolve_options
from datacrumbs.plugins._providers import InstalledProvider, Providers
from datacrumbs.plugins._validation import check_functions, check_provider_description

__all__ = [
    "InstalledProvider",
    "OptionError",
    "Providers",
    "check_functions",
    "check_provider_description",
    "hookspecs",
    "load_module",
    "load_providers",
    "resolve_options",
]
