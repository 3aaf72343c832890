"""Which threads may run guests: ones with a large enough stack, and never one with other duties.

A guest on the main thread can be interrupted by Ctrl-C inside a host import, and a guest stack
overflow on a small thread stack is a segmentation fault: both kill the process. A guest on an
event loop's thread stops the world until its deadline.
"""

import asyncio
import ctypes
import faulthandler
import sys
import threading
from collections.abc import Callable
from typing import Any

from yoi.limits import LIMITS

_admitted = threading.local()
_starting = threading.Lock()
_MARGIN = 2
"""Host frames (ctypes, imports, json) stand on the same stack as the guest's."""


def start_thread(target: Callable[..., None], *, name: str, stack_bytes: int) -> threading.Thread:
    """Start and return a daemon thread that may run guests."""

    def run() -> None:
        _admitted.ok = True
        target()

    thread = threading.Thread(target=run, name=name, daemon=True)
    with _starting:  # the stack size is a process-wide setting
        before = threading.stack_size(stack_bytes)
        try:
            thread.start()
        finally:
            threading.stack_size(before)
    return thread


def require_guest_thread() -> None:
    """Return if this thread may run a guest; otherwise raise RuntimeError (a defect of the caller).

    A thread that Yoi did not start is measured once.
    """
    if not faulthandler.is_enabled():
        # faulthandler.disable() put back the handlers from before the engine: the next trap would
        # kill the process. See docs/decisions/sandbox-signals.md.
        raise RuntimeError("faulthandler was disabled after the engine was made; guests cannot run")
    if getattr(_admitted, "ok", False):
        return
    if threading.current_thread() is threading.main_thread():
        raise RuntimeError("guests run on worker threads, never on the main thread")
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("guests run on worker threads, never on an event loop's thread")
    needed = _MARGIN * LIMITS.guest_stack_bytes
    size = _own_stack_bytes()
    if size is not None and size < needed:
        raise RuntimeError(f"this thread's stack has {size} bytes; a guest needs {needed}")
    # Not remembered: an event loop may be started on this thread later.


def _own_stack_bytes() -> int | None:
    """Return the size of this thread's stack, or None where the platform does not tell."""
    if sys.platform != "linux":
        return None
    libc: Any = ctypes.CDLL(None)
    attr = ctypes.create_string_buffer(256)
    address, size = ctypes.c_void_p(), ctypes.c_size_t()
    libc.pthread_self.restype = ctypes.c_void_p
    if libc.pthread_getattr_np(ctypes.c_void_p(libc.pthread_self()), attr) != 0:
        return None
    try:
        if libc.pthread_attr_getstack(attr, ctypes.byref(address), ctypes.byref(size)) != 0:
            return None
    finally:
        libc.pthread_attr_destroy(attr)
    return size.value
