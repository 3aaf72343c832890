"""One engine, and trap handlers that survive faulthandler (crash table, row 4)."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from yoi.errors import SandboxError
from yoi.limits import LIMITS
from yoi.sandbox.engine import ProcessEngine, fingerprint

PROGRAM = """
import faulthandler, sys, threading
from pathlib import Path
from tests.sandbox import wat
from yoi.errors import GuestTrapped
from yoi.limits import LIMITS
from yoi.sandbox import Sandbox
from yoi.sandbox.threads import start_thread

assert not faulthandler.is_enabled()
sandbox = Sandbox(LIMITS, Path(sys.argv[1]))

def trap():
    # A load outside the memory is a real SIGSEGV; `unreachable` a real SIGILL.
    for body in ("(i32.load (i32.const -8))", wat.TRAP, wat.RECURSE):
        guest = sandbox.load_component(wat.component(handle_tool=body))
        try:
            guest.call_tool("t", "{}", 5000)
        except GuestTrapped:
            print("typed")

def on_thread(work):
    start_thread(work, name="g", stack_bytes=LIMITS.thread_stack_bytes).join()

on_thread(trap)
faulthandler.enable()
on_thread(trap)
faulthandler.disable()

def refused():
    try:
        sandbox.load_component(wat.component())
    except RuntimeError as exc:
        assert "faulthandler" in str(exc)
        print("refused")

on_thread(refused)
print("alive")
"""


def test_faulthandler_enabled_late_does_not_turn_traps_into_crashes(user_cache: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(user_cache)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["typed"] * 6 + ["refused", "alive"]


@pytest.mark.parametrize("stderr", ["None", "__import__('io').StringIO()"])
def test_an_engine_without_a_stderr(user_cache: Path, stderr: str) -> None:
    program = (
        f"import sys; sys.stderr = {stderr}\n"
        "from yoi.limits import LIMITS\nfrom yoi.sandbox.engine import ProcessEngine\n"
        "ProcessEngine.shared(LIMITS); print('made')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "made\n"


def test_a_process_has_one_engine() -> None:
    first = ProcessEngine.shared(LIMITS)
    assert ProcessEngine.shared(replace(LIMITS, dispatch_ms=7)) is first
    for other in (
        replace(LIMITS, guest_stack_bytes=LIMITS.guest_stack_bytes // 2),
        replace(LIMITS, epoch_tick_ms=LIMITS.epoch_tick_ms + 1),
    ):
        with pytest.raises(SandboxError) as refused:
            ProcessEngine.shared(other)
        assert refused.value.code == "sandbox.engine"


def test_threads_must_hold_the_guest_stack() -> None:
    small = replace(LIMITS, thread_stack_bytes=LIMITS.guest_stack_bytes)
    with pytest.raises(SandboxError) as refused:
        ProcessEngine.shared(small)
    assert refused.value.code == "sandbox.engine"


def test_the_fingerprint_depends_on_the_configuration() -> None:
    assert fingerprint(1 << 20) == fingerprint(1 << 20)
    assert fingerprint(1 << 20) != fingerprint(2 << 20)
