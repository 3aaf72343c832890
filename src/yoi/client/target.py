"""What to watch, where, and with which token."""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlencode, urlsplit

from yoi.errors import ObserveError
from yoi.protocol.observation import BOARD_NAME, Subject, SubjectKind
from yoi.types import Secret

_SECURE = {"http": False, "ws": False, "https": True, "wss": True}


@dataclass(frozen=True, slots=True, repr=False)
class Server:
    """A backend or a runtime. `url` is `http(s)://HOST[:PORT][/PREFIX]`; no repr shows it.

    Raises ObserveError `observe.target` when the URL, or the token, cannot be used.
    """

    url: str
    token: Secret

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            usable = parts.scheme in _SECURE and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or parts.username is not None or parts.query or parts.fragment:
            raise ObserveError(
                "observe.target",
                "the server's URL is not http:// or https:// with a host and, at most, a port "
                "and a path",
            )
        if any(not 0x20 < ord(char) < 0x7F for char in self.url):
            raise ObserveError("observe.target", "the server's URL is not plain ASCII")
        value = self.token.reveal()
        if not value or any(not 0x20 < ord(char) < 0x7F for char in value):
            raise ObserveError("observe.target", "the token is empty or not plain ASCII")

    @property
    def secure(self) -> bool:
        """Whether it is reached over TLS."""
        return _SECURE[urlsplit(self.url).scheme]

    @property
    def host(self) -> str:
        """Return the host name or address, without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Return the port."""
        return urlsplit(self.url).port or (443 if self.secure else 80)

    @property
    def authority(self) -> str:
        """Return host and port as a `Host` header has them."""
        return urlsplit(self.url).netloc

    @property
    def prefix(self) -> str:
        """Return the path before every route, without a slash at its end."""
        return urlsplit(self.url).path.rstrip("/")

    def __repr__(self) -> str:
        return "<Server>"


@dataclass(frozen=True, slots=True)
class Target:
    """One subject of one server. A subject without `runtime_id` is a runtime's own."""

    server: Server
    subject: Subject

    @classmethod
    def worker(cls, url: str, name: str, *, token: str | Secret, runtime_id: str = "local") -> Self:
        """Return a worker behind a backend; `local` is the runtime of `yoi serve`."""
        return cls(Server(url, _secret(token)), Subject(SubjectKind.WORKER, name, runtime_id))

    @classmethod
    def service(
        cls, url: str, name: str, *, token: str | Secret, runtime_id: str = "local"
    ) -> Self:
        """Return a service behind a backend."""
        return cls(Server(url, _secret(token)), Subject(SubjectKind.SERVICE, name, runtime_id))

    @classmethod
    def board(
        cls, url: str, *, token: str | Secret, runtime_id: str = "local", name: str = BOARD_NAME
    ) -> Self:
        """Return the work items of a workspace, behind a backend."""
        return cls(Server(url, _secret(token)), Subject(SubjectKind.BOARD, name, runtime_id))

    def websocket_url(self, cursor: str | None, *, snapshot_always: bool = False) -> str:
        """Return the URL of the stream, beginning after `cursor`. It never holds the token."""
        server, subject = self.server, self.subject
        scheme = "wss" if server.secure else "ws"
        root = "/v1"
        if subject.runtime_id:
            root = f"/api/runtimes/{quote(subject.runtime_id, safe='')}"
        query = {}
        if cursor is not None:
            query["cursor"] = cursor
        if snapshot_always:
            query["snapshot"] = "always"
        return (
            f"{scheme}://{server.authority}{server.prefix}{root}"
            f"/{subject.kind}s/{quote(subject.name, safe='')}/events/ws"
            + (f"?{urlencode(query)}" if query else "")
        )


Locate = Callable[[], Awaitable[Target | None]]
"""Says, before each dial, where the subject is now; None while that is not known. A new answer may
hold another port or token, but must mean the same subject.
"""


def trusting(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return what verifies servers by the certificates in `ca_file`, or by the system's.

    Raises ObserveError `observe.tls` when the file cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as exc:
        why = exc.strerror or "not a PEM file"
        raise ObserveError(
            "observe.tls", f"the certificates in {ca_file} cannot be used: {why}"
        ) from None


def _secret(token: str | Secret) -> Secret:
    return token if isinstance(token, Secret) else Secret("observation token", token)
