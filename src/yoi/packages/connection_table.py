"""The tables of `[[connections]]`: their keys, bounds and defaults, described once."""

from collections.abc import Callable
from typing import Any, Literal

from yoi.limits import LIMITS
from yoi.packages.sequence import SEQUENCE
from yoi.permissions import TargetKind, Url
from yoi.permissions.connection_settings import (
    DEFAULT_DELIVER,
    GOING_AWAY,
    Deliver,
    Handshake,
    HandshakeSecret,
    LastValue,
    OnFull,
    Open,
    Ready,
    SettingRefused,
)
from yoi.permissions.places import POINTER
from yoi.permissions.targets import TARGETS
from yoi.toml import (
    BAD,
    AnyTable,
    Bad,
    Choice,
    Faults,
    Key,
    Kind,
    ListOf,
    Nested,
    Parsed,
    Row,
    Rows,
    SafeId,
    TableSpec,
    Text,
    Whole,
)


class _Checked(Kind[Any]):
    """A part of the handshake, which `Handshake` checks under the name `key`."""

    def __init__(
        self, base: Kind[Any], key: str, check: Callable[[Any], Handshake], words: str
    ) -> None:
        self._base, self._key, self._check, self._words = base, key, check, words

    def read(self, value: Any, at: str, faults: Faults) -> Any | Literal[Bad.BAD]:
        """Return the value, or BAD after adding at least one fault."""
        plain = self._base.read(value, at, faults)
        if isinstance(plain, Bad):
            return BAD
        try:
            self._check(plain)
        except SettingRefused as exc:
            faults.add(exc.problem, at + exc.key.removeprefix(self._key), exc.message)
            return BAD
        return plain

    @property
    def words(self) -> str:
        """Return what it is, for the reference pages."""
        return self._words

    @property
    def bound(self) -> str:
        """Return its bound, for the reference pages."""
        return self._base.bound

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return self._base.schema()


class _OffOr(Whole):
    """A whole number within bounds, or 0: off."""

    def read(self, value: Any, at: str, faults: Faults) -> int | Literal[Bad.BAD]:
        """Return the value, or BAD after adding at least one fault."""
        return 0 if type(value) is int and value == 0 else super().read(value, at, faults)

    @property
    def bound(self) -> str:
        """Return its bound, for the reference pages."""
        return f"0, or {super().bound}"

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"anyOf": [{"const": 0}, super().schema()]}


class _Headers(Kind[tuple[tuple[str, str], ...]]):
    """A table of header names and values; each is checked by itself, then all together."""

    def read(
        self, value: Any, at: str, faults: Faults
    ) -> tuple[tuple[str, str], ...] | Literal[Bad.BAD]:
        """Return the headers, or BAD after adding at least one fault."""
        before = faults.count
        table = AnyTable().read(value, at, faults)
        if isinstance(table, Bad):
            return BAD
        text = Text(LIMITS.manifest_bytes, blank=True)
        pairs = []
        for name, one in table.items():
            if not isinstance(text.read(one, f"{at}.{name}", faults), Bad):
                pairs.append((name, one))
                self._check(((name, one),), at, faults)
        if faults.count == before:
            self._check(tuple(pairs), at, faults)
        return tuple(pairs) if faults.count == before else BAD

    def _check(self, headers: tuple[tuple[str, str], ...], at: str, faults: Faults) -> None:
        try:
            Handshake(headers=headers)
        except SettingRefused as exc:
            faults.add(exc.problem, at + exc.key.removeprefix("headers"), exc.message)

    words = "table of texts"
    bound = f"at most {LIMITS.handshake_headers}, each at most {LIMITS.header_bytes} bytes"

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "maxProperties": LIMITS.handshake_headers,
        }


def _backoff(row: Row) -> tuple[int, int]:
    first = row["first_ms"]
    longest = row["max_ms"] if row.has("max_ms") else max(first, LIMITS.backoff_max_ms)
    return first, longest


