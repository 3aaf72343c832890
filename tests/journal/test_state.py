"""`state_set`: durable, small, and each service sees only its own keys."""

import contextlib
import sqlite3
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yoi.errors import JournalError, ServiceError
from yoi.journal.state import StateStore
from yoi.limits import Limits


@pytest.fixture
def store(tmp_path):
    made = StateStore(tmp_path / "state.db")
    yield made
    made.close()


def test_a_value_outlives_the_host(tmp_path):
    first = StateStore(tmp_path / "state.db")
    first.set("echo", "k", '{"a":1}')
    first.set("echo", "gone", "1")
    first.set("echo", "gone", None)
    first.close()
    second = StateStore(tmp_path / "state.db")
    assert second.all("echo") == {"k": '{"a":1}'}
    second.close()


def test_a_write_that_returned_survives_a_kill(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path;"
        "from yoi.journal.state import StateStore;"
        "StateStore(Path(sys.argv[1])).set('echo', 'k', '1'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "state.db"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    store = StateStore(path)
    assert store.get("echo", "k") == "1"
    store.close()


def test_services_never_see_each_others_keys(store):
    store.set("a", "k", "1")
    assert store.get("b", "k") is None
    assert store.all("b") == {}


def test_the_file_is_private(store, tmp_path):
    assert (tmp_path / "state.db").stat().st_mode & 0o777 == 0o600


def test_keys_and_bytes_are_bounded():
    store = StateStore(None, Limits(state_keys=2, state_bytes=20))
    store.set("a", "k1", "1")
    store.set("a", "k2", "2")
    with pytest.raises(ServiceError) as refused:
        store.set("a", "k3", "3")
    assert refused.value.code == "service.state_full"
    with pytest.raises(ServiceError):
        store.set("a", "k1", "x" * 30)
    assert store.all("a") == {"k1": "1", "k2": "2"}
    store.set("a", "k1", None)
    store.set("a", "k3", "3")
    store.close()


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.none() | st.text())))
def test_it_is_a_dictionary_per_service(writes):
    store, model = StateStore(None), {}
    for service, key, value in writes:
        store.set(service, key, value)
        if value is None:
            model.get(service, {}).pop(key, None)
        else:
            model.setdefault(service, {})[key] = value
    for service in "ab":
        assert store.all(service) == model.get(service, {})
    store.close()


def test_a_link_is_refused_and_what_it_names_left_alone(tmp_path):
    """A project may come from a stranger: its state.db must not be somebody's other database."""
    victim = tmp_path / "victim.db"
    victim.write_bytes(b"")
    victim.chmod(0o644)
    (tmp_path / "state.db").symlink_to(victim)
    with pytest.raises(JournalError) as refused:
        StateStore(tmp_path / "state.db")
    assert refused.value.code == "journal.io"
    assert victim.read_bytes() == b""
    assert victim.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(("obstacle", "code"), [("folder", "io"), ("garbage", "format")])
def test_what_is_not_a_state_file_is_a_typed_error(tmp_path, obstacle, code):
    path = tmp_path / "state.db"
    if obstacle == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"garbage " * 1000)
    with pytest.raises(JournalError) as refused:
        StateStore(path)
    assert refused.value.code == f"journal.{code}"


def test_a_disk_that_takes_nothing_keeps_the_old_value(tmp_path):
    store = StateStore(tmp_path / "state.db")
    store.set("echo", "k", "1")
    store._database.execute("PRAGMA query_only = ON")
    for value in ("2", None):
        with pytest.raises(JournalError) as refused:
            store.set("echo", "k", value)
        assert refused.value.code == "journal.io"
        assert store.get("echo", "k") == "1"
    store.close()


@pytest.mark.parametrize(
    "planted",
    [
        "DROP TABLE state; CREATE TABLE state (a, b, c, d); INSERT INTO state VALUES (1, 2, 3, 4)",
        "DROP TABLE state; CREATE TABLE state (service, key, value);"
        "INSERT INTO state VALUES (x'ff', 7, NULL)",
        "INSERT INTO state VALUES ('s', 'k', CAST(x'ff' AS TEXT))",
        "INSERT INTO state VALUES ('s', 'k', CAST(zeroblob(40000000) AS TEXT))",
        "DROP TABLE state; CREATE VIEW state AS SELECT 's' service, 'k' key, '1' value",
        "CREATE TRIGGER t AFTER INSERT ON state BEGIN DELETE FROM state; END",
    ],
)
def test_what_no_state_file_holds_is_refused_and_told_what_to_do(tmp_path, planted):
    path = tmp_path / "state.db"
    StateStore(path).close()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.executescript(planted)
    with pytest.raises(JournalError) as caught:
        StateStore(path)
    assert caught.value.code == "journal.format"
    subprocess.run(caught.value.hint.splitlines()[-1], shell=True, check=True)
    StateStore(path).close()
