"""The long run: each door is fed with inputs that atheris makes from coverage, and what came of it is printed.

usage: long_run.py [--inputs N] [--seconds S] [DOOR...]

Every door runs in a process of its own, whose memory and time for one input are bounded. An input that breaks it is
kept, and its path printed. Exit 1 when there is one.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = ("probe-file", "plan", "request", "yaml", "environment", "elf", "discovery", "trace")
MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of one's own is made there
INPUT_SECONDS = 10
MEMORY_MIB = 2048
DONE = re.compile(r"Done (\d+) runs in (\d+) second")
SLOWEST = re.compile(r"stat::slowest_unit_time_sec:\s+(\d+)")
PEAK = re.compile(r"stat::peak_rss_mb:\s+(\d+)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("doors", nargs="*", metavar="DOOR", help=f"default: {' '.join(NAMES)}")
    parser.add_argument("--inputs", type=int, default=1_000_000, metavar="N", help="of each door")
    parser.add_argument("--seconds", type=int, default=3600, metavar="S", help="at most, for each door")
    arguments = parser.parse_args()
    print(f"{'door':<12} {'inputs':>9} {'seconds':>8} {'peak MiB':>8} {'slowest s':>9}  findings", flush=True)
    results = [_run(name, arguments.inputs, arguments.seconds) for name in arguments.doors or NAMES]
    return 0 if all(results) else 1


def _run(name: str, inputs: int, seconds: int) -> bool:
    kept = Path(tempfile.mkdtemp(prefix=f"datacrumbs-fuzz-{name}-"))
    command = [sys.executable, HERE / "long_run.py", "--feed", name, f"-runs={inputs}", f"-max_total_time={seconds}"]
    command += [f"-timeout={INPUT_SECONDS}", f"-rss_limit_mb={MEMORY_MIB}", "-print_final_stats=1"]
    command += [f"-artifact_prefix={kept}/", str(kept / "corpus")]
    (kept / "corpus").mkdir()
    # Inputs of the readers of files go through files: into memory with them. libFuzzer leaves without cleaning up.
    with tempfile.TemporaryDirectory(prefix="datacrumbs-fuzz-", dir=MEMORY if MEMORY.is_dir() else None) as scratch:
        environment = os.environ | {"TMPDIR": scratch}
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=environment)
    found = sorted(path for path in kept.iterdir() if path.name != "corpus")
    (kept / "log").write_text(done.stdout + done.stderr)
    finished = DONE.search(done.stderr)
    number, took = finished.groups() if finished else ("?", "?")
    peak, slowest = (match[1] if (match := form.search(done.stderr)) else "?" for form in (PEAK, SLOWEST))
    if finished and not found:
        shutil.rmtree(kept)
    what = ", ".join(map(str, found)) or ("none" if finished else f"ended badly: {kept}/log")
    print(f"{name:<12} {number:>9} {took:>8} {peak:>8} {slowest:>9}  {what}", flush=True)
    return bool(finished) and not found


# In a process of its own: libFuzzer takes over and does not return.
def _feed(name: str, options: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["datacrumbs", "elftools", "yaml"]):
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


if __name__ == "__main__":
    if sys.argv[1:2] == ["--feed"]:
        _feed(sys.argv[2], sys.argv[3:])
    sys.exit(main())
