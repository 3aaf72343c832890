"""Where `yoi watch` looks: the running host of a workspace, or a backend elsewhere."""

import asyncio
import difflib
import ipaddress
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import msgspec

from yoi.cli.console import ask_backend
from yoi.client import Locate, RuntimeListing, Server, Target, runtimes, trusting
from yoi.display import shell_argument, shell_word
from yoi.errors import ControlError, ObserveError, SecretError, UsageError, YoiError
from yoi.limits import LIMITS
from yoi.protocol.observation import BOARD_NAME, Subject, SubjectKind
from yoi.secrets.files import read_private
from yoi.types import Secret


class Location(Protocol):
    """A backend, however it is found."""

    tls: ssl.SSLContext | None

    def target(self, name: str) -> Target:
        """Return what `NAME`, `worker:NAME`, `service:NAME` or `tickets` means there."""
        ...

    def locator(self, subject: Subject) -> Locate | None:
        """Return what finds it again after it moved, if it can."""
        ...

    def runtimes(self) -> list[RuntimeListing]:
        """Return all that may be watched. Raises ObserveError where the chosen one is not there."""
        ...


class _Access(msgspec.Struct):
    """The answer to `observation.access`."""

    url: str
    token: str
    runtime_id: str


class WorkspaceLocation:
    """What `yoi serve` or `yoi backend` shows in a workspace: where may be new with each start."""

    def __init__(self, folder: Path, ca: Path | None, runtime: str | None) -> None:
        self.tls = None if ca is None else trusting(ca)
        self._folder = folder
        self._runtime = runtime

    def target(self, name: str) -> Target:
        """Ask the process. Raises ControlError when none runs."""
        access = self._access()
        server = _server(access)
        found = _found(name, lambda: _listed(server, self.tls), self._runtime)
        # What is not listed now may be later; the stream's own answer says so.
        return Target(server, replace(found, runtime_id=found.runtime_id or access.runtime_id))

    def locator(self, subject: Subject) -> Locate:
        """Return what asks the process again; it returns None while none runs."""

        async def locate() -> Target | None:
            try:
                access = await asyncio.to_thread(self._access)
            except YoiError:
                return None
            return Target(_server(access), subject)

        return locate

    def runtimes(self) -> list[RuntimeListing]:
        """Ask the process where, then there."""
        return _chosen(_listed(_server(self._access()), self.tls), self._runtime)

    def _access(self) -> _Access:
        answer = ask_backend(self._folder, "observation.access")
        try:
            return msgspec.convert(answer, _Access)
        except msgspec.ValidationError as exc:
            raise ControlError(
                "control.refused", f"the host's answer does not fit: {exc}"
            ) from None


class RemoteLocation:
    """A backend at a URL, with a token from a file."""

    def __init__(self, url: str, token_file: Path, ca: Path | None, runtime: str | None) -> None:
        self.tls = None if ca is None else trusting(ca)
        self._server = _guarded(Server(url, _token(token_file)))
        self._runtime = runtime

    def target(self, name: str) -> Target:
        """Return it; without a chosen runtime the backend is asked which one has it."""
        found = _found(name, self.runtimes, self._runtime)
        if not found.runtime_id:
            raise ObserveError("observe.not_found", f"there is no {found.kind} {found.name} there")
        return Target(self._server, found)

    def locator(self, subject: Subject) -> None:
        """Return None: it stays where it is."""

    def runtimes(self) -> list[RuntimeListing]:
        """Ask the backend."""
        return _chosen(_listed(self._server, self.tls), self._runtime)


def instead(location: Location, name: str) -> str | None:
    """Return what a person may have meant by `name`, which is not there; None where unknown."""
    kind, plain = _named(name)
    try:
        listed = location.runtimes()
    except ObserveError as exc:
        return exc.hint
    except ControlError:
        return None
    kinds = {
        str(row.get("id")): one for one in SubjectKind for seen in listed for row in seen.rows(one)
    }
    near = [plain] if plain in kinds else difflib.get_close_matches(plain, kinds, 1)
    for found in near:
        if (kinds[found], found) != (kind, plain):
            kind_of = kinds[found]
            prefix = "" if _named(found)[0] is kind_of else f"{kind_of}:"
            # The name comes from elsewhere.
            there = shell_argument(prefix + found)
            return f"there is a {kinds[found]} {found}: yoi watch {there}"
    return None


