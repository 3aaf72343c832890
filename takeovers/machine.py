"""One machine of the deployment: a process of Yoi, and its ways to all others."""

from pathlib import Path
from typing import TYPE_CHECKING

from takeovers.process import YoiProcess
from yoi.control.wire import HOST

if TYPE_CHECKING:
    from takeovers.network import Forward, Proxy


class Machine(YoiProcess):
    """Runs `yoi serve`, or `yoi runtime` where backends watch it."""

    def __init__(self, folder: Path, name: str, *, watched: bool) -> None:
        words = ("runtime",) if watched else ("serve", "--port", "0")
        super().__init__(folder, name, HOST, *words, "--verbose")
        self.cuts: list[Forward] = []
        """Before each server."""
        self.proxy: Proxy
        """Before all gateways."""
        self.listener: Forward | None = None
        """Before where it listens for backends."""
        self._wrong_by = self.folder / "clock"

    def go_wrong(self, rate: float) -> None:
        """Let its clocks run at `rate`."""
        self.set_clock(0)
        self.program = ("takeovers.clocks", str(rate), str(self._wrong_by))

    def set_clock(self, seconds: int) -> None:
        """Let its wall clock be off by so much."""
        new = self._wrong_by.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._wrong_by)
