"""How every benchmark ends: one line of JSON, whatever happened, with what disturbed it."""

import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NoReturn

from harness import figures, machine
from harness.processes import BenchmarkError

BUSY = 0.10
"""Of all cores: more than this much used by others is noted."""
STOLEN = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")
_LOG_BYTES = 4000


def conclude(measure: Callable[[], dict[str, Any]]) -> NoReturn:
    """Run `measure` and end with its result as the last line, or with what went wrong.

    The line also has `machine`, and `noisy`: what else the machine did meanwhile, in words, or
    null. `errors` in a result names the cases that gave no figures; the exit status is 1 where an
    `error` is Yoi's own: a benchmark that measured nothing.
    """
    here = machine.describe()  # before anything is pinned to one core
    print(machine.in_words(here), flush=True)
    noise = Noise()
    try:
        result = measure()
    except BenchmarkError as exc:
        result = {"error": str(exc)}
    except Exception as exc:
        traceback.print_exc()
        result = {"error": f"{type(exc).__name__}: {exc}"}
    result = {**result, "machine": here, "noisy": noise.note()}
    figures.last_line(result)
    raise SystemExit(1 if "error" in result else 0)


class Noise:
    """What processes other than this one and its children took from the machine since now."""

    def __init__(self) -> None:
        """Begin."""
        self._load = os.getloadavg()[0]
        self._cores = os.cpu_count() or 1
        self._began = time.monotonic()
        self._used, self._stolen = _machine_seconds()
        self._own = _own_seconds()

    def note(self) -> str | None:
        """Return what disturbed the measurement, or None; children must have ended."""
        whole = (time.monotonic() - self._began) * self._cores
        used, stolen = _machine_seconds()
        others = (used - self._used - (_own_seconds() - self._own)) / whole
        notes = []
        if others > BUSY:
            notes.append(f"other processes used {others:.0%} of the cores")
        if (stolen - self._stolen) / whole > STOLEN:
            notes.append(f"the hypervisor took {(stolen - self._stolen) / whole:.0%}")
        if notes:
            notes.append(f"load average {self._load:.1f} at the start")
        return "; ".join(notes) or None


def tail(log: IO[bytes]) -> None:
    """Show on standard error what the processes of a failed run said last."""
    log.seek(max(0, log.tell() - _LOG_BYTES))
    sys.stderr.write(log.read().decode(errors="replace"))
    log.seek(0, os.SEEK_END)


def _machine_seconds() -> tuple[float, float]:
    """Return the CPU seconds used on all cores since boot, and those stolen."""
    fields = [int(f) for f in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, stolen = fields
    return (user + nice + system + irq + softirq) / _TICKS, stolen / _TICKS


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
