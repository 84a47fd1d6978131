"""The hooks that a provider may implement; `datacrumbs_provider` is the only one it must.

Each returns frozen dataclasses from `datacrumbs.provider`. Arguments are passed by keyword.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datacrumbs.provider import Check, Function, Host, Options, Preset, ProbeTarget, Provider, Snippet

hookspec = pluggy.HookspecMarker("datacrumbs")


@hookspec
def datacrumbs_provider() -> Provider:  # type: ignore[empty-body]
    """Say who the provider is.

    Example::

        @hookimpl
        def datacrumbs_provider() -> Provider:
            return Provider("zlib", "zlib compression", "zlib", 15, "datacrumbs-zlib", "1.0.0")
    """


@hookspec
def datacrumbs_targets(host: Host, options: Options) -> Iterable[ProbeTarget]:  # type: ignore[empty-body]
    """List what can be probed on this host.

    Args:
        host: The machine, the environment and, when given, the program to be traced.
        options: The provider's options, with defaults filled in.

    Example::

        @hookimpl
        def datacrumbs_targets(host: Host, options: Options) -> list[ProbeTarget]:
            return [
                ProbeTarget(elf_target(path), Attach.UPROBE, path.name)
                for path in find_libraries(["libz.so.1"], host)
            ]
    """


@hookspec
def datacrumbs_functions(target: ProbeTarget, options: Options) -> Iterable[Function]:  # type: ignore[empty-body]
    """List the functions of one target.

    Args:
        target: One that this provider's `datacrumbs_targets` gave.
        options: The provider's options, with defaults filled in.

    Example::

        @hookimpl
        def datacrumbs_functions(target: ProbeTarget, options: Options) -> list[Function]:
            return [
                Function("deflate", "deflate", "ZLIB", offset=symbol.offset, aliases=symbol.aliases)
                for symbol in elf_functions(target.target.path)
                if symbol.name == "deflate"
            ]
    """


@hookspec
def datacrumbs_snippets() -> Iterable[Snippet]:  # type: ignore[empty-body]
    """Give the C snippets that the functions name.

    Example::

        @hookimpl
        def datacrumbs_snippets() -> list[Snippet]:
            text = (files("datacrumbs_zlib") / "snippets" / "stream.bpf.c").read_text()
            return [Snippet("stream", "zlib", text, (Argument(0, "available", "uint", Role.COUNT, 4, False),))]
    """


@hookspec
def datacrumbs_presets() -> Iterable[Preset]:  # type: ignore[empty-body]
    """Name selections of functions.

    Example::

        @hookimpl
        def datacrumbs_presets() -> list[Preset]:
            return [Preset("all", "every function", Cost.HIGH)]
    """


@hookspec
def datacrumbs_checks(host: Host) -> Iterable[Check]:  # type: ignore[empty-body]
    """Say what is missing on this host and how to fix it.

    Args:
        host: The machine and the environment.

    Example::

        @hookimpl
        def datacrumbs_checks(host: Host) -> list[Check]:
            return [Check("zlib", CheckState.OK, "/usr/lib/libz.so.1")]
    """
