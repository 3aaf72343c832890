"""Plain HTTP answers that both servers give: JSON, never cached, never sniffed."""

from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from yoi.serving.admission import Refused

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def answer(content: Any, status: int = 200) -> JSONResponse:
    """Return `content` as JSON."""
    return JSONResponse(content, status, _HEADERS)


def refusal(why: Refused) -> JSONResponse:
    """Return the answer of the contract: `{"code", "message"}` with its status."""
    response = answer({"code": why.code, "message": why.message}, why.status)
    if why.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if why.status == 503:
        response.headers["Retry-After"] = "10"
    return response


def nothing_here() -> Refused:
    """Return the refusal for what is no route."""
    return Refused(404, "not_found", "there is nothing here")


def application(routes: Sequence[BaseRoute], middleware: Sequence[Middleware] = ()) -> Starlette:
    """Return an app whose every answer has the contract's form, whatever was asked of it."""
    app = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={
            Refused: _refused,
            HTTPException: _http_error,
            Exception: _defect,
        },
    )
    # It would send people on to wherever their Host header says.
    app.router.redirect_slashes = False
    return app


async def _refused(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, Refused)
    return refusal(exc)


async def _http_error(_: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    if exc.status_code == 405:
        response = answer({"code": "method_not_allowed", "message": "not by that method"}, 405)
        response.headers.update(exc.headers or {})
        return response
    return refusal(nothing_here())


async def _defect(_: Request, exc: Exception) -> Response:
    # Starlette raises it again afterwards, so that it is logged with its traceback.
    return answer({"code": "internal", "message": "a defect in Yoi"}, 500)
