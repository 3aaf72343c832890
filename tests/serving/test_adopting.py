"""K1: journals, states, tokens and keys that a stranger planted are not opened."""

import contextlib
import sqlite3

import pytest

from yoi.errors import ServingError, TokenError, TrustError
from yoi.journal.sqlite import SqliteJournal
from yoi.journal.state import StateStore
from yoi.serving.adopting import adopt, foreign_files
from yoi.serving.keys import KeyStore, keys_file
from yoi.serving.tokens import TokenStore, tokens_file

MINE, THEIRS = "a" * 32, "b" * 32
NAMES = {"journal.db", "state.db", "observation.keys", "tokens.toml"}


async def write_all(workspace, owner):
    """Write what a host of `owner` writes; open it again where it is there."""
    folder = workspace / ".yoi"
    folder.mkdir(mode=0o700, exist_ok=True)
    journal = await SqliteJournal.open(folder / "journal.db", owner=owner)
    await journal.close()
    StateStore(folder / "state.db", owner=owner).close()
    KeyStore(keys_file(workspace), owner=owner).load_or_create()
    TokenStore(tokens_file(workspace), owner=owner).create("t")


async def opened(workspace, owner) -> dict[str, str]:
    """Open each file as a host of `owner` does; return what was refused, by name."""
    folder, refused = workspace / ".yoi", {}
    try:
        journal = await SqliteJournal.open(folder / "journal.db", owner=owner)
        await journal.close()
    except TrustError as exc:
        refused["journal.db"] = exc.hint
    try:
        StateStore(folder / "state.db", owner=owner).close()
    except TrustError as exc:
        refused["state.db"] = exc.hint
    try:
        KeyStore(keys_file(workspace), owner=owner).load_or_create()
    except ServingError as exc:
        refused["observation.keys"] = exc.hint
    try:
        TokenStore(tokens_file(workspace), owner=owner).reload()
    except TokenError as exc:
        refused["tokens.toml"] = exc.hint
    return refused


async def test_what_the_host_wrote_it_opens_again(tmp_path):
    await write_all(tmp_path, MINE)
    assert await opened(tmp_path, MINE) == {}
    assert foreign_files(tmp_path, MINE) == []
    TokenStore(tokens_file(tmp_path), owner=MINE).revoke("t")
    KeyStore(keys_file(tmp_path), owner=MINE).rotate()
    assert await opened(tmp_path, MINE) == {}


@pytest.mark.parametrize("owner", [THEIRS, None])
async def test_what_another_wrote_is_not_opened_before_it_is_adopted(tmp_path, owner):
    """`None`: a host that knows no ids, as before an upgrade."""
    await write_all(tmp_path, owner)
    before = {path: path.read_bytes() for path in (tmp_path / ".yoi").iterdir()}
    refused = await opened(tmp_path, MINE)
    assert set(refused) == NAMES
    assert all("yoi trust --adopt" in hint for hint in refused.values())
    assert {path: path.read_bytes() for path in before} == before, "not one byte is written"
    assert {path.name for path in foreign_files(tmp_path, MINE)} == NAMES
    assert {path.name for path in adopt(tmp_path, MINE)} == NAMES
    assert await opened(tmp_path, MINE) == {}
    assert adopt(tmp_path, MINE) == []
    store = TokenStore(tokens_file(tmp_path), owner=MINE)
    store.reload()
    assert [entry.name for entry in store.entries()] == ["t"]


@pytest.mark.parametrize("name", ["journal.db", "state.db"])
async def test_a_database_that_others_can_write_is_not_opened_even_with_the_id(tmp_path, name):
    await write_all(tmp_path, MINE)
    (tmp_path / ".yoi" / name).chmod(0o666)
    assert set(await opened(tmp_path, MINE)) == {name}
    with pytest.raises(TrustError, match="open to other accounts"):
        adopt(tmp_path, MINE)


