from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs.configure import current_host
from datacrumbs.plugins import _loading
from datacrumbs.plugins._providers import Origin
from datacrumbs.provider import Layer, Provider, hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datacrumbs.configure import SiteConfiguration
    from datacrumbs.plugins import Providers
    from datacrumbs.provider import Function, Host, Option, Preset, ProbeTarget, Snippet

LIBRARY = """
int tiny_open(const char *path, int flags) { return flags + (path != 0); }
long tiny_read(int fd, void *to, unsigned long count) { return fd + (to != 0) + (long)count; }
int tiny_close(int fd) { return fd; }
extern int tiny_open64(const char *path, int flags) __attribute__((alias("tiny_open")));
"""
CPP_LIBRARY = 'int thrower(int x) { if (x) throw x; return 0; } extern "C" int plain(int x) { return x; }'
USDT_PROGRAM = """
#include <sys/sdt.h>
int main(int count, char **arguments)
{
	DTRACE_PROBE1(tiny, step__entry, count);
	DTRACE_PROBE2(tiny, lonely, count, arguments);
	DTRACE_PROBE(other, elsewhere);
	DTRACE_PROBE1(tiny, step__return, count);
	return 0;
}
"""


def build(folder: Path, name: str, source: str, *flags: str) -> Path:
    suffix = "cc" if "c++" in flags else "c"
    text = folder / f"{name}.{suffix}"
    text.write_text(source)
    target = folder / name
    subprocess.run(["cc", "-O1", "-x", flags[0], *flags[1:], "-o", target, text], check=True)
    return target


@pytest.fixture(scope="session")
def tiny_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("c"), "libtiny.so.1", LIBRARY, "c", "-shared", "-fPIC", "-g", "-Wl,--build-id")


@pytest.fixture(scope="session")
def cpp_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cpp")
    return build(folder, "libthrow.so", CPP_LIBRARY, "c++", "-shared", "-fPIC", "-Wl,--build-id")


@pytest.fixture(scope="session")
def usdt_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("usdt"), "stepper", USDT_PROGRAM, "c")


@pytest.fixture
def build_elf() -> Callable[..., Path]:
    return lambda folder, name, source, *flags: build(folder, name, source, "c", *flags)


@pytest.fixture
def host() -> Host:
    return current_host()


@pytest.fixture
def write_site(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "site.yaml"
        file.write_text(textwrap.dedent(text))
        return file

    return write


@pytest.fixture
def site(write_site: Callable[[str], Path]) -> Callable[[str], SiteConfiguration]:
    from datacrumbs.configure import read_site_file

    return lambda text: read_site_file(write_site(text))


class Plugin:
    """A provider made of plain data."""

    def __init__(self, name, description, found, snippets, presets):
        self.name, self.description, self.found = name, description, found
        self.snippets, self.presets = snippets, presets

    @hookimpl
    def datacrumbs_provider(self):
        return self.description

    @hookimpl
    def datacrumbs_targets(self):
        return [target for target, _ in self.found]

    @hookimpl
    def datacrumbs_functions(self, target):
        for known, functions in self.found:
            same = Path(known.target.path).name == Path(target.target.path).name
            if same and known.attach is target.attach:
                return functions
        return []

    @hookimpl
    def datacrumbs_snippets(self):
        return self.snippets

    @hookimpl
    def datacrumbs_presets(self):
        return self.presets


def plugin(
    name: str,
    found: Sequence[tuple[ProbeTarget, Sequence[Function]]],
    *,
    layer: Layer = Layer.MESSAGE_PASSING,
    snippets: Sequence[Snippet] = (),
    presets: Sequence[Preset] = (),
    options: Sequence[Option] = (),
) -> Plugin:
    description = Provider(title=f"provider {name}", layer=layer, options=tuple(options))
    return Plugin(name, description, found, snippets, presets)


@pytest.fixture
def make_plugin() -> Callable[..., Plugin]:
    return plugin


@pytest.fixture
def load() -> Callable[..., Providers]:
    def load_plugins(*plugins: Plugin) -> Providers:
        loaders = {}
        for each in plugins:
            origin = Origin(each.name, f"datacrumbs-{each.name}", "1.0")
            loaders[origin] = lambda each=each: each
        return _loading.load(loaders)

    return load_plugins
