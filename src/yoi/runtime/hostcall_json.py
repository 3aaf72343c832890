"""The JSON of host calls: arguments as they are read, answers and refusals as they are written."""

import base64
from typing import Any, TypeVar

import msgspec

from yoi.connections.pull_socket import PullClosed
from yoi.errors import ServiceError, YoiError
from yoi.limits import LIMITS
from yoi.protocol.depth import more_values_than

Json = Any
_Call = TypeVar("_Call", bound=msgspec.Struct)
_BESIDE = ("retry_after_ms", "may_have_arrived")
"""Fields of an error that a guest is given."""


class HeaderCall(msgspec.Struct, forbid_unknown_fields=True):
    """One header of a request by URL, or of a socket's handshake."""

    name: str
    value: str


class OpenCall(msgspec.Struct, forbid_unknown_fields=True):
    """The argument of websocket.open; without `url` the connection's own."""

    url: str = ""
    protocols: list[str] = []
    headers: list[HeaderCall] | dict[str, str] = []
    query: dict[str, str] = {}
    insert: list[Any] = []
    connection: str | None = None


class UrlCall(msgspec.Struct, forbid_unknown_fields=True):
    """The argument of request.request by URL; the other form is that of the `request` command."""

    method: str
    url: str
    headers: list[HeaderCall] = []
    body: str | None = None


def require_few_values(name: str, text: str) -> None:
    """Raise ServiceError where `text` holds more JSON values than one call may."""
    if more_values_than(LIMITS.json_values, text):
        raise malformed(f"{name}: more than {LIMITS.json_values} JSON values in one call")


def call_object(name: str, asked: str | dict[str, Json]) -> dict[str, Json]:
    """Return the object that a call was given, as JSON text (public world) or as it is."""
    if isinstance(asked, dict):
        return asked
    require_few_values(name, asked)
    try:
        given: dict[str, Json] = msgspec.json.decode(asked, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise malformed(f"{name}: {exc}") from None
    return given


def converted(name: str, given: dict[str, Json], shape: type[_Call]) -> _Call:
    """Return `given` as a `shape`; raises ServiceError for another one."""
    try:
        return msgspec.convert(given, shape)
    except msgspec.ValidationError as exc:
        raise malformed(f"{name}: {exc}") from None


def answered(payload: dict[str, Json]) -> dict[str, Json]:
    """Return the answer in the payload of a `response` event. Raises YoiError if there is none."""
    if payload.pop("ok"):
        return payload
    error = payload["error"]
    raise YoiError(
        error["code"],
        error["message"],
        hint=error.get("hint"),
        **{key: payload[key] for key in _BESIDE if key in payload},
    )


def by_url(payload: dict[str, Json]) -> dict[str, Json]:
    """Return an answer in the shape of a request by URL: a list of headers, and text."""
    body = payload["body"]
    if payload["body_kind"] == "json":
        body = msgspec.json.encode(body).decode()
    return {
        "truncated": False,
        **payload,
        "headers": [{"name": name, "value": value} for name, value in payload["headers"].items()],
        "body": body or "",
    }


def received(got: str | bytes | PullClosed) -> dict[str, Json]:
    """Return what websocket.recv answers."""
    if isinstance(got, str):
        return {"type": "text", "text": got}
    if isinstance(got, bytes):
        return {"type": "binary", "data": base64.b64encode(got).decode()}
    closed: dict[str, Json] = {
        "type": "closed",
        "code": got.code,
        "reason": got.reason,
        "clean": got.clean,
    }
    if got.error is not None:
        closed["error"] = {"code": got.error.code, "message": got.error.message}
    return closed


def refusal(error: YoiError) -> str:
    """Return the JSON text of a refusal."""
    told: dict[str, Json] = {"code": error.code, "message": error.message}
    if error.hint is not None:
        told["hint"] = error.hint
    told |= {key: error.fields[key] for key in _BESIDE if key in error.fields}
    return msgspec.json.encode({"error": told}).decode()


def malformed(message: str) -> ServiceError:
    """Return what to raise for arguments of another shape."""
    return ServiceError("service.call_malformed", message)
