"""Site file and providers in, probe plan out; runs as any user."""

from __future__ import annotations

from datacrumbs.configure.compose import Selection, compose, load_selected
from datacrumbs.configure.host import current_host
from datacrumbs.configure.site import SiteConfiguration, default_site_file, find_site_file, read_site_file

__all__ = [
    "Selection",
    "SiteConfiguration",
    "compose",
    "current_host",
    "default_site_file",
    "find_site_file",
    "load_selected",
    "read_site_file",
]