_KEEPALIVE = Whole(LIMITS.keepalive_min_ms, LIMITS.keepalive_max_ms)
_BACKOFF = Whole(LIMITS.keepalive_min_ms, LIMITS.backoff_limit_ms)
BACKOFF = TableSpec(
    (
        Key("first_ms", _BACKOFF, "the first pause", default=LIMITS.backoff_first_ms),
        Key("max_ms", _BACKOFF, "the longest pause", default=LIMITS.backoff_max_ms),
    ),
    _backoff,
    about="Pauses before a connection is dialled again: each is half of a growing bound to all of "
    "it.",
)
RECONNECT = TableSpec(
    (
        Key(
            "per_day",
            Whole(1, LIMITS.dials_per_day_max),
            "dials in a day (UTC); when half are used, the rest is spread over what is left of it",
            default=LIMITS.dials_per_day,
        ),
        Key(
            "fresh_after",
            Whole(1, LIMITS.fresh_after_max),
            "failed dials in a row until a resumed session is given up for a fresh one",
            default_words="never",
        ),
        Key(
            "overlap_ms",
            Whole(0, LIMITS.overlap_max_ms),
            "how long the old socket may drain beside its successor; 0 closes it first",
            default=0,
        ),
    ),
    lambda row: (row["per_day"], row["fresh_after"], row["overlap_ms"]),
    about="How often a connection is dialled, and how its sessions follow each other.",
)
LAST = TableSpec(
    (
        Key("name", SafeId(), "what commands call the value; unique", required=True),
        Key("at", POINTER, "its position in a text frame", required=True),
    ),
    lambda row: LastValue(row["name"], row["at"]),
    about="A value that the host remembers from the text frames of the current session.",
)


def _handshake_secret(row: Row) -> HandshakeSecret:
    at, prefix = row["at"], row["prefix"]
    if len(at.tokens) != 2 or at.tokens[0] not in ("headers", "query", "path"):
        row.fault("value", "at", "must be /headers/NAME, /query/NAME or /path/N")
    if not (prefix.isascii() and (prefix.isprintable() or not prefix)):
        row.fault("value", "prefix", "must be printable ASCII")
    return HandshakeSecret(at, row["secret"], prefix)


