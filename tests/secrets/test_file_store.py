"""W9: secrets at rest. Bad keys, bad files and several processes."""

import fcntl
import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest
from tests.canary import Canaries

from yoi.errors import SecretError
from yoi.limits import Limits
from yoi.secrets import EncryptedFileStore, KeyFile, Passphrase
from yoi.testing import ManualClock

FEW = Limits(secrets=3, secret_value_bytes=100, secret_lock_ms=1)


@pytest.fixture
def key(tmp_path):
    return tmp_path / "config" / "yoi" / "secret.key"


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".yoi" / "secrets.enc"


@pytest.fixture
def store(path, key):
    return EncryptedFileStore(path, KeyFile(key), clock=ManualClock(), limits=FEW)


def code_of(call, *arguments):
    with pytest.raises(SecretError) as caught:
        call(*arguments)
    return caught.value.code


def test_what_is_set_is_read_back_also_by_another_process(store, path, key):
    version = store.set("app", "xapp-1")
    again = EncryptedFileStore(path, KeyFile(key))
    found = again.read("app")
    assert (found.secret.reveal(), found.secret.name, found.version) == ("xapp-1", "app", version)
    again.set("bot", "line 1\nline 2 é")
    assert store.read("bot").secret.reveal() == "line 1\nline 2 é"
    assert [one.name for one in store.entries()] == ["app", "bot"]
    assert {name: one.secret.reveal() for name, one in store.read_all().items()} == {
        "app": "xapp-1",
        "bot": "line 1\nline 2 é",
    }


def test_nothing_is_written_by_reading(store, tmp_path):
    assert store.entries() == ()
    assert code_of(store.read, "app") == "secret.missing"
    assert list(tmp_path.iterdir()) == []


def test_neither_name_nor_value_is_on_disk_in_the_clear(store, tmp_path):
    canaries = Canaries()
    store.set("a-telling-name", canaries.secret("a"))
    store.set("a-telling-name", canaries.secret("b"))
    assert canaries.grep_everything(disk=tmp_path, store=store) == []
    assert b"telling" not in (tmp_path / ".yoi" / "secrets.enc").read_bytes()


def test_files_are_private_and_nothing_else_is_left(store, path, key):
    before = os.umask(0)
    try:
        store.set("app", "1")
        store.set("app", "2")
    finally:
        os.umask(before)
    assert sorted(os.listdir(path.parent)) == ["secrets.enc", "secrets.enc.lock"]
    assert os.listdir(key.parent) == ["secret.key"]
    for file in (path, key, path.with_name("secrets.enc.lock")):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_every_write_looks_different(store, path):
    store.set("app", "same")
    first = json.loads(path.read_text())
    store.set("app", "same")
    second = json.loads(path.read_text())
    assert first["nonce"] != second["nonce"]
    assert first["sealed"] != second["sealed"]
    assert first["salt"] == second["salt"]


def test_versions_are_never_used_again(store):
    first = store.set("app", "a")
    second = store.replace("app", "b", first)
    store.remove("app")
    third = store.set("app", "c")
    assert first < second < third
    assert code_of(store.replace, "app", "d", second) == "secret.conflict"
    assert code_of(store.replace, "nope", "d", 1) == "secret.conflict"
    assert store.read("app").secret.reveal() == "c"


def test_removing(store):
    store.set("app", "a")
    store.remove("app")
    assert store.entries() == ()
    assert code_of(store.remove, "app") == "secret.missing"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("", "v", "secret.name"),
        ("a b", "v", "secret.name"),
        ("../x", "v", "secret.name"),
        ("a" * 129, "v", "secret.name"),
        ("\x1b[2J", "v", "secret.name"),
        ("a", "", "secret.malformed"),
        ("a", " \n", "secret.malformed"),
        ("a", "x\0y", "secret.malformed"),
        ("a", "\ud800", "secret.malformed"),
        ("a", "é" * 51, "secret.bounds"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(store, tmp_path, name, value, code):
    assert code_of(store.set, name, value) == code
    assert list(tmp_path.iterdir()) == []


def test_the_store_is_bounded(store):
    for name in ("a", "b", "c"):
        store.set(name, "v")
    assert code_of(store.set, "d", "v") == "secret.bounds"
    store.set("c", "w")
    assert len(store.entries()) == 3


def test_another_key_is_said_to_be_another_key(store, path, tmp_path):
    store.set("app", "a")
    other = tmp_path / "other.key"
    EncryptedFileStore(tmp_path / "elsewhere", KeyFile(other)).set("x", "y")
    assert code_of(EncryptedFileStore(path, KeyFile(other)).read, "app") == "secret.wrong_key"
    before = path.read_bytes()
    assert code_of(EncryptedFileStore(path, KeyFile(other)).set, "app", "b") == "secret.wrong_key"
    assert path.read_bytes() == before


def test_a_store_without_its_key_file_never_gets_a_new_one(store, path, key):
    store.set("app", "a")
    key.unlink()
    fresh = EncryptedFileStore(path, KeyFile(key))
    assert code_of(fresh.set, "app", "b") == "secret.key_file"
    assert code_of(fresh.entries) == "secret.key_file"
    assert not key.exists()


def _mode(key):
    key.chmod(0o640)


def _link(key):
    real = key.with_name("real")
    key.rename(real)
    key.symlink_to(real)


def _fifo(key):
    key.unlink()
    os.mkfifo(key, 0o600)


@pytest.mark.parametrize(
    "spoil",
    [
        _mode,
        _link,
        _fifo,
        lambda key: key.write_bytes(b""),
        lambda key: key.write_bytes(b"yoi-secret-key-1:!!!\n"),
        lambda key: key.write_bytes(b"yoi-secret-key-1:AAAA\n"),
        lambda key: key.write_bytes(b"x" * 5000),
        lambda key: (key.unlink(), key.mkdir(mode=0o700)),
    ],
)
def test_a_key_file_that_others_could_have_made_or_read_is_refused(store, path, key, spoil):
    store.set("app", "a")
    spoil(key)
    assert code_of(EncryptedFileStore(path, KeyFile(key)).read, "app") == "secret.key_file"


def _changed(field, change):
    def spoil(document):
        document[field] = change(document[field])

    return spoil


def _flip(text):
    return ("B" if text[0] == "A" else "A") + text[1:]


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_changed("sealed", _flip), "secret.tampered"),
        (_changed("sealed", lambda text: text[:8]), "secret.tampered"),
        (_changed("sealed", lambda _: ""), "secret.tampered"),
        (_changed("nonce", _flip), "secret.tampered"),
        (_changed("nonce", lambda _: ""), "secret.tampered"),
        (_changed("salt", _flip), "secret.wrong_key"),
        (_changed("check", _flip), "secret.wrong_key"),
        (_changed("format", lambda _: "yoi-secrets-2"), "secret.tampered"),
        (_changed("key", lambda _: "none"), "secret.tampered"),
        (_changed("key", lambda _: "passphrase"), "secret.wrong_key"),
        (lambda document: document.update(extra=1), "secret.tampered"),
        (lambda document: document.pop("salt"), "secret.tampered"),
    ],
)
def test_a_changed_file_is_never_taken_for_secrets(store, path, key, spoil, code):
    store.set("app", "a")
    document = json.loads(path.read_text())
    spoil(document)
    path.write_text(json.dumps(document))
    assert code_of(EncryptedFileStore(path, KeyFile(key)).read, "app") == code
    before = path.read_bytes()
    assert code_of(EncryptedFileStore(path, KeyFile(key)).set, "app", "b") == code
    assert path.read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"\xff", b"[" * 100_000, b"null", b'{"format": 1}'])
