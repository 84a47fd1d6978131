"""The long run: each door is fed with inputs that atheris makes from coverage, then with many more that are made from
what it kept, without its instrumentation, which takes most of the time. What came of it is printed.

usage: long_run.py [--inputs N] [--guided N] [--seconds S] [DOOR...]

Every door runs in a process of its own, whose memory and time for one input are bounded. An input that breaks it is
kept, and its path printed. Exit 1 when there is one.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent
NAMES = (
    "probe-file",
    "plan",
    "request",
    "run-request",
    "comment",
    "message",
    "yaml",
    "environment",
    "elf",
    "discovery",
)
NAMES += ("calls", "last-line", "trace-file", "trace")
MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of one's own is made there
INPUT_SECONDS = 10  # of processor time, so that a busy machine is no finding
CLOCK_SECONDS = 300  # for what waits
MEMORY_MIB = 768  # that a door may take, with the libraries that it loads
ADDRESSES_MIB = 8192  # a process of polars reserves far more than it uses
GUIDED, SAID = re.compile(r"Done (\d+) runs in (\d+) second"), re.compile(r"fed (\d+), slowest ([\d.]+) s, (\d+) MiB")
SLOWEST = re.compile(r"stat::slowest_unit_time_sec:\s+(\d+)")
PEAK = re.compile(r"stat::peak_rss_mb:\s+(\d+)")
FRAGMENTS = (
    b"0",
    b"-1",
    b"null",
    b"[]",
    b"{}",
    b'""',
    b"1e999",
    b"9" * 20,
    b"\xff\xff\xff\xff",
    b"\n",
    b"\0",
    b"[" * 200,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("doors", nargs="*", metavar="DOOR", help=f"default: {' '.join(NAMES)}")
    parser.add_argument("--inputs", type=int, default=1_000_000, metavar="N", help="of each door")
    parser.add_argument("--guided", type=int, default=50_000, metavar="N", help="of these, made by coverage")
    parser.add_argument("--seconds", type=int, default=3600, metavar="S", help="at most, for each of the two ways")
    arguments = parser.parse_args()
    print(
        f"{'door':<12} {'guided':>9} {'inputs':>9} {'seconds':>8} {'peak MiB':>8} {'slowest s':>9}  findings",
        flush=True,
    )
    results = [_run(name, arguments) for name in arguments.doors or NAMES]
    return 0 if all(results) else 1


def _run(name: str, arguments: argparse.Namespace) -> bool:
    kept = Path(tempfile.mkdtemp(prefix=f"datacrumbs-fuzz-{name}-"))
    (kept / "corpus").mkdir()
    guided = min(arguments.guided, arguments.inputs)
    options = [f"-runs={guided}", f"-max_total_time={arguments.seconds}", f"-timeout={CLOCK_SECONDS}"]
    options += [
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-report_slow_units={CLOCK_SECONDS}",
        "-print_final_stats=1",
        f"-artifact_prefix={kept}/",
        str(kept / "corpus"),
    ]
    began = time.monotonic()
    first = _child(kept, "--feed", name, *options)
    second = _child(kept, "--mutate", name, str(arguments.inputs - guided), str(arguments.seconds), str(kept))
    took = time.monotonic() - began
    done, said = GUIDED.search(first), SAID.search(second)
    found = sorted(path for path in kept.iterdir() if path.name not in {"corpus", "log"})
    (kept / "log").write_text(first + second)
    if done and said and not found:
        shutil.rmtree(kept)
    numbers = [int(done[1]) if done else 0, int(said[1]) if said else 0]
    peak = max(int(match[1]) for match in (PEAK.search(first), re.search(r"(\d+) MiB", second)) if match)
    slowest = max(float(match[1]) for match in (SLOWEST.search(first), re.search(r"slowest ([\d.]+)", second)) if match)
    what = ", ".join(map(str, found)) or ("none" if done and said else f"ended badly: {kept}/log")
    figures = f"{numbers[0]:>9} {sum(numbers):>9} {took:>8.0f} {peak:>8} {slowest:>9.1f}"
    print(f"{name:<12} {figures}  {what}", flush=True)
    if peak > MEMORY_MIB:
        print(f"{name}: took more than {MEMORY_MIB} MiB", flush=True)
    return bool(done and said) and not found and peak <= MEMORY_MIB


# Inputs of the readers of files go through files: into memory with them. libFuzzer leaves without cleaning up.
def _child(kept: Path, *words: str) -> str:
    with tempfile.TemporaryDirectory(prefix="datacrumbs-fuzz-", dir=MEMORY if MEMORY.is_dir() else None) as scratch:
        environment = os.environ | {"TMPDIR": scratch, "POLARS_MAX_THREADS": "1"}
        command = [sys.executable, HERE / "long_run.py", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, env=environment, cwd=kept
        )
    return f"{done.stdout}{done.stderr}\n"


# In a process of its own: libFuzzer takes over and does not return.
def _feed(name: str, options: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["datacrumbs", "yaml"]):
        sys.path.insert(0, str(HERE))
        import feeds

        from datacrumbs.errors import DatacrumbsError

    door = feeds.DOORS[name]
    corpus = Path(options[-1])
    for number, seed in enumerate(door.seeds()):
        (corpus / str(number)).write_bytes(seed)

    def feed(data: bytes) -> None:
        try:
            door.feed(data)
        except DatacrumbsError:
            return

    atheris.Setup([sys.argv[0], f"-max_len={door.longest}", *options], feed)
    atheris.Fuzz()


def _mutate(name: str, inputs: int, seconds: int, kept: Path) -> None:
    sys.path.insert(0, str(HERE))
    import feeds

    from datacrumbs.errors import DatacrumbsError

    door = feeds.DOORS[name]
    corpus = [*door.seeds(), *(path.read_bytes() for path in sorted((kept / "corpus").iterdir()))]
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES_MIB << 20, ADDRESSES_MIB << 20))
    signal.signal(signal.SIGALRM, _too_slow)
    signal.signal(signal.SIGPROF, _too_slow)
    chooser = random.Random(inputs)
    fed, slowest, end = 0, 0.0, time.monotonic() + seconds
    while fed < inputs and time.monotonic() < end:
        together = min(door.together, inputs - fed)
        data = b"\n".join(_mutated(chooser, corpus)[: door.longest] for _ in range(together))
        signal.alarm(CLOCK_SECONDS)
        signal.setitimer(signal.ITIMER_PROF, INPUT_SECONDS)
        begin = time.process_time()
        try:
            door.feed(data)
        except DatacrumbsError:
            pass
        except BaseException:  # noqa: BLE001 - whatever it is, it is a finding
            (kept / f"crash-{fed}").write_bytes(data)
            traceback.print_exc()
            break
        slowest = max(slowest, time.process_time() - begin)
        fed += together
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"fed {fed}, slowest {slowest:.1f} s, {peak} MiB")


def _too_slow(_number: int, _frame: object) -> None:
    raise TimeoutError(f"an input took more than {INPUT_SECONDS} s of processor time, or {CLOCK_SECONDS} s")


def _mutated(chooser: random.Random, corpus: Sequence[bytes]) -> bytes:
    data = bytearray(chooser.choice(corpus))
    for _ in range(chooser.choice((1, 1, 2, 4, 8))):
        place = chooser.randrange(len(data) + 1)
        match chooser.randrange(6):
            case 0:
                data[place : place + 1] = chooser.randbytes(1)
            case 1:
                data[place:place] = chooser.randbytes(chooser.randrange(1, 5))
            case 2:
                del data[place : place + chooser.randrange(1, 9)]
            case 3:
                data[place : place + chooser.randrange(9)] = chooser.choice(FRAGMENTS)
            case 4 if place < len(data):
                data[place] ^= 1 << chooser.randrange(8)
            case 5:
                other = chooser.choice(corpus)
                start = chooser.randrange(len(other) + 1)
                data[place : place + 64] = other[start : start + chooser.randrange(65)]
    return bytes(data)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--feed", name, *options]:
            _feed(name, options)
        case ["--mutate", name, inputs, seconds, kept]:
            _mutate(name, int(inputs), int(seconds), Path(kept))
        case _:
            sys.exit(main())
