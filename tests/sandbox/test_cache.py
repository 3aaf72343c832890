"""Only code that this host compiled is loaded, and a loaded file never changes."""

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.sandbox import wat
from tests.sandbox.conftest import run_on_guest_thread

from yoi.errors import SandboxError
from yoi.limits import LIMITS
from yoi.sandbox import Sandbox
from yoi.sandbox.cache import CodeCache


@pytest.fixture
def cache(tmp_path: Path) -> CodeCache:
    return CodeCache(tmp_path / "code", "engine", 4)


def put(cache: CodeCache, digest: str, data: bytes) -> Path:
    with cache.new_file() as file:
        file.write_bytes(data)
        return cache.adopt(digest, file)


def test_what_was_adopted_is_found(cache: CodeCache) -> None:
    path = put(cache, "a", b"code")
    assert cache.find("a") == path
    assert path.read_bytes() == b"code"
    assert cache.find("b") is None


def test_the_folder_is_private(cache: CodeCache, tmp_path: Path) -> None:
    put(cache, "a", b"code")
    assert stat.S_IMODE((tmp_path / "code").stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / "code").iterdir())


def test_an_open_folder_is_closed(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir(mode=0o777)
    CodeCache(tmp_path / "code", "engine", 4)
    assert stat.S_IMODE((tmp_path / "code").stat().st_mode) == 0o700


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


TAMPERING: dict[str, Callable[[Path], None]] = {
    "changed code": flip,
    "truncated code": lambda path: path.write_bytes(b""),
    "changed digest": lambda path: flip(path.with_suffix(".mac")),
    "no digest": lambda path: path.with_suffix(".mac").unlink(),
    "another key": lambda path: (path.parent / "key").write_bytes(bytes(32)),
}


@pytest.mark.parametrize("how", TAMPERING)
def test_foreign_code_is_never_found(cache: CodeCache, tmp_path: Path, how: str) -> None:
    TAMPERING[how](put(cache, "a", b"code"))
    fresh = CodeCache(tmp_path / "code", "engine", 4)
    assert fresh.find("a") is None
    put(fresh, "a", b"code")
    assert fresh.find("a") is not None


def test_code_under_another_name_is_never_found(cache: CodeCache) -> None:
    """A digest vouches for one name: renaming a good file does not make it another component."""
    good, other = put(cache, "a", b"code"), cache.path_of("b")
    os.rename(good, other)
    os.rename(good.with_suffix(".mac"), other.with_suffix(".mac"))
    assert cache.find("b") is None


def test_another_engine_finds_nothing(cache: CodeCache, tmp_path: Path) -> None:
    put(cache, "a", b"code")
    assert CodeCache(tmp_path / "code", "another engine", 4).find("a") is None


def test_a_damaged_key_is_an_error_not_a_guess(cache: CodeCache, tmp_path: Path) -> None:
    (tmp_path / "code" / "key").write_bytes(b"short")
    with pytest.raises(SandboxError) as refused:
        CodeCache(tmp_path / "code", "engine", 4)
    assert refused.value.code == "sandbox.engine"


def test_the_number_of_files_is_bounded(cache: CodeCache, tmp_path: Path) -> None:
    for number in range(8):
        os.utime(put(cache, str(number), b"code"), (number, number))
    assert len(list((tmp_path / "code").glob("*.cwasm"))) <= 5
    assert cache.find("7") is not None
    assert cache.find("0") is None


def test_no_temporary_file_stays(cache: CodeCache, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), cache.new_file():
        raise RuntimeError
    put(cache, "a", b"code")
    assert not list((tmp_path / "code").glob("new-*"))


def test_code_the_engine_does_not_take_is_compiled_again(tmp_path: Path) -> None:
    """For instance when the engine was rebuilt without a new version."""
    sandbox = Sandbox(LIMITS, tmp_path)
    digest = hashlib.sha256(wat.component()).hexdigest()
    with sandbox._cache.new_file() as file:
        file.write_bytes(b"not what this engine compiles")
        sandbox._cache.adopt(digest, file)

    def work() -> str:
        guest = sandbox.load_component(wat.component())
        try:
            return guest.call_tool("t", "fine", 5_000)
        finally:
            guest.close()

    assert run_on_guest_thread(work) == "fine"


def test_replacing_code_that_is_mapped_leaves_the_running_guest_alone(tmp_path: Path) -> None:
    """Crash table, row 5: overwriting a mapped file kills the process (SIGBUS)."""
    sandbox = Sandbox(LIMITS, tmp_path)

    def work() -> str:
        guest = sandbox.load_component(wat.component())
        try:
            (path,) = (tmp_path / "code").glob("*.cwasm")
            before = path.stat().st_ino
            digest = next(iter(sandbox._foreign))
            with sandbox._cache.new_file() as file:
                file.write_bytes(b"something else entirely")
                assert sandbox._cache.adopt(digest, file) == path
            assert path.stat().st_ino != before, "replaced, not overwritten"
            sandbox._cache.remove(digest)
            return guest.call_tool("t", "still here", 5_000)
        finally:
            guest.close()

    assert run_on_guest_thread(work) == "still here"
