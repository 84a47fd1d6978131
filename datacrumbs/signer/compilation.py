"""Whether snippets compile, asked before they are signed, where this host can compile at all.

The compiler runs in a child without rights, within limits (`compiler.complaint`). A host without bcc or kernel
headers signs what it cannot compile: the daemon compiles it in any case.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datacrumbs.errors import DatacrumbsError
from datacrumbs.serving.denial import DenialError
from datacrumbs.serving.limited import be_ordinary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from datacrumbs.model.plan import Snippet


REMEMBERED = 4096


@dataclass(slots=True)
class Compilation:
    """What came of compiling snippets, remembered for as long as the service runs.

    Only trusted snippets get here. They are compiled with those of the same plan, which its author chose: so a fault is
    remembered only of a snippet that has one when it is compiled alone. The child that compiles says what it found to
    the service, whose later children know it.
    """

    _said: dict[str, str] = field(default_factory=dict)

    def said(self) -> dict[str, str]:
        """What the compiler said of each snippet, by the snippet's digest; empty for no fault."""
        return dict(self._said)

    def learn(self, said: Iterable[tuple[str, str]]) -> None:
        """Remember what a child found out."""
        self._said.update(said)
        while len(self._said) > REMEMBERED:
            del self._said[next(iter(self._said))]

    def check(self, snippets: Sequence[Snippet]) -> None:
        """Check that snippets compile.

        Raises:
            DenialError: Naming provider, file and line.
        """
        keys = {_key(snippet): snippet for snippet in snippets}
        wrong = [self._said[key] for key in keys if self._said.get(key)]
        if not wrong and not keys.keys() <= self._said.keys():
            wrong = self._compile(keys)
        if wrong:
            raise DenialError(
                "snippet.faulty",
                "\n".join(wrong),
                "its author has to correct the snippet; until then compose the probe file without its provider",
            )

    def _compile(self, snippets: dict[str, Snippet]) -> list[str]:
        said = _complaints(snippets.values())
        if said is None:
            return []
        if not said:
            self._said.update(dict.fromkeys(snippets, ""))
        for key, snippet in snippets.items():
            if _place(snippet) in said:
                alone = said if len(snippets) == 1 else _complaints((snippet,)) or {}
                self._said.update((key, words) for words in alone.values())
        return list(said.values())


# What the compiler says of snippets together, by provider and file; nothing where nothing can be compiled, and None
# where it was not ready in time, which another time it may be.
def _complaints(snippets: Iterable[Snippet]) -> dict[tuple[str, str], str] | None:
    be_ordinary()  # a compiler takes seconds
    from datacrumbs.engine.compiler import SlowCompilerError  # noqa: PLC0415 - as below
    from datacrumbs.engine.complaints import find_complaints  # noqa: PLC0415 - most plans need none of it

    try:
        faults = find_complaints(tuple(snippets), limited=True)
    except SlowCompilerError:
        return None
    except DatacrumbsError:
        faults = ()
    return {(fault.provider, fault.file): str(fault) for fault in faults}


def _place(snippet: Snippet) -> tuple[str, str]:
    return snippet.provider, f"{snippet.name}.bpf.c"


def _key(snippet: Snippet) -> str:
    return hashlib.sha256(f"{snippet.provider}/{snippet.name}\n{snippet.text}".encode()).hexdigest()
