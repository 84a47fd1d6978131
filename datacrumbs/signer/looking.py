"""All that looks at a target file, for those who import it once for many looks, and for those who may need none."""

from datacrumbs.elf.placement import probe_skips, refused_places
from datacrumbs.elf.unsafe_returns import unsafe_returns
from datacrumbs.signer.places import probe_places

__all__ = ["probe_places", "probe_skips", "refused_places", "unsafe_returns"]
