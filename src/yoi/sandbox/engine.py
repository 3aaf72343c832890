"""The one wasmtime Engine of the process, with its configuration and its epoch ticker.

Compiled code, type ids and trap handlers belong to an Engine; two of them double the memory and
the ways to be wrong. It lives as long as the process: guests of any Sandbox may still hold it.
"""

import faulthandler
import hashlib
import platform
import sys
import threading
from importlib.metadata import version
from pathlib import Path

import wasmtime
from wasmtime import Config, Engine

from yoi.errors import SandboxError
from yoi.limits import MIB, Limits
from yoi.sandbox.ticker import EpochTicker

_lock = threading.Lock()
_shared: "ProcessEngine | None" = None


def build_config(guest_stack_bytes: int) -> Config:
    """Return the configuration of every Engine: the host's and the compiler child's are equal."""
    config = Config()
    config.epoch_interruption = True
    # Components come optimised from their own compilers: measured, calls are as quick without a
    # second pass over them, and the first run compiles in two thirds of the time.
    config.cranelift_opt_level = "none"
    # wasmtime aborts unless the asynchronous stack, which Yoi does not use, is larger still.
    wasmtime._ffi.wasmtime_config_async_stack_size_set(config.ptr(), guest_stack_bytes + MIB)
    config.max_wasm_stack = guest_stack_bytes
    # Proposals that no component needs and that widen what a guest can reach in the engine.
    config.wasm_threads = False
    config.wasm_memory64 = False
    config.wasm_gc = False
    config.wasm_stack_switching = False
    return config


def fingerprint(guest_stack_bytes: int) -> str:
    """Return what compiled code depends on besides its component: engine, configuration, CPU."""
    parts = [
        f"wasmtime={version('wasmtime')}",
        f"config=2;stack={guest_stack_bytes}",
        f"machine={platform.machine()};system={sys.platform}",
        _cpu_features(),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _cpu_features() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return platform.processor()
    for line in text.splitlines():
        if line.startswith(("flags", "Features")):
            return " ".join(sorted(line.partition(":")[2].split()))
    return platform.processor()


class ProcessEngine:
    """The Engine and its ticker. `shared()` is the only way to one."""

    def __init__(self, limits: Limits) -> None:
        # A handler that faulthandler installs later would take wasmtime's SIGSEGV and kill the
        # process at the first trap. Enabled now, its later enable() calls change nothing.
        if not faulthandler.is_enabled():
            try:
                faulthandler.enable()
            except (RuntimeError, OSError, AttributeError, ValueError):
                faulthandler.enable(file=2)  # sys.stderr is no file here
        self.guest_stack_bytes = limits.guest_stack_bytes
        self.epoch_tick_ms = limits.epoch_tick_ms
        self.engine = Engine(build_config(limits.guest_stack_bytes))
        self.fingerprint = fingerprint(limits.guest_stack_bytes)
        self.ticker = EpochTicker(self.engine.increment_epoch, limits)

    @classmethod
    def shared(cls, limits: Limits) -> "ProcessEngine":
        """Return the process's engine, made on first use.

        Raises SandboxError (`sandbox.engine`) when `limits` asks for another configuration than
        the engine was made with, or for guest stacks that the threads cannot hold.
        """
        global _shared
        if limits.thread_stack_bytes < 2 * limits.guest_stack_bytes:
            raise SandboxError(
                "sandbox.engine", "thread_stack_bytes must be at least twice guest_stack_bytes"
            )
        with _lock:
            if _shared is None:
                _shared = cls(limits)
            elif (_shared.guest_stack_bytes, _shared.epoch_tick_ms) != (
                limits.guest_stack_bytes,
                limits.epoch_tick_ms,
            ):
                raise SandboxError(
                    "sandbox.engine",
                    "one process has one engine: guest_stack_bytes and epoch_tick_ms are settled",
                )
            return _shared
