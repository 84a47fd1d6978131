"""The trace of a run of the service, moved to where its user wants it."""

from __future__ import annotations

import io
import os
import tempfile

import pytest

from datacrumbs.session.served_run import copy_whole

CONTENT = os.urandom(2_500_009)


class Reluctant(io.RawIOBase):
    """A file that takes a part of what is written, as one does behind which there is a limit."""

    def __init__(self, most: int, left: int = 1 << 40) -> None:
        self.most, self.left = most, left
        self.file = io.BytesIO()
        self.whole = tempfile.TemporaryFile()  # noqa: SIM115 - its descriptor alone is used

    def write(self, data) -> int:
        taken = min(len(data), self.most, self.left)
        if not taken:
            raise OSError(28, os.strerror(28))
        self.left -= taken
        return self.file.write(data[:taken])

    def fileno(self) -> int:
        return self.whole.fileno()

    def close(self) -> None:
        self.whole.close()
        super().close()


@pytest.mark.parametrize("most", [1009, 65_537, 1 << 30])
def test_it_is_copied_whole_however_little_is_taken_at_once(most):
    with Reluctant(most) as target:
        copy_whole(io.BytesIO(CONTENT), target)
        assert target.file.getvalue() == CONTENT


def test_what_is_not_copied_whole_is_said():
    with Reluctant(65_537, left=1_000_003) as target, pytest.raises(OSError, match="No space left"):
        copy_whole(io.BytesIO(CONTENT), target)
