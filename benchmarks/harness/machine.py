"""The machine in words: enough to read a figure by, nothing that names one machine."""

import os
import platform
import re
from pathlib import Path


def describe() -> dict[str, str | int]:
    """Return cores, CPU family, memory, kernel and Python, without host names or serials."""
    memory_kib = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1])
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": f"{_cpu_family()} ({platform.machine()})",
        "ram_gib": round(memory_kib / 1024**2),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "python": platform.python_version(),
    }


def _cpu_family() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    if found is None:
        return "unknown CPU"
    words = re.sub(r"\(R\)|\(TM\)|CPU|Processor|@.*", " ", found[1]).split()
    return " ".join(word for word in words if not re.search(r"\d{3,}|-Core", word)) or "unknown CPU"


def in_words(machine: dict[str, str | int]) -> str:
    """Return `describe()` as one sentence."""
    return (
        f"{machine['cores']} cores of {machine['cpu']}, {machine['ram_gib']} GiB RAM, "
        f"Linux {machine['kernel']}, Python {machine['python']}"
    )


def stolen_ticks() -> int:
    """Return how many clock ticks other tenants of the hardware took so far (all cores)."""
    return int(Path("/proc/stat").read_text().splitlines()[0].split()[8])
