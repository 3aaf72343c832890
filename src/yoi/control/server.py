"""The server of the control socket, inside the host."""

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from yoi.control.wire import HOST, Answer, Failure, Request, peer_account, socket_path
from yoi.errors import ControlError, YoiError
from yoi.folders import held, hint_of, make_folder, open_file, remove_file
from yoi.limits import LIMITS, Limits
from yoi.protocol.depth import more_values_than

Method = Callable[[dict[str, Any]], Awaitable[Any]]
"""Returns the answer, or all of an `Answer` where another machine has a part in it."""


@contextlib.contextmanager
def claimed(workspace: Path, part: str = HOST) -> Iterator[None]:
    """Keep other processes from running `part` of `workspace` while entered, however this one ends.

    Raises ControlError: `control.in_use` when another one runs it, `control.socket` when the folder
    of the socket cannot be used.
    """
    path = socket_path(workspace, part)
    with _told(path):
        _private_folder(path.parent)
        lock = _locked(path.with_suffix(".lock"))
    try:
        yield
    finally:
        os.close(lock)


class ControlServer:
    """Serves `methods` to the account that runs the host, and to no other.

    The workspace must be `claimed` for as long as it listens.
    """

    def __init__(
        self,
        workspace: Path,
        methods: Mapping[str, Method],
        limits: Limits = LIMITS,
        part: str = HOST,
    ) -> None:
        self._path = socket_path(workspace, part)
        self._methods = dict(methods)
        self._limits = limits
        self._server: asyncio.Server | None = None
        self._folder = contextlib.ExitStack()
        """Holds the folder of the socket for as long as it listens there."""
        self._clients: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        """Listen. Raises ControlError `control.socket` when the socket cannot be made."""
        with _told(self._path):
            remove_file(self._path)
            with contextlib.ExitStack() as opened:
                await self._listen(opened.enter_context(held(self._path.parent)))
                self._folder = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening, hang up on clients, remove the socket."""
        await self._hang_up()

    @contextlib.contextmanager
    def offering(self, methods: Mapping[str, Method]) -> Iterator[None]:
        """Answer `methods`, too, while entered."""
        self._methods.update(methods)
        try:
            yield
        finally:
            for name in methods:
                del self._methods[name]

    async def _listen(self, folder: int) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # The mode must be right from the first moment, not after a chmod.
            old = os.umask(0o177)
            try:
                sock.bind(_in_folder(folder, self._path))
            finally:
                os.umask(old)
            self._server = await asyncio.start_unix_server(
                self._serve, sock=sock, limit=self._limits.control_request_bytes
            )
        except BaseException:
            sock.close()
            raise

    async def _hang_up(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._clients):
                writer.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._server.wait_closed()
            self._server = None
            with contextlib.suppress(OSError):
                remove_file(self._path)
            self._folder.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= self._limits.control_clients or not _same_account(writer):
            writer.close()
            return
        self._clients.add(writer)
        try:
            async with asyncio.timeout(self._limits.control_ms / 1000):
                line = await reader.readline()
            answer = encoded(await self._answer(line), self._limits)
            if writer.is_closing():
                return  # hung up meanwhile
            writer.write(answer + b"\n")
            async with asyncio.timeout(self._limits.control_ms / 1000):
                await writer.drain()
        except (TimeoutError, ValueError, ConnectionError):
            pass  # too slow, too long, or gone: the client cannot be told
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        if more_values_than(self._limits.json_values, line):
            return _failure("control.refused", "the request has too many JSON values")
        try:
            request = msgspec.json.decode(line, type=Request)
        except msgspec.DecodeError as exc:
            return _failure("control.refused", f"not a control request: {exc}")
        except RecursionError:
            return _failure("control.refused", "not a control request: nested too deeply")
        return await carried_out(self._methods, request)


async def carried_out(methods: Mapping[str, Method], request: Request) -> Answer:
    """Return what the method of `request` answers; whatever it raises is the answer's error."""
    method = methods.get(request.method)
    if method is None:
        return _failure("control.refused", f"there is no method {request.method!r}")
    try:
        found = await method(request.params)
    except YoiError as exc:
        return _failure(exc.code, exc.message, exc.hint)
    except (TypeError, KeyError, ValueError) as exc:
        return _failure("control.refused", f"bad parameters: {exc}")
    except RecursionError:
        return _too_deep()
    except Exception as exc:
        return _failure("usage.internal", f"{request.method} failed: {exc!r}")
    return found if isinstance(found, Answer) else Answer(ok=found)


def encoded(answer: Answer, limits: Limits) -> bytes:
    """Return `answer` as JSON; one that is too long, or too deep, is a refusal instead."""
    data = _encoded(answer)
    if len(data) >= limits.control_response_bytes:
        return _encoded(_failure("control.refused", f"the answer has {len(data)} bytes: too many"))
    return data


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ControlError(
            "control.socket",
            f"cannot listen at {path}: {exc.strerror or exc}",
            hint=hint_of(exc),
        ) from None


def _encoded(answer: Answer) -> bytes:
    try:
        return msgspec.json.encode(answer)
    except RecursionError:
        return msgspec.json.encode(_too_deep())


def _too_deep() -> Answer:
    return _failure("control.refused", "the answer is nested too deeply to be sent")


def _failure(code: str, message: str, hint: str | None = None) -> Answer:
    return Answer(error=Failure(code, message, hint))


def _private_folder(path: Path) -> None:
    """Make sure that `path` is a folder of this account that no other account can use.

    A project may come from a stranger and `/tmp` is everybody's, so a link or a folder of another
    account is refused rather than changed.
    """
    make_folder(path.parent, 0o700)
    with contextlib.suppress(FileExistsError):
        make_folder(path, 0o700)
    try:
        folder = open_file(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as exc:
        if exc.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        raise _no_folder(path) from None
    try:
        if os.fstat(folder).st_uid != os.getuid():
            raise _no_folder(path)
        os.fchmod(folder, 0o700)
    finally:
        os.close(folder)


def _in_folder(folder: int, path: Path) -> str:
    """Return a path of the socket `path` that leads into the held `folder` and nowhere else."""
    way = f"/proc/self/fd/{folder}"
    return f"{way}/{path.name}" if os.path.isdir(way) else str(path)


def _no_folder(path: Path) -> ControlError:
    return ControlError(
        "control.socket",
        f"{path} is not a folder of this account",
        hint=f"look at it, then remove it: ls -ld {path}",
    )


def _locked(path: Path) -> int:
    """Return the descriptor of a lock that ends with this process, however it ends."""
    lock = open_file(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ControlError(
            "control.in_use",
            "another host already runs in this workspace",
            hint="yoi service list",
        ) from None
    except OSError:
        os.close(lock)
        raise
    return lock


def _same_account(writer: asyncio.StreamWriter) -> bool:
    # Where the system does not name the peer, the socket's mode is what guards it.
    return peer_account(writer.get_extra_info("socket")) in (os.getuid(), 0, None)
