"""What a probe file that is refused has to say."""

from __future__ import annotations

import gzip
import json

import pytest

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.probefile.codec import canonical
from datacrumbs.probefile.storage import read_probe_file


def refused(bench, now, message, uid=1000, *, status=ExitCode.REFUSED):
    with pytest.raises(DatacrumbsError, match=message) as caught:
        read_probe_file(bench.path, bench.trust, now=now, uid=uid)
    assert caught.value.exit_code == status
    return caught.value


def rewrap(bench, change):
    document = json.loads(gzip.decompress(bench.path.read_bytes()))
    change(document)
    bench.path.write_bytes(gzip.compress(canonical(document)))
