"""What an authority decides about a plan, for the tests of each rule."""

from __future__ import annotations

import os

import pytest

from datacrumbs.errors import ExitCode
from datacrumbs.probefile.codec import encode
from datacrumbs.serving.caller import Caller
from datacrumbs.serving.denial import DenialError
from datacrumbs.signer.authority import open_authority

ME = Caller(os.getuid(), os.getgid(), 1, "me", frozenset({"physics"}), (os.getgid(),))


def sign(installation, plan, caller=ME):
    return open_authority(installation.paths).sign(encode(plan), plan, caller)


def denied(installation, plan, code, message, caller=ME):
    with pytest.raises(DenialError, match=message) as caught:
        sign(installation, plan, caller)
    assert caught.value.code == code
    assert caught.value.exit_code == ExitCode.REFUSED
