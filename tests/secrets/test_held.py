"""W9: values for the event loop, and rotation that loses to whoever was first."""

import pytest

from yoi.errors import SecretError
from yoi.secrets import EncryptedFileStore, HeldSecrets, KeyFile


@pytest.fixture
def store(tmp_path):
    made = EncryptedFileStore(tmp_path / "secrets.enc", KeyFile(tmp_path / "key"))
    made.set("app", "one")
    return made


def test_nothing_is_held_before_a_refresh_and_changes_are_named(store):
    held = HeldSecrets(store)
    assert held.secret("app") is None
    with pytest.raises(SecretError) as caught:
        held.get("app")
    assert caught.value.code == "secret.missing"
    assert "yoi secret set app" in caught.value.hint
    assert held.refresh() == {"app"}
    assert held.refresh() == frozenset()
    assert held.get("app").reveal() == "one"
    store.set("bot", "two")
    store.set("app", "three")
    assert held.get("app").reveal() == "one"
    assert held.refresh() == {"app", "bot"}
    store.remove("bot")
    assert held.refresh() == {"bot"}


def test_a_rotation_replaces_what_is_stored_and_held(store):
    held = HeldSecrets(store)
    held.refresh()
    before = held.version("app")
    held.rotate("app", "new", before)
    assert held.get("app").reveal() == store.read("app").secret.reveal() == "new"
    assert held.version("app") > before


def test_a_rotation_never_overwrites_what_a_person_set_meanwhile(store):
    held = HeldSecrets(store)
    held.refresh()
    seen = held.version("app")
    store.set("app", "by hand")
    with pytest.raises(SecretError) as caught:
        held.rotate("app", "rotated", seen)
    assert caught.value.code == "secret.conflict"
    assert held.get("app").reveal() == store.read("app").secret.reveal() == "by hand"


def test_its_repr_shows_no_value(store):
    held = HeldSecrets(store)
    held.refresh()
    assert "one" not in repr(held)