def test_what_is_no_store_is_not_overwritten(store, path, data):
    path.parent.mkdir()
    path.write_bytes(data)
    assert code_of(store.set, "app", "a") == "secret.tampered"
    assert path.read_bytes() == data


def test_a_link_in_place_of_the_store_is_not_followed(store, path, tmp_path):
    path.parent.mkdir()
    target = tmp_path / "precious"
    target.write_text("mine")
    path.symlink_to(target)
    assert code_of(store.set, "app", "a") == "secret.io"
    assert target.read_text() == "mine"


def test_a_failed_write_leaves_the_old_store(store, path, monkeypatch):
    store.set("app", "old")

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    assert code_of(store.set, "app", "new") == "secret.io"
    monkeypatch.undo()
    assert store.read("app").secret.reveal() == "old"
    assert sorted(os.listdir(path.parent)) == ["secrets.enc", "secrets.enc.lock"]


def test_a_writer_waits_for_another_and_then_says_so(store, path):
    store.set("app", "a")
    with open(path.with_name("secrets.enc.lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert code_of(store.set, "app", "b") == "secret.busy"
        assert store.read("app").secret.reveal() == "a"
    store.set("app", "b")


def _write_many(path: Path, key: Path, name: str) -> None:
    store = EncryptedFileStore(path, KeyFile(key), limits=Limits(secret_lock_ms=60_000))
    for count in range(10):
        store.set(f"{name}-{count}", name)


def test_several_processes_lose_nothing_and_make_one_key(path, key):
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=_write_many, args=(path, key, name)) for name in ("a", "b", "c")
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    store = EncryptedFileStore(path, KeyFile(key))
    assert len(store.entries()) == 30
    assert max(one.version for one in store.entries()) == 30


def test_a_store_made_anew_by_another_process_is_read(store, path, key):
    store.set("app", "a")
    path.unlink()
    EncryptedFileStore(path, KeyFile(key)).set("app", "b")
    assert store.read("app").secret.reveal() == "b"


class Typed:
    """A person who types these."""

    def __init__(self, *texts):
        self.texts = list(texts)

    def passphrase(self):
        return self.texts.pop(0)

    new_passphrase = passphrase


def test_a_passphrase_opens_what_it_closed_and_is_asked_for_once(path):
    person = Typed("correct horse battery")
    store = EncryptedFileStore(path, Passphrase(person))
    store.set("app", "a")
    store.set("bot", "b")
    assert person.texts == []
    assert b"correct" not in path.read_bytes()
    again = EncryptedFileStore(path, Passphrase(Typed("correct horse battery")))
    assert again.read("app").secret.reveal() == "a"
    wrong = EncryptedFileStore(path, Passphrase(Typed("correct horse batterx")))
    assert code_of(wrong.read, "app") == "secret.wrong_key"


def test_a_short_passphrase_makes_no_store(path):
    store = EncryptedFileStore(path, Passphrase(Typed("short")))
    assert code_of(store.set, "app", "a") == "secret.bounds"
    assert not path.exists()


def test_the_environment_opens_nothing(store, path, key, monkeypatch):
    """W9: no variable stands in for the key."""
    store.set("app", "a")
    content = key.read_text()
    key.unlink()
    for name in ("YOI_SECRET_KEY", "YOI_KEY", "SECRET_KEY", "YOI_PASSPHRASE"):
        monkeypatch.setenv(name, content)
    assert code_of(EncryptedFileStore(path, KeyFile(key)).read, "app") == "secret.key_file"
