"""Hear of changed files from one moment on, so that no save falls between reading and watching.

Every `look_ms` the files are looked at: that is the promise. Notification by the operating system
only makes it quicker; it does not see a link that is swapped on the way to a file, a folder that is
moved away and back, or the file behind a link, and it may not be there at all.
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from watchfiles import awatch

from yoi.errors import SecretError, ServingError
from yoi.limits import LIMITS, Limits
from yoi.secrets.files import read_private

_SETTLE_MS = 100
"""Editors save in several steps; one reload is enough."""


def _nothing() -> None:
    """Return what is always the same: nothing else is watched."""


class Watch:
    """Watches `folder` while it is entered; `wanted` says which paths in it count.

    Files in `contents` are compared by what is in them, wherever their links lead, and what
    `elsewhere` returns, which may block, by itself. What changes between two calls of `changed` is
    told to the second. With `told_of` the operating system tells of these files and folders alone,
    so that another file beside them may be written all the time at no cost.
    """

    def __init__(
        self,
        folder: Path,
        wanted: Callable[[Path], bool],
        stop: asyncio.Event,
        contents: Sequence[Path] = (),
        limits: Limits = LIMITS,
        elsewhere: Callable[[], Hashable] = _nothing,
        told_of: Sequence[Path] = (),
    ) -> None:
        self._folder, self._wanted, self._contents = folder, wanted, contents
        self._elsewhere, self._told_of = elsewhere, told_of
        self._stop, self._limits = stop, limits
        self._noticed = asyncio.Event()
        self.fault: ServingError | None = None
        """Why changes are only found by looking, None while the operating system tells of them."""

    async def __aenter__(self) -> "Watch":
        # Before the first look: what is saved meanwhile is seen by one of the two.
        self._native = asyncio.ensure_future(self._listen())
        self._stopping = asyncio.ensure_future(self._stop.wait())
        await asyncio.sleep(0)  # its first step, which runs now, begins to watch
        self._seen = await asyncio.to_thread(self._look)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in (self._native, self._stopping):
            task.cancel()
        await asyncio.gather(self._native, self._stopping, return_exceptions=True)

    async def changed(self, within: float | None = None) -> bool:
        """Wait for a change, at most `within` seconds; return False once `stop` is set."""
        loop = asyncio.get_running_loop()
        until = None if within is None else loop.time() + within
        while not self._stop.is_set():
            seconds = self._limits.look_ms / 1000
            if until is not None:
                seconds = min(seconds, max(0.0, until - loop.time()))
            await self._wait(seconds)
            if self._stop.is_set():
                break
            noticed = self._noticed.is_set()
            self._noticed.clear()
            seen = await asyncio.to_thread(self._look)
            different, self._seen = seen != self._seen, seen
            if different and self._told_of:
                await self._listen_anew()
            if noticed or different or (until is not None and loop.time() >= until):
                return True
        return False

    async def _wait(self, seconds: float) -> None:
        noticed = asyncio.ensure_future(self._noticed.wait())
        try:
            await asyncio.wait(
                {noticed, self._stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            noticed.cancel()

    async def _listen_anew(self) -> None:
        """Listen to what stands at the paths now; the caller tells of what came until then."""
        self._native.cancel()
        await asyncio.gather(self._native, return_exceptions=True)
        self._native = asyncio.ensure_future(self._listen())
        await asyncio.sleep(0)  # as on entering
        self._seen = await asyncio.to_thread(self._look)

    async def _listen(self) -> None:
        """Note what the operating system tells, for as long as it does."""
        paths = [path for path in self._told_of if path.exists()]
        if self._told_of and not paths:
            return  # what is made there is seen by a look
        changes = awatch(
            *(paths or (self._folder,)),
            watch_filter=lambda _, path: self._wanted(Path(path)),
            debounce=_SETTLE_MS,
            # One of its own: a listener that is cancelled sets it.
            stop_event=asyncio.Event(),
        )
        try:
            async with contextlib.aclosing(changes):
                async for _ in changes:
                    self._noticed.set()
        except (OSError, RuntimeError) as exc:
            self.fault = ServingError(
                "serving.watch",
                f"the operating system tells of no changes in {self._folder} ({exc}); "
                f"they are looked for every {self._limits.look_ms // 1000} s",
                hint="on Linux, look at: sysctl fs.inotify",
            )
            self._noticed.set()

    def _look(self) -> Hashable:
        """Return what differs when a file does. Blocking."""
        return (
            tuple(_content(path, self._limits) for path in self._contents),
            self._elsewhere(),
            tuple(sorted(self._stats())),
        )

    def _stats(self) -> "Iterator[tuple[str, int, int, int, int]]":
        left = self._limits.looked_at_files
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = Path(folder, name)
                if left and self._wanted(path):
                    left -= 1
                    with contextlib.suppress(OSError):
                        found = path.stat()
                        yield (
                            str(path),
                            found.st_ino,
                            found.st_size,
                            found.st_mtime_ns,
                            found.st_ctime_ns,
                        )


def _content(path: Path, limits: Limits) -> str | None:
    """Return a digest of what the file is now, wherever its links lead."""
    try:
        data = read_private(Path(os.path.realpath(path)), limits.operator_config_bytes)
    except SecretError as exc:
        return exc.message
    return None if data is None else hashlib.sha256(data).hexdigest()
