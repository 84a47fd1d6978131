"""The example's own tests run where it is installed: in the environment that the unit tests make for it."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("datacrumbs_zlib") else ["tests"]
