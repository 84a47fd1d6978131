"""Lists and rules that an administrator keeps in YAML, read by what runs as root."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from datacrumbs.document import SCALAR_PROBLEMS
from datacrumbs.errors import usage_error
from datacrumbs.probefile.files import read_bounded

if TYPE_CHECKING:
    from pathlib import Path


def read_protected_yaml(path: Path, limit: int) -> object:
    """The content of a file that only the administrator may change.

    Args:
        path: The file.
        limit: Most bytes that are taken.

    Raises:
        DatacrumbsError: (exit 2) for what is no YAML; (exit 3) when somebody else may change the file; (exit 1) when
            it is missing.
    """
    try:
        return yaml.load(read_bounded(path, limit, protected=True), Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, *SCALAR_PROBLEMS, RecursionError) as error:
        raise usage_error(f"{path}: not valid YAML: {error}") from None
