"""The compiler child: one component in, native code out, under limits, then gone.

Run as `python -I compile_child.py IN OUT STACK CPU_SECONDS MEMORY_BYTES OUT_BYTES`.
A hostile component can make a compiler slow, greedy or faulty; here that ends one small process.
"""

import ctypes
import resource
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1

INVALID = 3
"""Exit status: the bytes are not a component this engine accepts; stdout says why."""


def main(argv: list[str]) -> int:
    """Compile as the arguments say and return the exit status."""
    _end_with_parent()
    source, target = Path(argv[0]), Path(argv[1])
    stack, cpu_seconds, memory_bytes, out_bytes = (int(value) for value in argv[2:6])
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (out_bytes, out_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    # Isolated mode looks only where packages are installed; this one may be elsewhere.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    # Imported under the limits, because this is the code that meets the hostile bytes.
    from wasmtime import Engine, WasmtimeError
    from wasmtime.component import Component

    from yoi.sandbox.engine import build_config

    engine = Engine(build_config(stack))
    try:
        compiled = Component(engine, source.read_bytes()).serialize()
    except WasmtimeError as exc:
        print(str(exc)[:2000])
        return INVALID
    target.write_bytes(compiled)
    return 0


def _end_with_parent() -> None:
    """Have the system end this process when the host ends, which alone waits for it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
