"""What the kernel side counts instead of recording: the guard's limits, and profiles to read."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.engine import links
from datacrumbs.model.contract import GUARD_SHIFT, Setting
from datacrumbs.model.layouts import PROFILE_KEY, PROFILE_SUMS, RECORD
from datacrumbs.model.record import PROFILE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from datacrumbs.engine.bpf_objects import Map
    from datacrumbs.system import SystemConfiguration

GUARD_INTERVAL_NS = 1 << GUARD_SHIFT
SHARES = 16
"""Into how many parts the number of calls that a function may record in an interval is divided for the processors."""
RING_SHARES = 64
LARGEST_SHARE = 1024
RECOVERED = 0.5
"""Share of the ring up to which degraded functions recover."""
PROFILES_AT_ONCE = 4096

_MAP_CREATE, _UPDATE, _LOOKUP_BATCH, _DELETE_BATCH = 0, 2, 24, 27
_ARRAY, _ARRAY_OF_MAPS = 2, 12


def guard_settings(configuration: SystemConfiguration, processors: int) -> dict[Setting, int]:
    """The settings of the guard.

    Each of ``processors`` may hold a share: all of them are a small part of the ring together.
    """
    seconds = GUARD_INTERVAL_NS / 1e9
    function = max(1, round(configuration.guard_function_rate * seconds))
    total = max(1, round(configuration.guard_total_rate * seconds))
    ring = configuration.call_ring_mib << 20
    records = ring // RECORD.itemsize
    share = min(function // SHARES, total // SHARES, records // RING_SHARES // processors, LARGEST_SHARE)
    high = ring * configuration.guard_ring_percent // 100
    return {
        Setting.GUARD_SHARE: max(1, share),
        Setting.GUARD_FUNCTION: function,
        Setting.GUARD_TOTAL: total,
        Setting.GUARD_RING_HIGH: high,
        Setting.GUARD_RING_LOW: min(high, int(ring * RECOVERED)),
    }


class Profiles:
    """The table of profiles of a loaded program.

    Calls are added under the number of an epoch. A new epoch begins before the last one is read, and
    reading waits until no program that saw the last one still runs. So what is read is final.

    Args:
        table: The map.
        begin: Makes the kernel side count under an epoch.
    """

    def __init__(self, table: Map, begin: Callable[[int], None]) -> None:
        self._map = table
        self._table = table.descriptor
        self._begin = begin
        self._epoch = 0
        self._barrier = Barrier()

    def close(self) -> None:
        """Free what waiting needs."""
        self._barrier.close()

    def take(self) -> NDArray[np.void]:
        """What was added up since the last time, as record.PROFILE, and forget it."""
        if self._map.is_empty():
            return np.zeros(0, PROFILE)
        self._epoch += 1
        self._begin(self._epoch)
        self._barrier.wait()
        keys, values = self._read()
        old = keys["epoch"] != self._epoch
        keys, values = keys[old], values[old]
        self._delete(keys)
        profiles = np.zeros(len(keys), PROFILE)
        for name in ("file", "process", "function", "cause"):
            profiles[name] = keys[name]
        for name in ("count", "errors", "bytes", "time", "longest", "last", "times", "sizes"):
            profiles[name] = values[name]
        returned = values["times"].any(axis=1)
        profiles["shortest"] = np.where(returned, ~values["inverse_shortest"], 0)
        profiles["first"] = ~values["inverse_first"]
        order = np.lexsort((profiles["file"], profiles["process"], profiles["function"], profiles["cause"]))
        return np.asarray(profiles[order])

    def _read(self) -> tuple[NDArray[np.void], NDArray[np.void]]:
        parts: list[tuple[NDArray[np.void], NDArray[np.void]]] = []
        places = np.zeros(2, np.uint64)
        room = PROFILES_AT_ONCE
        more = True
        while more:
            keys, values = np.zeros(room, PROFILE_KEY), np.zeros(room, PROFILE_SUMS)
            start = places.ctypes.data if parts else 0
            addresses = (start, places[1:].ctypes.data, keys.ctypes.data, values.ctypes.data)
            attributes = links.attributes("<QQQQIIQQ", *addresses, room, self._table, 0, 0)
            try:
                links.bpf(_LOOKUP_BATCH, attributes)
            except OSError as error:
                if error.errno == errno.ENOSPC:  # one bucket holds more
                    room *= 2
                    continue
                if error.errno != errno.ENOENT:
                    raise
                more = False
            taken = struct.unpack_from("<I", attributes.raw, 32)[0]
            parts.append((keys[:taken], values[:taken]))
            places[0] = places[1]
        return np.concatenate([keys for keys, _ in parts]), np.concatenate([values for _, values in parts])

    def _delete(self, keys: NDArray[np.void]) -> None:
        keys = np.ascontiguousarray(keys)
        if len(keys):
            given = (0, 0, keys.ctypes.data, 0, len(keys), self._table, 0, 0)
            links.bpf(_DELETE_BATCH, links.attributes("<QQQQIIQQ", *given))


class Barrier:
    """Waits until every BPF program that runs at the time has ended.

    The kernel waits so after an update of a map of maps, so that the old map is no longer in use (Linux 5.0 and later,
    commit 1ae80cf31938). The maps are made at once, since a run may make none later; they have no other purpose.
    """

    def __init__(self) -> None:
        self._inner = links.bpf(_MAP_CREATE, links.attributes("<IIIIII", _ARRAY, 4, 4, 1, 0, 0))
        try:
            shape = links.attributes("<IIIIII", _ARRAY_OF_MAPS, 4, 4, 1, 0, self._inner)
            self._outer = links.bpf(_MAP_CREATE, shape)
        except BaseException:
            os.close(self._inner)
            raise

    def wait(self) -> None:
        """Return when they have ended."""
        key, value = np.zeros(1, np.uint32), np.full(1, self._inner, np.uint32)
        links.bpf(_UPDATE, links.attributes("<I4xQQQ", self._outer, key.ctypes.data, value.ctypes.data, 0))

    def close(self) -> None:
        """Free the maps."""
        os.close(self._inner)
        os.close(self._outer)
