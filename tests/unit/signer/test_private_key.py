"""Keys that the service does not sign with."""

from __future__ import annotations

import subprocess

import pytest

from datacrumbs.errors import DatacrumbsError, ExitCode
from datacrumbs.signer.authority import open_authority


class TestPrivateKey:
    @pytest.mark.parametrize("mode", [0o440, 0o444, 0o644, 0o660])
    def test_a_key_that_others_may_read(self, installation, mode):
        installation.paths.private_key.chmod(mode)
        with pytest.raises(DatacrumbsError, match=r"expected 0400|writable by others") as caught:
            open_authority(installation.paths)
        assert caught.value.exit_code == ExitCode.REFUSED

    def test_no_key(self, installation):
        installation.paths.private_key.unlink()
        with pytest.raises(DatacrumbsError, match="no signing key"):
            open_authority(installation.paths)

    def test_a_key_of_another_kind(self, installation):
        subprocess.run(
            ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out",
             installation.paths.private_key], check=True)  # fmt: skip
        with pytest.raises(DatacrumbsError, match="not an Ed25519 key"):
            open_authority(installation.paths)
