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
