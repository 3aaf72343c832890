"""Plain HTTP answers that both servers give: JSON, never cached, never sniffed."""

from typing import Any

from starlette.responses import JSONResponse

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
