"""Tokens: shown once, kept as hashes, refused for every reason alike."""

import hashlib
import os
import re
import stat
from datetime import timedelta

import pytest
from tests.canary import Canaries

from yoi.errors import TokenError
from yoi.limits import Limits
from yoi.protocol.observation import Subject, SubjectKind
from yoi.serving.principals import PrincipalKind, Redaction, SubjectPattern
from yoi.serving.token_entries import TokenKind, parse_redaction
from yoi.serving.tokens import TokenStore, tokens_file
from yoi.testing.clock import ManualClock

HTTP_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def path(tmp_path):
    return tokens_file(tmp_path)


@pytest.fixture
def store(path, clock):
    return TokenStore(path, clock=clock)


def written(path, text):
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def row(**values):
    base = {
        "name": '"alice"',
        "kind": '"observer"',
        "sha256": f'"{"0" * 64}"',
        "observe": '["*"]',
        "created_at": '"2026-01-01T00:00:00Z"',
    }
    base |= values
    return "[[tokens]]\n" + "".join(f"{k} = {v}\n" for k, v in base.items() if v is not None)


def test_a_token_is_good_until_it_is_revoked(store, path, clock):
    entry, token = store.create(
        "alice",
        observe=[SubjectPattern.parse("*/worker/*")],
        redact=[Redaction.THINKING],
        commands=["send"],
    )
    plain = token.reveal()
    assert HTTP_TOKEN.fullmatch(plain)
    assert BEARER.fullmatch(plain)
    assert plain.startswith("yoi_")
    who = store.verify(plain, clock.wall_ms())
    assert (who.name, who.kind) == ("alice", PrincipalKind.TOKEN)
    assert (who.redact, who.commands) == ({Redaction.THINKING}, {"send"})
    assert who.observes(Subject(SubjectKind.WORKER, "w", "r"))
    assert not who.observes(Subject(SubjectKind.SERVICE, "w", "r"))
    other = TokenStore(path, clock=clock)
    assert other.verify(plain, clock.wall_ms()) is None  # nothing is read unasked
    assert other.reload()
    assert other.verify(plain, clock.wall_ms()) == who
    assert other.entries() == (entry,)
    other.revoke("alice")
    assert other.verify(plain, clock.wall_ms()) is None
    assert store.reload()
    assert store.verify(plain, clock.wall_ms()) is None
    assert store.entries() == ()


def test_a_token_is_over_at_its_moment(store, clock):
    _, token = store.create("x", expires_at=clock.wall() + timedelta(seconds=60))
    clock.advance(59.999)
    assert store.verify(token.reveal(), clock.wall_ms()) is not None
    clock.advance(0.001)
    assert store.verify(token.reveal(), clock.wall_ms()) is None


@pytest.mark.parametrize(
    "presented",
    ["", "yoi_", "yoi_" + "A" * 43, "yoi_" + "A" * 10_000, "\ud800" * 47, "ü" * 47, "\0" * 47],
)
def test_what_is_no_token(store, presented):
    store.create("x")
    assert store.verify(presented, 0) is None


def test_what_a_hash_is_compared_with_is_never_the_hash(store, clock):
    entry, _ = store.create("x")
    assert store.verify(entry.sha256, clock.wall_ms()) is None


def test_every_token_is_compared_whichever_is_presented(store, clock, monkeypatch):
    tokens = [store.create(f"t{n}")[1].reveal() for n in range(5)]
    compared = []
    monkeypatch.setattr(
        "yoi.serving.tokens.hmac.compare_digest", lambda a, b: compared.append(a) or a == b
    )
    for presented in (tokens[0], tokens[4], "yoi_" + "A" * 43):
        compared.clear()
        store.verify(presented, clock.wall_ms())
        assert len(compared) == 5


def test_an_upstream_is_another_kind(store, clock):
    _, token = store.create("backend", kind=TokenKind.UPSTREAM)
    assert store.verify(token.reveal(), clock.wall_ms()).kind is PrincipalKind.UPSTREAM
    with pytest.raises(TokenError, match="redact at the backend"):
        store.create("b2", kind=TokenKind.UPSTREAM, redact=[Redaction.THINKING])


def test_a_metrics_token_sees_nothing_but_figures(store, clock):
    _, token = store.create("prometheus", kind=TokenKind.METRICS, observe=())
    who = store.verify(token.reveal(), clock.wall_ms())
    assert who.kind is PrincipalKind.METRICS
    assert not who.observes(Subject(SubjectKind.WORKER, "w", "r"))
    store.reload()
    with pytest.raises(TokenError) as caught:
        store.create("p2", kind=TokenKind.METRICS)
    assert caught.value.code == "token.value"


def test_the_same_name_later_is_another_token(store, clock):
    _, first = store.create("x")
    who = store.verify(first.reveal(), clock.wall_ms())
    assert store.holds(who, clock.wall_ms())
    assert store.find("x", who.credential, clock.wall_ms()) == who
    store.revoke("x")
    store.create("x")
    assert not store.holds(who, clock.wall_ms())
    assert store.find("x", who.credential, clock.wall_ms()) is None


def test_a_change_of_what_a_token_shows_is_noticed(store, path, clock):
    _, token = store.create("x", observe=[SubjectPattern.parse("worker/a")])
    who = store.verify(token.reveal(), clock.wall_ms())
    path.write_text(path.read_text().replace("worker/a", "worker/b"))
    assert store.reload()
    assert not store.holds(who, clock.wall_ms())


