"""Build the C load instruments once, beside the benchmarks."""

import hashlib
import os
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
SOURCES = HERE / "instruments"
CACHE = HERE / ".cache"


def build(name: str) -> Path:
    """Return the path of instrument `name`, compiled by cc (zlib's headers are needed)."""
    source = SOURCES / f"{name}.c"
    parts = [source, *sorted(SOURCES.glob("*.h"))]
    key = hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()[:16]
    binary = CACHE / f"{name}-{key}"
    if not binary.exists():
        CACHE.mkdir(exist_ok=True)
        fresh = binary.with_suffix(f".{os.getpid()}")
        command = [os.environ.get("CC", "cc"), "-O2", "-o", str(fresh), str(source), "-lz"]
        subprocess.run(command, check=True)
        fresh.replace(binary)
    return binary
