"""Programs in another root directory, where the client library is not, say nothing of it and are traced."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datacrumbs import client

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Tracer

pytestmark = pytest.mark.kernel

CALLS = 23
SECONDS = 300
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def libraries(program: Path) -> list[Path]:
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return [Path(word) for word in listed.split() if word.startswith("/")]


@pytest.fixture(scope="module")
def root(build: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root directory with a dynamic program, a shell and their libraries."""
    made = tmp_path_factory.mktemp("root")
    (made / "bin").mkdir()
    shutil.copy(build("roots.c"), made / "bin/roots")
    shutil.copy("/bin/sh", made / "bin/sh")
    for library in {each for name in ("roots", "sh") for each in libraries(made / "bin" / name)}:
        (made / library.parent.relative_to("/")).mkdir(parents=True, exist_ok=True)
        shutil.copy(library, made / library.relative_to("/"))
    return made


def commands(root: Path) -> dict[str, list[str]]:
    inside = f"chroot {root} /bin/roots"
    return {
        "at once": ["chroot", str(root), "/bin/roots"],
        "by its path": [str(shutil.which("chroot")), str(root), "/bin/roots"],
        "later": ["sh", "-c", f"{inside}; exit $?"],
        "through a shell there": ["sh", "-c", f"chroot {root} /bin/sh -c '/bin/roots; exit $?'; exit $?"],
        "in a name space": ["unshare", "--mount", f"--root={root}", "/bin/roots"],
        "in a name space, later": ["sh", "-c", f"unshare --mount --root={root} /bin/roots; exit $?"],
        "without preloading": ["--no-preload", "sh", "-c", f"{inside}; exit $?"],
    }


@pytest.mark.parametrize("how", list(commands(Path("/"))))
def test_a_program_in_another_root_is_traced_and_says_nothing(tracer: Tracer, root: Path, how: str) -> None:
    trace = tracer.run(
        *commands(root)[how], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS
    )
    assert trace.status == 0
    assert trace.output in {b"none\n", b"\n"}
    assert trace.count("unlink") == CALLS


def test_other_libraries_stay_preloaded(tracer: Tracer, root: Path) -> None:
    (library,) = [each for each in libraries(root / "bin/roots") if each.name.startswith("libc.")]
    command = ["sh", "-c", f"chroot {root} /bin/roots"]
    environment = ENVIRONMENT | {"LD_PRELOAD": str(library)}
    trace = tracer.run(*command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS)
    assert (trace.status, trace.output) == (0, f"{library}\n".encode())
    assert trace.count("unlink") == CALLS


def test_the_launcher_in_a_root_without_the_library_says_nothing(tracer: Tracer, root: Path) -> None:
    # A file bound into the root is the same file, so that the mark is seen.
    inside = root / "bin/datacrumbs_wrap"
    inside.touch()
    script = f"mount --bind {client.launcher()} {inside} && exec chroot {root} /bin/datacrumbs_wrap /bin/roots"
    tracer.drain()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        check=False,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
    )
    records = tracer.drain()
    assert (done.returncode, done.stdout) == (0, b"none\n")
    names = [tracer.plan.functions[index].name for index in records["function"] if index < len(tracer.plan.functions)]
    assert names.count("unlink") == CALLS