def test_the_file_holds_hashes_and_is_private(store, path):
    canaries = Canaries()
    plains = []
    for name in ("a", "b"):
        entry, token = store.create(name)
        plains.append(token)
        canaries.mark(name, token.reveal())
        canaries.mark(f"{name} without prefix", token.reveal().removeprefix("yoi_"))
        assert entry.sha256 == hashlib.sha256(token.reveal().encode()).hexdigest()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in sorted(path.parent.iterdir())] == ["tokens.toml", "tokens.toml.lock"]
    with pytest.raises(TokenError) as caught:
        store.create("a")
    assert caught.value.code == "token.exists"
    assert (
        canaries.grep_everything(
            disk=path.parent,
            store=store,
            entries=store.entries(),
            shown=[repr(p) for p in plains],
            error=caught.value,
        )
        == []
    )


def test_reload_reads_only_what_changed(store, path, monkeypatch):
    store.create("x")
    read = []
    real = store._file.read
    monkeypatch.setattr(store._file, "read", lambda: read.append(1) or real())
    assert not store.reload()
    assert not read
    os.utime(path)
    assert store.reload()
    assert read


def test_no_file_is_no_tokens(store):
    assert not store.reload()
    assert store.entries() == ()
    with pytest.raises(TokenError) as caught:
        store.revoke("x")
    assert caught.value.code == "token.missing"


@pytest.mark.parametrize(
    "text",
    [
        "tokens = 1",
        "[tokens]\n",
        "[[token]]\n",
        "= x",
        "\x00",
        row(name=None),
        row(name='"a b"'),
        row(kind='"root"'),
        row(kind='"token"'),
        row(sha256='"abc"'),
        row(sha256=f'"{"A" * 64}"'),
        row(observe='["everything"]'),
        row(observe="[]"),
        row(observe='"*"'),
        row(observe="[" + '"*",' * 60 + "]"),
        row(redact='["secrets"]'),
        row(commands='["a b"]'),
        row(created_at='"yesterday"'),
        row(created_at='"2026-01-01T00:00:00"'),
        row(created_at=None),
        row(expires_at='""'),
        row(kind='"upstream"', commands='["send"]'),
        row(token='"yoi_x"'),
        row() + row(),
        row() + row(name='"bob"'),
    ],
)
def test_a_file_that_is_not_ours_lets_nobody_in(store, path, clock, text):
    _, token = store.create("x")
    who = store.verify(token.reveal(), clock.wall_ms())
    path.write_text(text)
    with pytest.raises(TokenError) as caught:
        store.reload()
    assert caught.value.code == "token.file"
    assert store.fault is caught.value
    assert store.verify(token.reveal(), clock.wall_ms()) is None
    assert store.find("x", who.credential, clock.wall_ms()) is None
    assert store.holds(who, clock.wall_ms())  # who is in already stays
    with pytest.raises(TokenError):
        store.create("y")
    assert path.read_text() == text
    path.write_text("")
    assert store.reload()
    assert not store.holds(who, clock.wall_ms())


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o666, 0o644])
def test_a_file_that_others_can_open_is_refused(store, path, mode):
    store.create("x")
    path.chmod(mode)
    with pytest.raises(TokenError) as caught:
        store.reload()
    assert caught.value.code == "token.file"
    assert "chmod 600" in caught.value.hint
    path.chmod(0o600)
    assert store.reload()


def test_a_file_of_another_account_is_refused(store, path, monkeypatch):
    store.create("x")
    monkeypatch.setattr("yoi.secrets.files.os.geteuid", lambda: os.getuid() + 1)
    os.utime(path)
    with pytest.raises(TokenError, match="another account"):
        store.reload()


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_a_file_that_is_no_file_is_refused(store, path, tmp_path, kind):
    path.parent.mkdir()
    if kind == "link":
        written(tmp_path / "elsewhere", row())
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "fifo":
        os.mkfifo(path, 0o600)
    else:
        path.mkdir()
    with pytest.raises(TokenError) as caught:
        store.reload()
    assert caught.value.code == "token.file"


def test_bounds(path, clock):
    store = TokenStore(
        path, clock=clock, limits=Limits(tokens=2, token_patterns=1, token_commands=1)
    )
    two = [SubjectPattern.parse("worker/a"), SubjectPattern.parse("worker/b")]
    for wrong in ({"observe": two}, {"commands": ["a", "b"]}):
        with pytest.raises(TokenError) as caught:
            store.create("x", **wrong)
        assert caught.value.code == "token.bounds"
    store.create("a")
    store.create("b")
    with pytest.raises(TokenError) as caught:
        store.create("c")
    assert caught.value.code == "token.bounds"
    small = TokenStore(path, clock=clock, limits=Limits(tokens_file_bytes=64))
    with pytest.raises(TokenError, match="over 64 bytes"):
        small.reload()


def test_bad_requests_write_nothing(store, path, clock):
    for name in ("", "a b", "../x", "x" * 200):
        with pytest.raises(TokenError) as caught:
            store.create(name)
        assert caught.value.code == "token.name"
    for wrong in (
        {"observe": []},
        {"expires_at": clock.wall()},
        {"commands": ["a b"]},
    ):
        with pytest.raises(TokenError) as caught:
            store.create("x", **wrong)
        assert caught.value.code == "token.value"
    assert not path.exists()


def test_what_can_be_redacted():
    assert parse_redaction("tool-output") is Redaction.TOOL_OUTPUT
    assert parse_redaction("tool_output") is Redaction.TOOL_OUTPUT
    with pytest.raises(TokenError) as caught:
        parse_redaction("everything\n")
    assert "thinking" in caught.value.hint
