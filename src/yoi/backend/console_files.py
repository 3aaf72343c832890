"""The console's files, read once from the package: no request ever becomes a path."""

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from yoi.serving.answers import nothing_here

_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "woff2": "font/woff2",
    "png": "image/png",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self' ws://{host} wss://{host}; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing from elsewhere, nothing inline, and no text ever becomes markup."""


class ConsoleFiles:
    """The files below `console/`, by the path they are served at."""

    def __init__(self) -> None:
        folder = files("yoi.backend") / "console"
        self._files = {
            path: _Served(found, _TYPES[found.name.rpartition(".")[2]])
            for path, found in _found(folder)
        }

    def routes(self) -> list[Route]:
        """Return the routes `/` and `/assets/*`."""
        return [
            Route("/", self._serve, methods=["GET"]),
            Route("/assets/{path:path}", self._serve, methods=["GET"]),
        ]

    async def _serve(self, request: Request) -> Response:
        served = self._files.get(request.url.path)
        if served is None:
            raise nothing_here()
        headers = {
            # The authenticator let this Host in, so it is one of the listener's names.
            "Content-Security-Policy": _POLICY.format(host=request.headers["host"]),
            "Cache-Control": "no-cache",
            "ETag": served.tag,
        }
        if served.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(served.content, media_type=served.type, headers=headers)


class _Served:
    def __init__(self, found: Traversable, media_type: str) -> None:
        self.content = found.read_bytes()
        self.type = media_type
        self.tag = f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


def _found(folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    index = folder / "index.html"
    if index.is_file():
        yield "/", index
    assets = folder / "assets"
    if assets.is_dir():
        for found in assets.iterdir():
            if found.is_file() and found.name.rpartition(".")[2] in _TYPES:
                yield f"/assets/{found.name}", found