async def test_a_schema_that_only_looks_like_an_owner_is_none(tmp_path):
    await write_all(tmp_path, None)
    with sqlite3.connect(tmp_path / ".yoi" / "state.db") as database:
        database.execute(f"CREATE VIEW owner AS SELECT 7 AS id UNION SELECT '{MINE}'")
    database.close()
    assert "state.db" in await opened(tmp_path, MINE)


def planted_log(database, statement):
    """Return the log of a change that was made to a copy of `database` and not taken in."""
    copy = database.with_name("copy.db")
    copy.write_bytes(database.read_bytes())
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(statement)
        log = copy.with_name("copy.db-wal").read_bytes()
    copy.unlink()
    return log


async def test_a_planted_log_is_not_taken_into_our_own_database(tmp_path):
    """SQLite would take it in when it opens the file."""
    await write_all(tmp_path, MINE)
    database = tmp_path / ".yoi" / "state.db"
    log = planted_log(database, "INSERT INTO state VALUES ('echo', 'k', '\"planted\"')")
    ahead = database.with_name("state.db-wal")
    ahead.write_bytes(log)
    ahead.chmod(0o600)
    with pytest.raises(TrustError, match=r"state\.db-wal"):
        StateStore(database, owner=MINE)
    assert [path.name for path in foreign_files(tmp_path, MINE)] == ["state.db"]
    ahead.unlink()
    store = StateStore(database, owner=MINE)
    assert store.get("echo", "k") is None
    store.close()
    database.with_name("state.db-journal").write_bytes(b"x")
    with pytest.raises(TrustError, match=r"state\.db-journal"):
        StateStore(database, owner=MINE)


async def test_the_log_that_a_killed_host_left_is_its_own(tmp_path):
    await write_all(tmp_path, MINE)
    database = tmp_path / ".yoi" / "state.db"
    store = StateStore(database, owner=MINE)
    store.set("echo", "k", "1")
    folder = tmp_path / "killed" / ".yoi"
    folder.mkdir(parents=True, mode=0o700)
    for name in ("state.db", "state.db-wal"):
        (folder / name).write_bytes(database.with_name(name).read_bytes())
        (folder / name).chmod(0o600)
    store.close()
    again = StateStore(folder / "state.db", owner=MINE)
    assert again.get("echo", "k") == "1"
    again.close()


async def test_a_file_that_a_killed_host_had_just_begun_is_made_anew(tmp_path):
    folder = tmp_path / ".yoi"
    folder.mkdir(mode=0o700)
    for name in ("journal.db", "journal.db-journal"):
        (folder / name).write_bytes(b"")
        (folder / name).chmod(0o600)
    with pytest.raises(TrustError):
        await SqliteJournal.open(folder / "journal.db", owner=MINE)
    adopt(tmp_path, MINE)
    journal = await SqliteJournal.open(folder / "journal.db", owner=MINE)
    assert await journal.logs() == []
    await journal.close()


async def test_nothing_is_adopted_where_one_file_cannot_be(tmp_path):
    await write_all(tmp_path, THEIRS)
    (tmp_path / ".yoi" / "tokens.toml").chmod(0o644)
    with pytest.raises(TrustError):
        adopt(tmp_path, MINE)
    assert len(foreign_files(tmp_path, MINE)) == 4


@pytest.mark.parametrize("last", ["garbage", "another program"])
async def test_where_one_cannot_be_adopted_none_is(tmp_path, last):
    await write_all(tmp_path, THEIRS)
    path = tmp_path / ".yoi/state.db"
    path.write_bytes(b"garbage" * 1000 if last == "garbage" else b"")
    if last == "another program":
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE mine (x)")
    before = {name: (tmp_path / ".yoi" / name).read_bytes() for name in NAMES}
    with pytest.raises(TrustError) as caught:
        adopt(tmp_path, MINE)
    assert caught.value.code == "trust.foreign"
    assert "aside" in caught.value.hint
    assert {name: (tmp_path / ".yoi" / name).read_bytes() for name in NAMES} == before
