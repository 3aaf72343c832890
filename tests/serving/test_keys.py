"""Keys survive a restart, rotate without losing a place, and are never shown."""

import json
import stat
import threading

import pytest
from tests.canary import Canaries

from yoi.errors import ServingError
from yoi.limits import Limits
from yoi.protocol.cursors import CursorCodec, CursorFault, Position
from yoi.protocol.observation import Hop, Subject, SubjectKind
from yoi.serving.keys import KeyStore, ObservationKeys, keys_file

EPOCH = b"12345678"


@pytest.fixture
def path(tmp_path):
    return keys_file(tmp_path)


def codec(keys):
    return CursorCodec(keys.cursor_keys, Hop.BACKEND, Subject(SubjectKind.WORKER, "w", "r"), "full")


def test_a_restart_finds_the_same_keys(path):
    keys = KeyStore(path).load_or_create()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KeyStore(path).load_or_create() == keys
    cursor = codec(keys).encode(EPOCH, 7)
    assert codec(KeyStore(path).load_or_create()).decode(cursor) == Position(EPOCH, 7)


def test_fresh_keys_differ():
    one, other = ObservationKeys.fresh(), ObservationKeys.fresh()
    assert codec(other).decode(codec(one).encode(EPOCH, 7)) is CursorFault.KEY_UNKNOWN
    assert one.session != other.session


def test_a_rotation_keeps_places_and_ends_sessions(path):
    before = KeyStore(path).load_or_create()
    cursor = codec(before).encode(EPOCH, 7)
    after = KeyStore(path).rotate()
    assert KeyStore(path).load_or_create() == after
    assert codec(after).decode(cursor) == Position(EPOCH, 7)
    assert codec(before).decode(codec(after).encode(EPOCH, 7)) is CursorFault.KEY_UNKNOWN
    assert after.session not in (before.session, *after.cursors)


def test_the_oldest_key_goes_at_the_bound(path):
    store = KeyStore(path, Limits(cursor_keys=3))
    kept = [store.load_or_create()] + [store.rotate() for _ in range(3)]
    cursors = [codec(keys).encode(EPOCH, 1) for keys in kept]
    read = [codec(store.load_or_create()).decode(cursor) for cursor in cursors]
    assert read == [CursorFault.KEY_UNKNOWN, *[Position(EPOCH, 1)] * 3]


def test_rotating_nothing_makes_keys(path):
    made = KeyStore(path).rotate()
    assert KeyStore(path).load_or_create() == made


def test_two_that_start_together_agree(path):
    found, gate = [], threading.Barrier(4)

    def start():
        gate.wait(10)
        found.append(KeyStore(path).load_or_create())

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 4
    assert len(set(found)) == 1


def damage(change):
    def make(text):
        data = json.loads(text)
        change(data)
        return json.dumps(data)

    return make


@pytest.mark.parametrize(
    "make",
    [
        lambda text: "",
        lambda text: text[:-20],
        lambda text: "[" * 10_000,
        lambda text: "\udcff",
        damage(lambda data: data.pop("session")),
        damage(lambda data: data.update(version=2)),
        damage(lambda data: data.update(more=1)),
        damage(lambda data: data.update(cursors=[])),
        damage(lambda data: data["cursors"].append(data["cursors"][0])),
        damage(lambda data: data.update(cursors=data["cursors"] * 17)),
        damage(lambda data: data["session"].update(id="zz")),
        damage(lambda data: data["session"].update(id="00")),
        damage(lambda data: data["session"].update(key="AAAA")),
        damage(lambda data: data["session"].update(key="not base64!")),
        damage(lambda data: data["session"].update(key=data["session"]["key"] + "é")),
    ],
)
def test_a_damaged_file_says_what_to_do_and_is_kept(path, make):
    KeyStore(path).load_or_create()
    canaries = Canaries()
    for one in (*json.loads(path.read_text())["cursors"], json.loads(path.read_text())["session"]):
        canaries.mark(one["id"], one["key"])
    broken = make(path.read_text()).encode("utf-8", "surrogateescape")
    path.write_bytes(broken)
    for act in (KeyStore(path).load_or_create, KeyStore(path).rotate):
        with pytest.raises(ServingError) as caught:
            act()
        assert caught.value.code == "serving.keys"
        assert f"rm {path}" in caught.value.hint
        assert canaries.grep_everything(error=caught.value, hint=caught.value.hint) == []
    assert path.read_bytes() == broken


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_file_that_others_can_open_is_refused(path, mode):
    KeyStore(path).load_or_create()
    path.chmod(mode)
    with pytest.raises(ServingError) as caught:
        KeyStore(path).load_or_create()
    assert caught.value.code == "serving.keys"
    assert "chmod 600" in caught.value.hint


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ServingError):
        KeyStore(tmp_path / "file" / "observation.keys").load_or_create()


def test_no_key_in_any_repr():
    keys = ObservationKeys.fresh()
    text = repr(keys) + str(keys.session) + f"{keys.cursors[0]}" + repr(keys.cursor_keys)
    for key in (*keys.cursors, keys.session):
        assert repr(key.value)[2:-1] not in text
        assert key.value.hex() not in text
