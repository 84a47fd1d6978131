"""The provider ``zlib``: compressed streams and compressed files."""

from __future__ import annotations

from importlib.resources import files

from datacrumbs.elf.functions import elf_functions, elf_target
from datacrumbs.elf.libraries import find_libraries
from datacrumbs.elf.signatures import functions_of, signature
from datacrumbs.provider import (
    Argument,
    Attach,
    Check,
    CheckState,
    Cost,
    Function,
    Host,
    Layer,
    Options,
    Preset,
    ProbeTarget,
    Provider,
    Role,
    Snippet,
    hookimpl,
)

_SIGNATURES = (
    signature("ZLIB", "gzopen gzopen64", "handle", "path:const char *=path"),
    signature("ZLIB", "gzread", "bytes", "file:gzFile=handle", "-", "count:unsigned=count"),
    signature("ZLIB", "gzwrite", "bytes", "file:gzFile=handle", "-", "count:unsigned=count"),
    signature("ZLIB", "gzclose", "code", "file:gzFile=closed"),
    signature("ZLIB", "deflate", "negative", "-", "flush:int=flags", snippet="stream"),
    signature("ZLIB", "inflate", "negative", "-", "flush:int=flags", snippet="stream"),
    signature("ZLIB", "compress2", "negative", "-3", "count:uLong=count", "level:int=value"),
)
_LIBRARIES = ("libz.so.1",)
_FILES = frozenset({"gzopen", "gzread", "gzwrite", "gzclose"})


@hookimpl
def datacrumbs_provider() -> Provider:
    """Say who the provider is."""
    return Provider(title="Compression with zlib", layer=Layer.LIBRARY)


@hookimpl
def datacrumbs_targets(host: Host, options: Options) -> list[ProbeTarget]:
    """Find libz the way programs do."""
    del options
    return [ProbeTarget(elf_target(path), Attach.UPROBE, path.name) for path in find_libraries(_LIBRARIES, host)]


@hookimpl
def datacrumbs_functions(target: ProbeTarget, options: Options) -> tuple[Function, ...]:
    """Match the table with what this libz has."""
    del options
    return functions_of(_SIGNATURES, elf_functions(target.target.path))


@hookimpl
def datacrumbs_snippets() -> list[Snippet]:
    """Give the one snippet: it reads two numbers of a z_stream and none of its data."""
    text = files("datacrumbs_zlib").joinpath("snippets", "stream.bpf.c").read_text(encoding="utf-8")
    fields = (
        Argument(0, "available", "uInt", Role.COUNT, 4, signed=False),
        Argument(1, "left", "uInt", Role.VALUE, 4, signed=False),
    )
    return [Snippet(name="stream", text=text, fields=fields)]


@hookimpl
def datacrumbs_presets() -> list[Preset]:
    """Name two selections."""
    return [
        Preset("all", "streams and files", Cost.MEDIUM),
        Preset("files", "compressed files", Cost.LOW, _FILES),
    ]


@hookimpl
def datacrumbs_checks(host: Host) -> list[Check]:
    """Say whether there is a libz."""
    found = find_libraries(_LIBRARIES, host)
    if found:
        return [Check("libz", CheckState.OK, ", ".join(map(str, found)))]
    return [Check("libz", CheckState.MISSING, "not installed", "apt-get install zlib1g")]
