"""Which of the two bindings a process uses."""

from yoi.sandbox import direct, plain
from yoi.sandbox.binding import Binding


def choose() -> Binding:
    """Return the direct binding where it fits the installed wasmtime, else the plain one."""
    return direct.DirectBinding() if direct.fits() else plain.PlainBinding()
