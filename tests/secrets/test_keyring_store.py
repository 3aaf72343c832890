"""W9: the operating system's keyring, behind the same interface."""

import pytest
from tests.canary import Canaries

from yoi.errors import SecretError
from yoi.limits import Limits
from yoi.secrets import KeyringStore
from yoi.secrets.keyring_store import system_keyring


class MemoryKeyring:
    """A keyring as `keyring` backends are."""

    def __init__(self):
        self.held = {}
        self.refusing = None

    def get_password(self, service, username):
        self._refuse()
        return self.held.get((service, username))

    def set_password(self, service, username, password):
        self._refuse()
        self.held[service, username] = password

    def delete_password(self, service, username):
        self._refuse()
        del self.held[service, username]

    def _refuse(self):
        if self.refusing is not None:
            raise self.refusing


@pytest.fixture
def backend():
    return MemoryKeyring()


@pytest.fixture
def store(backend, tmp_path):
    return KeyringStore(backend, "yoi:test", tmp_path / "lock", limits=Limits(secrets=2))


def code_of(call, *arguments):
    with pytest.raises(SecretError) as caught:
        call(*arguments)
    return caught.value.code


def test_the_same_as_every_store(store):
    first = store.set("app", "a")
    assert store.read("app").secret.reveal() == "a"
    second = store.replace("app", "b", first)
    assert code_of(store.replace, "app", "c", first) == "secret.conflict"
    assert [(one.name, one.version) for one in store.entries()] == [("app", second)]
    assert store.read_all()["app"].secret.reveal() == "b"
    store.remove("app")
    assert code_of(store.remove, "app") == "secret.missing"
    assert store.set("app", "d") > second
    store.set("bot", "e")
    assert code_of(store.set, "third", "f") == "secret.bounds"
    assert code_of(store.set, "a b", "f") == "secret.name"
    assert code_of(store.set, "app", "") == "secret.malformed"


def test_a_removed_value_is_gone_from_the_keyring(store, backend):
    canaries = Canaries()
    store.set("app", canaries.secret("app"))
    assert canaries.grep_everything(held=backend.held)
    store.remove("app")
    assert canaries.grep_everything(held=backend.held) == []


def test_what_a_person_removed_in_the_keyring_is_missing(store, backend):
    store.set("app", "a")
    del backend.held["yoi:test", "secret:app"]
    assert code_of(store.read, "app") == "secret.missing"
    assert store.read_all() == {}
    store.remove("app")
    assert store.entries() == ()


def test_stores_of_two_workspaces_do_not_meet(backend, tmp_path):
    one = KeyringStore(backend, "yoi:one", tmp_path / "a")
    other = KeyringStore(backend, "yoi:other", tmp_path / "b")
    one.set("app", "a")
    assert other.entries() == ()


def test_what_the_keyring_raises_is_ours_and_shows_no_value(store, backend):
    canaries = Canaries()
    value = canaries.secret("app")
    backend.refusing = RuntimeError(f"could not store {value}")
    with pytest.raises(SecretError) as caught:
        store.set("app", value)
    assert caught.value.code == "secret.keyring"
    assert canaries.grep_everything(words=str(caught.value), fields=caught.value.fields) == []


@pytest.mark.parametrize("text", ["", "null", "[1]", '{"names": {"a": 1}}'])
def test_a_damaged_index_is_not_taken_for_an_empty_one(store, backend, text):
    backend.held["yoi:test", "index"] = text
    assert code_of(store.set, "app", "a") == "secret.tampered"


def test_the_environment_chooses_no_keyring(monkeypatch):
    """A plain-text or planted backend is never used, whatever the environment says."""
    before = system_keyring()
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    found = system_keyring()
    assert type(found) is type(before)
    assert type(found).__module__ != "keyring.backends.null"