def _chosen(listed: list[RuntimeListing], runtime: str | None) -> list[RuntimeListing]:
    """Return the listing of `runtime` alone, if one is chosen."""
    found = [one for one in listed if runtime in (None, one.runtime_id)]
    if runtime is not None and not found:
        there = ", ".join(one.runtime_id for one in listed) or "none"
        raise ObserveError(
            "observe.not_found",
            f"there is no runtime {runtime}, or none that you may watch",
            hint=f"runtimes: {there}",
        )
    return found


def _listed(server: Server, tls: ssl.SSLContext | None) -> list[RuntimeListing]:
    return asyncio.run(runtimes(server, tls=tls))


def _found(name: str, look: Callable[[], list[RuntimeListing]], runtime: str | None) -> Subject:
    """Return what `name` means among what is listed; of no runtime where it is not listed.

    Of a chosen `runtime` only `tickets` is looked up: it may have several boards.
    """
    kind, plain = _named(name)
    if runtime is not None and name != BOARD_NAME:
        return Subject(kind, plain, runtime)
    listed = look()
    if name == BOARD_NAME:
        plain = _board_name([one for one in listed if runtime in (None, one.runtime_id)])
    return Subject(kind, plain, runtime or _having(listed, kind, plain) or "")


def _board_name(listed: list[RuntimeListing]) -> str:
    """Return the board that `tickets` means. Raises UsageError where each machine has its own."""
    rows = [row for one in listed for row in one.boards]
    machines = sorted(str(row.get("id")) for row in rows if row.get("machine"))
    if not machines or any(row.get("id") == BOARD_NAME for row in rows):
        return BOARD_NAME
    if len(machines) > 1:
        raise UsageError(
            "usage.arguments",
            f"each machine has work items of its own: {', '.join(machines[:8])}",
            hint=f"yoi watch {SubjectKind.BOARD}:{shell_word(machines[0])}",
        )
    return machines[0]


def _having(listed: list[RuntimeListing], kind: SubjectKind, name: str) -> str | None:
    """Return the one runtime that has it. Raises UsageError where several have."""
    found = [
        one.runtime_id for one in listed if any(row.get("id") == name for row in one.rows(kind))
    ]
    if len(found) > 1:
        raise UsageError(
            "usage.arguments",
            f"several runtimes have a {kind} {name}: {', '.join(found)}",
            hint=f"add --runtime {found[0]}",
        )
    return found[0] if found else None


def _named(name: str) -> tuple[SubjectKind, str]:
    kind, colon, rest = name.partition(":")
    if colon and kind in frozenset(SubjectKind):
        return SubjectKind(kind), rest
    # A worker of that name is `worker:tickets`.
    return SubjectKind.BOARD if name == BOARD_NAME else SubjectKind.WORKER, name


def _server(access: _Access) -> Server:
    return Server(access.url, Secret("observation token", access.token))


def _token(path: Path) -> Secret:
    """Return the only line of the file. Raises SecretError or ObserveError, never showing it."""
    data = read_private(path, LIMITS.secret_value_bytes)
    if data is None:
        raise SecretError("secret.io", f"there is no file {path}")
    try:
        return Secret("observation token", data.decode("ascii").strip())
    except UnicodeDecodeError:
        raise ObserveError("observe.target", f"{path} does not hold a token") from None


def _guarded(server: Server) -> Server:
    """Return `server`, unless its token could be read on the way there."""
    if not server.secure and not _is_loopback(server.host):
        raise UsageError(
            "usage.arguments",
            "the token could be read on its way over http:// to another machine",
            hint="use https://, or a tunnel: ssh -L 7717:127.0.0.1:7717 HOST, then --url "
            "http://127.0.0.1:7717",
        )
    return server


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
