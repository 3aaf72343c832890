"""What comes back from a request: an answer or a failure, both values; and how a body is read."""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

import msgspec

from yoi.connections.request_headers import Headers
from yoi.core.captures import Declared, Taken, take_captures
from yoi.core.redaction import Masker
from yoi.errors import YoiError
from yoi.limits import LIMITS, Limits
from yoi.protocol.depth import more_values_than

Json = Any

_TEXT_TYPES = frozenset(
    {
        "application/graphql",
        "application/javascript",
        "application/json",
        "application/toml",
        "application/x-www-form-urlencoded",
        "application/xml",
        "application/yaml",
    }
)
_TEXT_SUFFIXES = ("+json", "+xml", "+yaml")


class BodyKind(StrEnum):
    """What the body of an answer is to the guest."""

    EMPTY = "empty"
    JSON = "json"
    TEXT = "text"
    BASE64 = "base64"
    WITHHELD = "withheld"
    """Not JSON, from a target whose answers hold values that the guest must not see; or bytes
    that repeat a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What a server answered, whatever its status. Body and headers are not in its repr."""

    ok: Literal[True] = field(default=True, init=False)
    status: int
    headers: Headers = field(repr=False)
    """Lower-case names; `location` only where redirects are returned."""
    body: Json = field(repr=False)
    """A JSON document, text, base64 text, or None: see `body_kind`."""
    body_kind: BodyKind
    size: int = 0
    """Bytes of the body as it came."""
    retry_after_ms: int | None = None
    """For a 429 or 503 that names one; the route answers `request.rate_limited` until then."""

    def relieved_of(
        self, declared: Iterable[Declared], limits: Limits = LIMITS
    ) -> "tuple[HttpAnswer, Taken]":
        """Return the answer as the guest may see it, and what was taken out.

        Everything declared for the target is taken, asked for or not. A body that is not whole JSON
        is withheld while anything is declared: the value may stand in it where no pointer reaches.
        JSON that only some readers take (NaN, half of a surrogate pair) stays text.
        """
        declared = tuple(declared)
        odd = declared and self.body_kind is BodyKind.TEXT and self._says_json
        document = _odd_json(self.body, limits) if odd else None
        if self.body_kind is BodyKind.JSON:
            document = self.body
        taken = take_captures(document, declared, limits)
        if not declared or self.body_kind is BodyKind.EMPTY:
            return self, taken
        if document is None and self.body_kind is not BodyKind.JSON:
            return replace(self, body=None, body_kind=BodyKind.WITHHELD), taken
        body = json.dumps(taken.document) if odd else taken.document
        return replace(self, body=body), taken

    @property
    def _says_json(self) -> bool:
        return _is_json(_media(dict(self.headers).get("content-type", ""))[0])

    def masked(self, masker: Masker) -> "HttpAnswer":
        """Return the answer without what `masker` hides; bytes that hold it are withheld whole."""
        if not masker:
            return self
        headers = tuple((masker.text(name), masker.text(value)) for name, value in self.headers)
        if self.body_kind is not BodyKind.BASE64:
            return replace(self, headers=headers, body=masker.document(self.body))
        if masker.found_in(base64.b64decode(self.body)):
            return replace(self, headers=headers, body=None, body_kind=BodyKind.WITHHELD)
        return replace(self, headers=headers)

    def to_payload(self) -> dict[str, Json]:
        """Return the fields of a `response` event."""
        made: dict[str, Json] = {
            "ok": True,
            "status": self.status,
            "headers": dict(self.headers),
            "body": self.body,
            "body_kind": self.body_kind.value,
        }
        if self.retry_after_ms is not None:
            made["retry_after_ms"] = self.retry_after_ms
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpFailure:
    """Why there is no answer."""

    ok: Literal[False] = field(default=False, init=False)
    error: YoiError
    may_have_arrived: bool = False
    """Whether the server may have acted on it: then its effect is unknown, never repeated."""
    retry_after_ms: int | None = None

    def masked(self, masker: Masker) -> "HttpFailure":
        """Return the failure without what `masker` hides."""
        return replace(self, error=masker.error(self.error))

    def to_payload(self) -> dict[str, Json]:
        """Return the fields of a `response` event."""
        error: dict[str, Json] = {"code": self.error.code, "message": self.error.message}
        if self.error.hint is not None:
            error["hint"] = self.error.hint
        made: dict[str, Json] = {"ok": False, "error": error}
        for key in ("status", "truncated"):
            if key in self.error.fields:
                made[key] = self.error.fields[key]
        if self.may_have_arrived:
            made["may_have_arrived"] = True
        if self.retry_after_ms is not None:
            made["retry_after_ms"] = self.retry_after_ms
        return made


def read_body(data: bytes, content_type: str, encoded: bool) -> tuple[Json, BodyKind]:
    """Return the body for the guest: JSON where it says so and is, else text, else base64.

    JSON of more than `json_values` values, or of more than 1 MiB, is text: the guest may parse it,
    in its own time. `encoded` means a content coding not asked for: nothing is inflated on this
    side, so the bytes are handed over.
    """
    if not data:
        return None, BodyKind.EMPTY
    media, is_text = _media(content_type)
    if encoded or is_text is False:
        return base64.b64encode(data).decode(), BodyKind.BASE64
    small = len(data) <= LIMITS.response_body_bytes
    if _is_json(media) and small and not more_values_than(LIMITS.json_values, data):
        try:
            document = msgspec.json.decode(data)
            # What cannot be written again cannot be handed to the guest.
            msgspec.json.encode(document)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError, ValueError):
            pass
        else:
            return document, BodyKind.JSON
    try:
        return data.decode("utf-8", "strict" if is_text is None else "replace"), BodyKind.TEXT
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), BodyKind.BASE64


def _is_json(media: str) -> bool:
    return media == "application/json" or media.endswith("+json")


def _odd_json(text: str, limits: Limits) -> Json:
    """Return what Python's `json` reads in `text`, as the guest would; None where it cannot."""
    if len(text) > limits.odd_json_chars:
        return None
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return None


def _media(content_type: str) -> tuple[str, bool | None]:
    """Return the media type, and whether it is text; None where the server does not say."""
    media = content_type.partition(";")[0].strip().lower()
    if not media:
        return "", None
    is_text = media.startswith("text/") or media in _TEXT_TYPES or media.endswith(_TEXT_SUFFIXES)
    return media, is_text
