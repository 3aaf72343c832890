"""A server that is a process of ours: spoken to over its standard input and output.

It runs with the rights of this account, outside the sandbox. Its environment holds nothing but
`PATH`, `LANG` and the secrets that its table names; it leads a process group, which ends with it.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from yoi.display import printable
from yoi.errors import McpError
from yoi.limits import Limits
from yoi.mcp.wire import Inbound, Streams, Wire
from yoi.tasks import ended
from yoi.types import Clock

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.shared.message import SessionMessage

_PATH = "/usr/local/bin:/usr/bin:/bin"
_WHOLE_PATH = (
    f"its PATH is {_PATH}; a program elsewhere, such as the python of an environment, is named by "
    "its whole path"
)
_CHUNK = 64 * 1024
_LOOK_S = 0.1
_KILLED_S = 10.0
_WORDS_S = 1.0


def environment(secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a server's process."""
    return {"PATH": _PATH, "LANG": "C.UTF-8", **secrets}


@asynccontextmanager
async def process_streams(
    command: tuple[str, ...],
    variables: Mapping[str, str],
    folder: Path,
    wire: Wire,
    clock: Clock,
    limits: Limits,
) -> AsyncIterator[Streams]:
    """Run `command` in `folder` and give the streams of its messages; leaving ends its group.

    Raises McpError `mcp.start` where the program cannot be started.
    """
    import anyio

    process = await _started(command, variables, folder)
    to_session, read = anyio.create_memory_object_stream["SessionMessage | Exception"](0)
    write, from_session = anyio.create_memory_object_stream["SessionMessage"](0)
    words, inbound = _LastWords(limits.mcp_words_bytes), Inbound(clock, limits)
    tasks = [
        asyncio.create_task(_read(process, to_session, inbound, wire, words, limits)),
        asyncio.create_task(_write(process, from_session, inbound, wire)),
        asyncio.create_task(words.keep(process.stderr)),
        asyncio.create_task(_watch(process, wire, words)),
    ]
    try:
        yield Streams(read, write)
    finally:
        ending = asyncio.ensure_future(_end(process, tasks, limits))
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await asyncio.wait({ending})
            raise
        finally:
            for stream in (to_session, read, write, from_session):
                stream.close()


async def _started(
    command: tuple[str, ...], variables: Mapping[str, str], folder: Path
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(variables),
            cwd=folder,
            start_new_session=True,
        )
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or str(exc)
        raise McpError(
            "mcp.start",
            f"{command[0]} cannot be started: {why}",
            hint=_WHOLE_PATH,
        ) from None


class _LastWords:
    """The end of what a process writes to its standard error."""

    def __init__(self, most: int) -> None:
        self.whole = asyncio.Event()
        self._most = most
        self._kept = b""

    async def keep(self, stream: asyncio.StreamReader | None) -> None:
        """Read `stream` to its end; only its last bytes stay."""
        assert stream is not None
        while data := await stream.read(_CHUNK):
            self._kept = (self._kept + data)[-self._most :]
        self.whole.set()

    def __str__(self) -> str:
        last = self._kept.decode(errors="replace").strip().splitlines()
        return printable(last[-1], 256) if last else ""


async def _read(
    process: asyncio.subprocess.Process,
    to_session: "MemoryObjectSendStream[SessionMessage | Exception]",
    inbound: Inbound,
    wire: Wire,
    words: _LastWords,
    limits: Limits,
) -> None:
    """Hand each line to the session until the first fault or the end."""
    import anyio

    assert process.stdout is not None
    begun = bytearray()
    try:
        while data := await process.stdout.read(_CHUNK):
            first, *others = data.split(b"\n")
            begun += first
            _check_size(len(begun), limits)
            for other in others:
                message = await inbound.message(bytes(begun))
                if message is not None:
                    await to_session.send(message)
                begun = bytearray(other)
        wire.end(await _over(words))
    except McpError as exc:
        wire.end(exc)
    except (anyio.ClosedResourceError, anyio.BrokenResourceError, ConnectionError) as exc:
        wire.end(McpError("mcp.lost", f"the server hung up ({type(exc).__name__})"))
    finally:
        to_session.close()


async def _exited(process: asyncio.subprocess.Process) -> None:
    """Return when the process has ended, whoever holds its pipes open."""
    while process.returncode is None:  # noqa: ASYNC110 - `wait` waits for the pipes, too
        await asyncio.sleep(_LOOK_S)


async def _watch(process: asyncio.subprocess.Process, wire: Wire, words: _LastWords) -> None:
    """End the connection with the process, though something it started holds its output open."""
    await _exited(process)
    await asyncio.sleep(_LOOK_S)  # what it wrote last is read first
    wire.end(await _over(words))


async def _over(words: _LastWords) -> McpError:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_WORDS_S):
            await words.whole.wait()
    said = str(words)
    # An interpreter of the system was found in place of the one that has the server's libraries.
    elsewhere = "ModuleNotFoundError" in said or "Cannot find module" in said
    return McpError(
        "mcp.lost",
        f"the server ended{': ' + said if said else ''}",
        hint=_WHOLE_PATH if elsewhere else None,
    )


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.mcp_message_bytes:
        raise McpError(
            "mcp.too_large", f"the server sent a message of over {limits.mcp_message_bytes} bytes"
        )


async def _write(
    process: asyncio.subprocess.Process,
    from_session: "MemoryObjectReceiveStream[SessionMessage]",
    inbound: Inbound,
    wire: Wire,
) -> None:
    """Write what the session sends; a server that reads nothing keeps it waiting."""
    assert process.stdin is not None
    try:
        async for one in from_session:
            inbound.asked(one.message)
            text = one.message.model_dump_json(by_alias=True, exclude_unset=True)
            process.stdin.write(text.encode() + b"\n")
            await process.stdin.drain()
    except (ConnectionError, RuntimeError) as exc:
        wire.end(McpError("mcp.lost", f"the server reads no more ({type(exc).__name__})"))


async def _end(
    process: asyncio.subprocess.Process, tasks: list[asyncio.Task[None]], limits: Limits
) -> None:
    """Close the server's input; what does not end then is killed, its whole group with it."""
    assert process.stdin is not None
    await ended(*tasks[:2])
    with contextlib.suppress(OSError, RuntimeError):
        process.stdin.close()
    with contextlib.suppress(TimeoutError):
        # It may wait to be read before it ends.
        async with asyncio.timeout(limits.mcp_stop_ms / 1000):
            await asyncio.gather(_drained(process), process.wait())
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_KILLED_S):
            await _exited(process)
    await ended(*tasks)
    # Where something that left the group holds the pipes, they are closed on this side.
    process._transport.close()  # type: ignore[attr-defined]


async def _drained(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    while await process.stdout.read(_CHUNK):
        pass
