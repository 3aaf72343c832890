"""What MCP clients may watch: the services of the plugins that `[[mcp.events]]` names."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from yoi.control.server import Method
from yoi.errors import McpError
from yoi.limits import Limits
from yoi.protocol.observation import Subject, SubjectKind
from yoi.runtime.observing import Observing


class McpEvents:
    """The methods `mcp.resources`, `mcp.read` and `mcp.news`. Belongs to the event loop."""

    def __init__(self, observing: Observing, limits: Limits) -> None:
        self.granted: tuple[str, ...] = ()
        """The plugins whose services clients may watch."""
        self._observing = observing
        self._limits = limits
        self._ears: set[_Ear] = set()

    @property
    def methods(self) -> Mapping[str, Method]:
        """Return the methods by name."""
        return {"mcp.resources": self._list, "mcp.read": self._read, "mcp.news": self._news}

    async def stop(self) -> None:
        """Answer those who still wait for news."""
        for ear in self._ears:
            ear.heard.set()

    async def _list(self, params: dict[str, Any]) -> Any:
        return list(self.granted)

    async def _read(self, params: dict[str, Any]) -> Any:
        """Return the service's status and its recent diagnostics."""
        stream = self._stream(str(params["plugin"]))
        if stream is None:
            raise McpError("mcp.unknown", "there is no such service that MCP clients may watch")
        return msgspec.to_builtins(stream.snapshot())["data"]

    async def _news(self, params: dict[str, Any]) -> Any:
        """Return where each service is, once one of `plugins` is elsewhere than in `marks`."""
        wanted, marks = set(params["plugins"]), dict(params["marks"])
        ear = _Ear()
        self._ears.add(ear)
        streams = [one for name in wanted if (one := self._stream(name)) is not None]
        for stream in streams:
            stream.listen(ear)
        try:
            if all(marks.get(name) == mark for name, mark in self._marks(wanted).items()):
                async with asyncio.timeout(self._limits.watch_poll_ms / 1000):
                    await ear.heard.wait()
        except TimeoutError:
            pass
        finally:
            self._ears.discard(ear)
            for stream in streams:
                stream.drop(ear)
        return self._marks(wanted)

    def _marks(self, plugins: set[str]) -> dict[str, str]:
        streams = {name: self._stream(name) for name in plugins}
        return {
            name: "" if stream is None else f"{stream.generation}.{stream.head}"
            for name, stream in streams.items()
        }

    def _stream(self, plugin: str) -> Any:
        if plugin not in self.granted:
            return None
        subject = Subject(SubjectKind.SERVICE, plugin)
        self._observing.refresh(subject)
        channel = self._observing.hub.channel(subject)
        return None if channel is None else channel.stream


class _Ear:
    """Hears that a stream has gone on."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    def published(self, seq: int, held: object) -> None:
        """Take note."""
        self.heard.set()

    def restarted(self, reason: str) -> None:
        """Take note."""
        self.heard.set()

    def ended(self, reason: str) -> None:
        """Take note."""
        self.heard.set()
