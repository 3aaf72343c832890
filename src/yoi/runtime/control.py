"""The server of the control socket, inside the host."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from yoi.errors import ControlError, YoiError
from yoi.limits import LIMITS, Limits
from yoi.runtime.control_wire import Answer, Failure, Request, socket_path

Method = Callable[[dict[str, Any]], Awaitable[Any]]


class ControlServer:
    """Serves `methods` to the account that runs the host, and to nobody else."""

    def __init__(
        self, workspace: Path, methods: Mapping[str, Method], limits: Limits = LIMITS
    ) -> None:
        self._path = socket_path(workspace)
        self._methods = methods
        self._limits = limits
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen. Raises ControlError `control.in_use` when another host runs here."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.parent.chmod(0o700)
        if self._path.exists() and _answers(self._path):
            raise ControlError(
                "control.in_use",
                "another host already runs in this workspace",
                hint="yoi service list",
            )
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # The mode must be right from the first moment, not after a chmod.
            old = os.umask(0o177)
            try:
                sock.bind(str(self._path))
            finally:
                os.umask(old)
            self._server = await asyncio.start_unix_server(
                self._serve, sock=sock, limit=self._limits.control_request_bytes
            )
        except BaseException:
            sock.close()
            raise

    async def close(self) -> None:
        """Stop listening, hang up on clients, remove the socket."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._clients):
                writer.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._server.wait_closed()
            self._server = None
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= self._limits.control_clients or not _same_account(writer):
            writer.close()
            return
        self._clients.add(writer)
        try:
            async with asyncio.timeout(self._limits.control_ms / 1000):
                line = await reader.readline()
            answer = await self._answer(line)
            writer.write(_encoded(answer) + b"\n")
            await writer.drain()
        except (TimeoutError, ValueError, ConnectionError):
            pass  # too slow, too long, or gone: nobody is there to be told
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = msgspec.json.decode(line, type=Request)
        except msgspec.DecodeError as exc:
            return _failure("control.refused", f"not a control request: {exc}")
        except RecursionError:
            return _failure("control.refused", "not a control request: nested too deeply")
        method = self._methods.get(request.method)
        if method is None:
            return _failure("control.refused", f"there is no method {request.method!r}")
        try:
            return Answer(ok=await method(request.params))
        except YoiError as exc:
            return _failure(exc.code, exc.message, exc.hint)
        except (TypeError, KeyError, ValueError) as exc:
            return _failure("control.refused", f"bad parameters: {exc}")
        except RecursionError:
            return _too_deep()


def _encoded(answer: Answer) -> bytes:
    try:
        return msgspec.json.encode(answer)
    except RecursionError:
        return msgspec.json.encode(_too_deep())


def _too_deep() -> Answer:
    return _failure("control.refused", "the answer is nested too deeply to be sent")


def _failure(code: str, message: str, hint: str | None = None) -> Answer:
    return Answer(error=Failure(code, message, hint))


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _same_account(writer: asyncio.StreamWriter) -> bool:
    peer = writer.get_extra_info("socket")
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the socket's mode is what guards it there
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", raw)
    return bool(uid in (os.getuid(), 0))