INSERT = TableSpec(
    (
        Key(
            "at", POINTER, "`/headers/NAME` (lower case), `/query/NAME` or `/path/N`", required=True
        ),
        Key("secret", SafeId(), "the `[[secrets]]` entry that goes there", required=True),
        Key(
            "prefix",
            Text(LIMITS.insert_prefix_chars, blank=True),
            "text before it, such as `Bearer `",
            default="",
        ),
    ),
    _handshake_secret,
    about="A secret that the host puts into each handshake with the connection's own URL.",
)
CONNECTION = TableSpec(
    (
        Key("name", SafeId(), "unique", required=True),
        Key("ingress", SafeId(), "which ingress gets its events", required=True),
        Key(
            "open",
            Parsed(Choice(Open), Open),
            "`command`: it is dialled when the plugin says `websocket_open`, and a `url` is not "
            "needed",
            default=Open.START,
        ),
        Key(
            "url",
            Parsed(Text(LIMITS.url_chars), Url.parse, "URL"),
            "`wss://` or `ws://`, without user name, password or fragment",
            default_words="required for `start`",
        ),
        Key(
            "target",
            Nested(TARGETS[TargetKind.WEBSOCKET]),
            "a WebSocket target that must allow the `url`: every dial stays within it",
            default_words="the scheme, host, port and path of the `url`",
        ),
        Key(
            "deliver",
            ListOf(Parsed(Choice(Deliver), Deliver)),
            "what reaches the plugin; the default leaves out what `event_kinds` does not list",
            default_words=", ".join(f"`{one}`" for one in DEFAULT_DELIVER),
        ),
        Key(
            "on_full",
            Parsed(Choice(OnFull), OnFull),
            "`pause` stops reading (for the grace, then close and gap); the others drop frames or "
            "close",
            default_words="the ingress's",
        ),
        Key(
            "subprotocols",
            _Checked(
                ListOf(Text()),
                "subprotocols",
                lambda value: Handshake(subprotocols=value),
                "list of text",
            ),
            f"offered in the handshake; at most {LIMITS.subprotocols}",
            default=(),
        ),
        Key(
            "headers",
            _Headers(),
            "plain handshake headers, see [headers](headers.md): credentials and what the host or "
            "a proxy sets are refused",
            default=(),
        ),
        Key(
            "insert",
            Rows(INSERT, LIMITS.insertions, unique="at"),
            "secrets that go into each handshake with the `url`, see below; each needs its "
            "`[[secrets]]` entry",
            default=(),
        ),
        Key(
            "origin",
            _Checked(
                Text(LIMITS.url_chars),
                "origin",
                lambda value: Handshake(origin=value),
                "origin",
            ),
            "sent as `Origin`: a scheme and host without a path",
        ),
        Key(
            "ping_ms",
            _OffOr(LIMITS.keepalive_min_ms, LIMITS.keepalive_max_ms),
            "the keepalive's interval; 0 sends no pings: then only a heartbeat, or the operating "
            "system, notices a dead peer",
            default=LIMITS.ping_ms,
        ),
        Key("pong_ms", _KEEPALIVE, "how long its answer may take", default=LIMITS.pong_ms),
        Key(
            "pause_grace_ms",
            Whole(0, LIMITS.pause_grace_max_ms),
            "how long reading may pause",
            default=LIMITS.pause_grace_ms,
        ),
        Key(
            "expect_every_ms",
            Whole(1_000, 7 * 86_400_000),
            "how long an open connection may bring no message (acknowledgements of heartbeats and "
            "fixed texts that an autoreply answers are none): beyond it an alert says that it is "
            "deaf",
            default=None,
            default_words="for ever",
        ),
        Key(
            "backoff",
            Nested(BACKOFF),
            "pauses before it is dialled again",
            default=(LIMITS.backoff_first_ms, LIMITS.backoff_max_ms),
            default_words=f"`{{ first_ms = {LIMITS.backoff_first_ms}, "
            f"max_ms = {LIMITS.backoff_max_ms} }}`",
        ),
        Key(
            "fatal_close_codes",
            ListOf(Whole(1000, 4999)),
            f"after these it is not dialled again; at most {LIMITS.fatal_close_codes}",
            default=(),
        ),
        Key(
            "fatal_statuses",
            ListOf(Whole(400, 599), LIMITS.fatal_statuses),
            "HTTP statuses of the upgrade after which it is not dialled again; 401 and 403 end it "
            f"by themselves after {LIMITS.unauthorised_dials} in a row",
            default=(),
        ),
        Key(
            "ready",
            Parsed(Choice(Ready), Ready),
            f"what forgives earlier failures, {LIMITS.session_ready_ms // 1000} s after a session "
            "began: that it delivered a frame, or with `command` only the plugin's "
            "`websocket_ready`",
            default=Ready.TRAFFIC,
        ),
        Key(
            "reconnect",
            Nested(RECONNECT),
            "how often it is dialled, and how sessions follow each other",
            default=(LIMITS.dials_per_day, None, 0),
            default_words=f"`{{ per_day = {LIMITS.dials_per_day} }}`",
        ),
        Key(
            "last",
            Rows(LAST, unique="name"),
            f"values that the host remembers, type kept; at most {LIMITS.last_values}",
            default=(),
        ),
        Key(
            "sequence",
            Nested(SEQUENCE),
            "numbers in text messages that prove that none is missing, see below",
        ),
        Key(
            "send_per_second",
            Whole(1, LIMITS.send_per_second),
            "outbound messages of the plugin; heartbeats have room of their own",
            default=LIMITS.send_per_second,
        ),
        Key(
            "leave_code",
            Whole(1000, 4999),
            "how a session is closed when the host stops or starts the plugin anew: 1000, 1001, or "
            "3000 to 4999 for gateways that forget a session on 1001",
            default=GOING_AWAY,
        ),
    ),
    lambda row: row,
    about="A standing subscription: the host opens it, keeps it open and delivers what arrives. "
    'Declaring one asks for the permission `{ kind = "connection", name = … }` and for its '
    "target; it does not ask for the pull API.",
)
