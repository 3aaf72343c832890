"""Turn component bytes into cached native code, in a child process with bounds."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from yoi.errors import SandboxError
from yoi.limits import MIB, Limits
from yoi.sandbox import compile_child
from yoi.sandbox.cache import CodeCache

_HEADER = b"\x00asm\x0d\x00\x01\x00"
_CODE_FACTOR = 16
"""Native code is at most this many times its component, or the child is stopped (2 is usual)."""


class Compiler:
    """Compile each component once; one at a time, because a compiler takes every core."""

    def __init__(self, cache: CodeCache, limits: Limits) -> None:
        self._cache = cache
        self._limits = limits
        self._lock = threading.Lock()
        self._terms = f"{limits.compile_seconds};{limits.compile_memory_bytes};{_CODE_FACTOR}"

    def compiled(self, component: bytes) -> Path:
        """Return the path of native code for `component`, from the cache where it is there.

        Takes seconds when it is not. Raises SandboxError (`sandbox.compile`): not a component, or
        over a bound of CPU time, memory or size. That is remembered for these bytes, this engine
        and these bounds: restarts of a hostile plugin do not pay for it again.
        """
        if len(component) > self._limits.compile_input_bytes:
            raise SandboxError(
                "sandbox.compile",
                f"the component has {len(component)} bytes; the bound is "
                f"{self._limits.compile_input_bytes}",
            )
        if component[:8] != _HEADER:
            # Also: wasmtime would take WebAssembly text here.
            raise SandboxError(
                "sandbox.compile",
                "these bytes are not a WebAssembly component",
                hint="a core module becomes one with: wasm-tools component new",
            )
        digest = hashlib.sha256(component).hexdigest()
        found = self._cache.find(digest)
        if found is not None:
            return found
        with self._lock:
            found = self._cache.find(digest)
            if found is not None:
                return found
            remembered = self._cache.refused(digest, self._terms)
            if remembered is not None:
                raise SandboxError("sandbox.compile", remembered)
            with self._cache.new_file() as source, self._cache.new_file() as target:
                source.write_bytes(component)
                try:
                    self._run_child(source, target, len(component))
                except _Hopeless as exc:
                    self._cache.remember_refusal(digest, self._terms, exc.message)
                    raise SandboxError("sandbox.compile", exc.message) from None
                return self._cache.adopt(digest, target)

    def forget(self, component: bytes) -> None:
        """Remove the code of `component` from the cache: the engine does not take it."""
        self._cache.remove(hashlib.sha256(component).hexdigest())

    def _run_child(self, source: Path, target: Path, size: int) -> None:
        limits = self._limits
        command = [
            sys.executable, "-I", compile_child.__file__,
            str(source), str(target), str(limits.guest_stack_bytes), str(limits.compile_seconds),
            str(limits.compile_memory_bytes), str(_CODE_FACTOR * size + 16 * MIB),
        ]  # fmt: skip
        environment = {"PATH": os.defpath, "RUST_BACKTRACE": "0"}
        try:
            # Wall time too: a child that waits uses no CPU time.
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                timeout=2 * limits.compile_seconds,
                check=False,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise _over("time") from None
        except OSError as exc:
            raise SandboxError(
                "sandbox.compile", f"the compiler child could not be started: {exc.strerror}"
            ) from None
        if done.returncode == 0:
            return
        if done.returncode == compile_child.INVALID:
            reason = done.stdout.decode("utf-8", "replace").strip()
            raise _Hopeless(f"not a component Yoi can run: {reason}")
        if done.returncode < 0:
            number = -done.returncode
            error = _over(f"CPU time, memory or size (signal {number})")
            # Somebody else, such as a machine out of memory, may have sent the others.
            raise error if number in _SENT else _Hopeless(error.message)
        error = _over(f"memory or size (exit status {done.returncode})")
        raise _Hopeless(error.message)


_SENT = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class _Hopeless(Exception):
    """The same bytes would fail again, after as long and with as much memory."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def _over(what: str) -> SandboxError:
    return SandboxError("sandbox.compile", f"compiling the component went over its bound of {what}")
