"""Foreign components are compiled in a child process with bounds; its end is a typed error."""

import functools
import os
import select
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.sandbox import wat
from wasmtime import wat2wasm

from yoi.errors import SandboxError
from yoi.limits import LIMITS, MIB, Limits
from yoi.sandbox import compile_child
from yoi.sandbox.cache import CodeCache
from yoi.sandbox.compiler import Compiler
from yoi.sandbox.engine import ProcessEngine


def compiler(folder: Path, limits: Limits = LIMITS) -> Compiler:
    return Compiler(CodeCache(folder, ProcessEngine.shared(LIMITS).fingerprint, 16), limits)


def refusal(folder: Path, data: bytes, limits: Limits = LIMITS) -> SandboxError:
    with pytest.raises(SandboxError) as refused:
        compiler(folder, limits).compiled(data)
    assert refused.value.code == "sandbox.compile"
    assert not list(folder.glob("new-*")), "nothing half-written stays"
    assert not list(folder.glob("*.cwasm"))
    return refused.value


@functools.cache
def heavy() -> bytes:
    """A component of 1.8 MB that takes a compiler seconds: many loops over many live values."""
    count, loops = 400, 500
    body = "".join(
        f"(local.set {n} (i64.add (local.get {n}) (local.get {(7 * n + 1) % count})))"
        for n in range(count)
    )
    loop = f"(loop {body} (br_if 0 (i32.wrap_i64 (local.get 0))))"
    values = " ".join(["i64"] * count)
    return bytes(wat2wasm(f"(component (core module (func (local {values}) {loop * loops})))"))


def test_a_component_is_compiled_once(tmp_path: Path) -> None:
    first = compiler(tmp_path).compiled(wat.component())
    inode = first.stat().st_ino
    assert compiler(tmp_path).compiled(wat.component()) == first
    assert first.stat().st_ino == inode, "found, not compiled again"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00asm",
        b"(component)",
        b"MZ" + bytes(64),
        bytes(wat2wasm("(module)")),
        wat.component()[:-7],
        wat.component()[:8] + b"\xff" * 64,
    ],
    ids=["empty", "cut", "text", "exe", "core module", "truncated", "garbage"],
)
def test_what_is_no_component_is_refused(tmp_path: Path, data: bytes) -> None:
    refusal(tmp_path, data)


def test_the_size_is_bounded(tmp_path: Path) -> None:
    error = refusal(tmp_path, wat.component(), replace(LIMITS, compile_input_bytes=64))
    assert "the bound is 64" in error.message


def test_the_processor_time_is_bounded(tmp_path: Path) -> None:
    error = refusal(tmp_path, heavy(), replace(LIMITS, compile_seconds=1))
    assert "bound" in error.message


def test_the_memory_is_bounded(tmp_path: Path) -> None:
    error = refusal(tmp_path, heavy(), replace(LIMITS, compile_memory_bytes=200 * MIB))
    assert "bound" in error.message


def test_the_child_sees_no_environment_and_no_input(tmp_path: Path) -> None:
    """The host's secrets are not the compiler's business."""
    import inspect

    from yoi.sandbox import compiler as module

    source = inspect.getsource(module.Compiler._run_child)
    assert "env=environment" in source
    assert "stdin=subprocess.DEVNULL" in source


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_the_child_ends_with_its_host(tmp_path):
    """A host that is stopped or killed leaves no compiler behind that uses a core for minutes."""
    source = tmp_path / "source"
    os.mkfifo(source)
    command = [sys.executable, "-I", compile_child.__file__, str(source), str(tmp_path / "out")]
    command += ["1000000", "60", str(1 << 31), "1000000"]
    host = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.run({command!r})"],
        stdout=subprocess.PIPE,
    )
    # Opening blocks until the child reads, which it does after it has asked for its end.
    with source.open("wb"):
        host.kill()
        assert host.stdout is not None
        # The child holds the same pipe: it ends only when both are gone.
        assert select.select([host.stdout], [], [], 20)[0]
        assert host.stdout.read() == b""
        host.stdout.close()
        host.wait()


def test_a_failed_compile_is_remembered_and_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over_time = subprocess.CompletedProcess([], -signal.SIGXCPU, b"")
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", lambda *_, **__: over_time)
        first = refusal(tmp_path, wat.component())
    invalid = wat.component()[:-7]
    second = refusal(tmp_path, invalid)

    monkeypatch.setattr(Compiler, "_run_child", lambda *_: pytest.fail("it was tried again"))
    assert refusal(tmp_path, wat.component()).message == first.message
    assert refusal(tmp_path, invalid).message == second.message


def test_other_bounds_or_another_engine_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = wat.component()[:-7]
    refusal(tmp_path, data)
    tried = []
    run = Compiler._run_child
    monkeypatch.setattr(Compiler, "_run_child", lambda *args: tried.append(1) or run(*args))
    refusal(tmp_path, data)
    assert tried == []
    refusal(tmp_path, data, replace(LIMITS, compile_seconds=7))
    other = Compiler(CodeCache(tmp_path, "another engine", 16), LIMITS)
    with pytest.raises(SandboxError):
        other.compiled(data)
    assert len(tried) == 2


def test_a_child_that_was_killed_from_outside_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = subprocess.CompletedProcess([], -9, b"")
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", lambda *_, **__: killed)
        refusal(tmp_path, wat.component())
    assert compiler(tmp_path).compiled(wat.component()).is_file()


def test_remembered_refusals_are_bounded_and_vouched_for(tmp_path: Path) -> None:
    cache = CodeCache(tmp_path, "engine", 3)
    for number in range(5):
        cache.remember_refusal(f"{number}", "terms", f"reason {number} \N{SNOWMAN}")
    assert len(list(tmp_path.glob("*.refused"))) == 3
    assert cache.refused("4", "terms") == "reason 4 \N{SNOWMAN}"
    assert cache.refused("4", "other terms") is None
    (path,) = (p for p in tmp_path.glob("*.refused") if b"reason 4" in p.read_bytes())
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert cache.refused("4", "terms") is None
    assert not path.exists()
