"""What this kernel takes, found by really compiling and loading a program; run in a child process.

Some errors inside the compiler end the process, so `datacrumbs_doctor` starts this file with the
interpreter that it runs under and reads one JSON object from its standard output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacrumbs.engine.compiler import load_bcc
from datacrumbs.engine.links import UPROBE_MULTI
from datacrumbs.engine.method_choice import links_work

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(__file__).with_name("_feature_check.bpf.c")


def main() -> None:
    """Print ``{feature: null, or why not}``; the features are ``compile ring_buffer uprobe uprobe_multi``."""
    findings: dict[str, str | None] = {}
    bpf = load_bcc()
    try:
        module = bpf(text=SOURCE.read_bytes())
    except Exception as error:  # noqa: BLE001 -- bcc raises plain Exception
        json.dump({"compile": str(error)}, sys.stdout)
        return
    findings["compile"] = None
    findings["ring_buffer"] = _attempt(lambda: module.load_func(b"dc_check_system_call", bpf.RAW_TRACEPOINT))
    findings["uprobe_multi"] = _attempt(lambda: _multi(module, bpf))
    module.funcs.pop(b"dc_check_library", None)
    findings["uprobe"] = _attempt(lambda: module.load_func(b"dc_check_library", bpf.KPROBE))
    json.dump(findings, sys.stdout)


def _multi(module: Any, bpf: Any) -> None:
    module.load_func(b"dc_check_library", bpf.KPROBE, attach_type=UPROBE_MULTI)
    if not links_work(session=False):
        raise OSError("the kernel does not support such links")


def _attempt(load: Callable[[], object]) -> str | None:
    try:
        load()
    except Exception as error:  # noqa: BLE001 -- bcc raises plain Exception
        return str(error) or type(error).__name__
    return None


if __name__ == "__main__":
    main()
