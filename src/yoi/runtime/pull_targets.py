"""Where a socket that a plugin opens itself may lead, and what its handshake says.

By URL alone it carries nothing of the operator's. As one of the plugin's connections it stays
within that connection's target, and what is granted to that connection may be put into it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from yoi.connections import DialTarget
from yoi.display import printable
from yoi.errors import InsertionError, PermissionDenied, ServiceError
from yoi.permissions import Authority, Decision, Url
from yoi.permissions.connection_settings import ConnectionSettings, Handshake, SettingRefused
from yoi.protocol.session_commands import WebSocketOpen
from yoi.runtime.connection_commands import filled_target
from yoi.runtime.secret_injector import SecretInjector

Json = Any


@dataclass(frozen=True, slots=True)
class Opening:
    """One socket that is asked for. `decide` is asked again with every use of it."""

    url: Url
    """Without what is inserted: this is what policy judges and a person sees."""
    handshake: Handshake
    decide: Callable[[Url], Decision]
    fill: Callable[[], DialTarget]
    """Returns where to dial, with everything inserted. Raises YoiError."""


@dataclass(frozen=True, slots=True)
class DeclaredConnection:
    """A connection of the manifest, and what decides a dial of it."""

    settings: ConnectionSettings
    may_dial: Callable[[Url], Decision]


class PullTargets:
    """See the module docstring. One per service."""

    def __init__(
        self,
        authority: Authority,
        injector: SecretInjector,
        connections: Mapping[str, DeclaredConnection],
    ) -> None:
        self._authority = authority
        self._injector = injector
        self._connections = connections

    def opening(
        self,
        url_text: str,
        protocols: Sequence[str],
        headers: Mapping[str, str],
        query: Mapping[str, str],
        insert: Sequence[Json],
        connection: str | None,
    ) -> Opening:
        """Return what is asked for; nothing is inserted yet.

        Raises UrlRefused, PermissionDenied (no such connection), InsertionError, ServiceError
        (`service.call_malformed`).
        """
        declared = None if connection is None else self._declared(connection)
        if insert and declared is None:
            raise InsertionError(
                "insert.place",
                "a value is inserted for one of the plugin's connections only",
                hint="name the connection: its secrets go where its target allows",
            )
        own = None if declared is None else declared.settings.url
        url = own if not url_text and own is not None else Url.parse(url_text)
        try:
            handshake = Handshake() if declared is None else declared.settings.handshake
            if protocols:
                handshake = replace(handshake, subprotocols=tuple(protocols))
        except SettingRefused as exc:
            raise ServiceError("service.call_malformed", f"websocket.open: {exc}") from None
        command = WebSocketOpen(connection or "", None, None, headers, query, tuple(insert))
        return Opening(
            url,
            handshake,
            lambda where: self._decide(where, declared),
            lambda: filled_target(command, DialTarget(url), self._injector),
        )

    def _decide(self, url: Url, declared: DeclaredConnection | None) -> Decision:
        """Decide a socket at `url`: the pull API's own two keys, and those of the connection."""
        decision = self._authority.websocket(url)
        if not decision.allowed or declared is None:
            return decision
        return declared.may_dial(url)

    def _declared(self, name: str) -> DeclaredConnection:
        declared = self._connections.get(name)
        if declared is None:
            raise PermissionDenied(
                "denied.not_requested",
                f"plugin.toml declares no connection {printable(name, 80)!r}",
                hint="add it under [[connections]]",
            )
        return declared
