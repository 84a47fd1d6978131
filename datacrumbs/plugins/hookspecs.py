"""The hooks that a provider may implement; `datacrumbs_provider` is the only one it must.

Each returns frozen dataclasses from `datacrumbs.provider`. Arguments are passed by keyword.

A hook may raise `DatacrumbsError` with a message and a hint for the user, and that is what the user sees. Whatever else
it raises becomes an error that names the provider's distribution and the hook, as does an answer that breaks the
contract; either ends the command, unless the provider is left out with ``--without``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datacrumbs.provider import (
        Check,
        FindingRule,
        Function,
        Host,
        Options,
        Preset,
        ProbeTarget,
        Provider,
        Snippet,
    )

hookspec = pluggy.HookspecMarker("datacrumbs")


@hookspec
def datacrumbs_provider() -> Provider:  # type: ignore[empty-body]
    """Say what the provider is about.

    Returns:
        A `Provider`. The only hook that must be there; it is called once, when the provider is loaded, so it does not
        look at the host.

    Example::

        @hookimpl
        def datacrumbs_provider() -> Provider:
            return Provider(title="Compression with zlib", layer=Layer.LIBRARY)
    """


@hookspec
def datacrumbs_targets(host: Host, options: Options) -> Iterable[ProbeTarget]:  # type: ignore[empty-body]
    """List what can be probed on this host.

    Args:
        host: The machine, the environment and, when given, the program to be traced.
        options: The provider's options, with defaults filled in.

    Returns:
        A `ProbeTarget` for each file or way into the kernel, each once; nothing where the host has none. A target that
        is an ELF file needs `uprobe` or `usdt`, the kernel one of the others.

    Raises:
        DatacrumbsError: For an option that names a file which cannot be read.

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

    Returns:
        A `Function` for each place, the same ones in each call: one for each offset of a file, or for each name in the
        kernel. What a function may hold is in the table of rules.

    Raises:
        DatacrumbsError: For a file that cannot be read, or an option whose value makes no sense.

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

    Returns:
        A `Snippet` for each text, whatever the host; only those that a plan's functions name become part of it.

    Example::

        @hookimpl
        def datacrumbs_snippets() -> list[Snippet]:
            text = (files("datacrumbs_zlib") / "snippets" / "stream.bpf.c").read_text()
            fields = (Argument(0, "available", "uInt", Role.COUNT, 4, signed=False),)
            return [Snippet(name="stream", text=text, fields=fields)]
    """


@hookspec
def datacrumbs_presets() -> Iterable[Preset]:  # type: ignore[empty-body]
    """Name selections of functions.

    It is asked for all presets to find one, so it must not look at libraries or the kernel: where the names of a preset
    take that, `Preset.functions` is a function, which is called when the preset is used.

    Returns:
        A `Preset` for each name; ``all`` with no functions, which selects every one, is expected.

    Example::

        @hookimpl
        def datacrumbs_presets() -> list[Preset]:
            return [Preset("streams", "streams", Cost.LOW, stream_names), Preset("all", "every function", Cost.HIGH)]
    """


@hookspec
def datacrumbs_checks(host: Host) -> Iterable[Check]:  # type: ignore[empty-body]
    """Say what is missing on this host and how to fix it.

    Args:
        host: The machine and the environment.

    Returns:
        A `Check` for each thing that was looked at, also for what is as it should be. A missing library is a finding
        and no reason to raise.

    Example::

        @hookimpl
        def datacrumbs_checks(host: Host) -> list[Check]:
            return [Check("zlib", CheckState.OK, "/usr/lib/libz.so.1")]
    """


@hookspec
def datacrumbs_findings() -> Iterable[FindingRule]:  # type: ignore[empty-body]
    """Say what is a fault in the use of the layer.

    `datacrumbs_report` asks for the rules where it makes a report, never as root. It asks a rule only about traces that
    have all calls of the functions that the rule names, weighs what the rule gives by its share of I/O time, and leaves
    out what is too small to matter.

    Returns:
        A `FindingRule` for each kind of fault. Its ``judge`` gets the calls as polars frames, see `Evidence`; import
        polars inside of it, since where programs are only traced it is not installed.

    Example::

        @hookimpl
        def datacrumbs_findings() -> list[FindingRule]:
            return [
                FindingRule(
                    "zlib-small-writes",
                    "compressed in small pieces",
                    "more than {calls:,.0f} gzwrite calls of less than 4 KiB",
                    "give gzwrite larger pieces, or raise its buffer with gzbuffer",
                    frozenset({"gzwrite"}),
                    small_writes,
                    {"calls": 1000},
                )
            ]
    """
