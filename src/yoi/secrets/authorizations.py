"""`[[secrets.authorize]]` of yoi.toml: how a token is asked for, so that a command need not say it.

Nothing is asked for by being declared: a person calls `yoi secret authorize NAME`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from yoi.limits import LIMITS
from yoi.toml import (
    AnyTable,
    Choice,
    Faults,
    Key,
    ListOf,
    Parsed,
    Row,
    Rows,
    SafeId,
    TableSpec,
    Text,
    Whole,
)

_MOST = 64
_PORT = 65_535


class ClientAuth(StrEnum):
    """How the client's secret is given to the server (RFC 6749, 2.3.1)."""

    BODY = "body"
    BASIC = "basic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """What `yoi secret authorize` needs to know; each as the operator wrote it."""

    token_url: str | None = None
    authorize_url: str | None = None
    device_url: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    """Its name in the store."""
    client_auth: ClientAuth | None = None
    scopes: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    refresh_as: str | None = None
    port: int | None = None

    def overridden(self, given: "Authorization") -> "Authorization":
        """Return this with what `given` says in place of its own."""
        said = {
            name: value
            for name in self.__dataclass_fields__
            if (value := getattr(given, name)) not in (None, (), {})
        }
        if given.authorize_url or given.device_url:
            # One of the two ways: the other way's URL is not meant any more.
            said |= {"authorize_url": given.authorize_url, "device_url": given.device_url}
        return replace(self, **said)


def _authorization(row: Row) -> tuple[str, Authorization]:
    if (row["authorize_url"] is None) == (row["device_url"] is None):
        row.fault("missing", "", "needs one of authorize_url and device_url")
    if row["client_auth"] is ClientAuth.BASIC and row["client_secret"] is None:
        row.fault("missing", "client_secret", 'is required with client_auth = "basic"')
    for key, value in row["parameters"].items():
        if not isinstance(value, str):
            row.fault("type", f"parameters.{key}", "must be text")
    settings = {name: row[name] for name in Authorization.__dataclass_fields__}
    return row["name"], Authorization(**settings)


_URL = Text(LIMITS.url_chars)
AUTHORIZE = TableSpec(
    (
        Key(
            "name", SafeId(), "what the access token is called in the store; unique", required=True
        ),
        Key("token_url", _URL, "the server's token endpoint; https", required=True),
        Key("authorize_url", _URL, "the page that asks, in a browser of this machine"),
        Key("device_url", _URL, "instead: a code is typed on any other device"),
        Key("client_id", Text(), "what the server calls this client", required=True),
        Key("client_secret", SafeId(), "the name in the store of the client's secret"),
        Key(
            "client_auth",
            Parsed(Choice(ClientAuth), ClientAuth),
            "how the client's secret is sent: in the body, or as HTTP Basic",
            default=ClientAuth.BODY,
        ),
        Key(
            "scopes",
            ListOf(Text(), LIMITS.authorize_options),
            "what the token is asked to allow",
            default=(),
        ),
        Key(
            "parameters",
            AnyTable(),
            'the server\'s own, such as `{ access_type = "offline" }`',
            default={},
            default_words="none",
        ),
        Key(
            "refresh_as",
            SafeId(),
            "what a refresh token is called in the store",
            default_words="`NAME.refresh`",
        ),
        Key(
            "port",
            Whole(0, _PORT),
            "port of `http://127.0.0.1:PORT/callback`",
            default_words="any",
        ),
    ),
    _authorization,
    about="How `yoi secret authorize NAME` asks for a token, see "
    "[secrets](../how-to/secrets.md#have-it-issued).",
)
AUTHORIZATIONS = Rows(AUTHORIZE, _MOST, unique="name")


def authorizations(rows: Any, faults: Faults) -> dict[str, Authorization]:
    """Return the declared authorizations by name; what is wrong goes to `faults`."""
    read = AUTHORIZATIONS.read(rows, "secrets.authorize", faults)
    return dict(read) if isinstance(read, tuple) else {}
