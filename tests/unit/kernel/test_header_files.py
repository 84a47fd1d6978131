from __future__ import annotations

from datacrumbs.kernel import header_files
from datacrumbs.kernel.header_files import header_directories, missing_headers


def test_headers_of_the_running_kernel_come_first(monkeypatch, tmp_path):
    monkeypatch.setattr(header_files, "MODULES", tmp_path)
    others = header_directories()
    (tmp_path / "build").mkdir()
    assert header_directories() == (tmp_path / "build", *others)


def test_a_directory_without_headers_is_missing_them(monkeypatch, tmp_path):
    monkeypatch.setattr(header_files, "MODULES", tmp_path)
    assert missing_headers() == tmp_path / "build"
    for folder in ("build", "source"):
        (tmp_path / folder).mkdir()
        assert missing_headers() == tmp_path / folder
        (tmp_path / folder / "include/linux").mkdir(parents=True)
        (tmp_path / folder / "include/linux/kconfig.h").touch()
        assert missing_headers() is None
