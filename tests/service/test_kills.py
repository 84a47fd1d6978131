"""Daemons that are killed at any moment of a busy run.

DATACRUMBS_KILLS says how many; the default is for every day.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

KILLS = int(os.environ.get("DATACRUMBS_KILLS", "6"))
FLUSH_SECONDS = 1.0
# For the daemon to be late on a machine that is busy with other things: that holds up the program as well.
LATE_SECONDS, LATE_PAUSES = 1.0, 20
PROGRAM = """
import os, sys, time
longest, last = 0.0, time.monotonic()
with open("/dev/null", "wb", buffering=0) as null:
    for number in range(10**9):
        os.pwrite(null.fileno(), b"x", number)
        if number % 10 == 0:
            time.sleep(0.0005)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
            if os.path.exists(sys.argv[1]):
                break
print(number + 1, longest)
"""


def written(text: bytes) -> list[tuple[int, int]]:
    """(offset, epoch us) of each pwrite in the text of a trace."""
    calls = [json.loads(line) for line in text.splitlines() if b'"name":"pwrite"' in line]
    return [(call["args"]["offset"], call["ts"]) for call in calls]


def start_program(machine, stop: str) -> subprocess.Popen[str]:
    inside = ["nsenter", "--target", str(machine.init), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"]
    wrap = Path(sys.executable).parent / "datacrumbs_wrap"
    command = ["runuser", "-u", "alice", "--", wrap, sys.executable, "-c", PROGRAM, stop]
    return subprocess.Popen([*inside, *command], stdout=subprocess.PIPE, text=True)


def test_a_killed_daemon_has_lost_at_most_what_it_had_not_flushed(machine, alices, whole_members):
    chosen = random.Random(os.environ.get("DATACRUMBS_SEED", "23"))
    for number in range(KILLS):
        run, stop = f"kill{number}", f"/run/stop{number}"
        machine.environment(run, f"PROBE_FILE={alices}\nUSER=alice\n")
        machine.done("systemctl", "start", f"datacrumbs@{run}")
        pid = int(machine.show(f"datacrumbs@{run}", "MainPID"))
        started = time.time()
        with start_program(machine, stop) as program:
            time.sleep(chosen.uniform(0.05, 2.5))
            killed = time.time()
            machine.done("kill", "-KILL", str(pid))
            while f"datacrumbs-{run}.lock" in machine.run_files():
                time.sleep(0.01)
            time.sleep(0.1)
            assert program.poll() is None  # goes on as if nothing had happened
            machine.path(stop).touch()
            answer = program.communicate(timeout=300)[0].split()
            made, longest = int(answer[0]), float(answer[1])
            assert program.returncode == 0
        times = dict(written(whole_members(machine.trace("alice", run).read_bytes())))
        # All that was made up to some moment is there; that moment is at most a flush before the kill.
        missing = next(offset for offset in range(made + 1) if offset not in times)
        complete_until = times[missing - 1] / 1e6 if missing else started
        late = LATE_SECONDS + LATE_PAUSES * longest
        assert killed - complete_until <= FLUSH_SECONDS + late, (run, missing, made, longest)
        assert machine.run_files() == {f"datacrumbs-{run}.log"}
        machine.path(f"/run/datacrumbs/datacrumbs-{run}.log").unlink()
