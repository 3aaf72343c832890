"""The fields of a command's payload, taken one by one; what does not fit is refused by name."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from yoi.errors import GuestRefused
from yoi.limits import LIMITS
from yoi.permissions import JsonPointer, PointerFault
from yoi.permissions.match import Match
from yoi.protocol.parts import fills_a_text, inside_a_part, parts_fault

Json = Any
MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A text, or a JSON document or parts with places to insert into."""

    text: str | None
    document: Json
    insert: tuple[Json, ...]
    parts: bool = False
    """Whether `document` is a list of parts to write one after the other."""


class Fields:
    """The fields of one payload, taken once each; what is left over is refused."""

    def __init__(self, kind: str, payload: Mapping[str, Any]) -> None:
        self._kind = kind
        self._left = dict(payload)

    def malformed(self, message: str) -> GuestRefused:
        """Return the refusal of this payload."""
        return GuestRefused("service.command_malformed", f"{self._kind}: {message}")

    def text(self, key: str, max_chars: int = LIMITS.name_bytes) -> str:
        """Return the required non-empty string `key`."""
        value = self.optional_text(key, max_chars)
        if not value:
            raise self.malformed(f"{key} must be a non-empty string")
        return value

    def optional_text(self, key: str, max_chars: int = LIMITS.name_bytes) -> str | None:
        """Return the string `key`, or None where it is absent or null."""
        value = self._left.pop(key, None)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.malformed(f"{key} must be a string")
        if len(value) > max_chars:
            raise self.malformed(f"{key} is over {max_chars} characters")
        return value

    def optional_data(self, key: str) -> bytes | None:
        """Return the bytes `key`, also written in base64, or None where they are absent."""
        value = self._left.pop(key, None)
        if value is None or isinstance(value, bytes):
            return value
        if not isinstance(value, str):
            raise self.malformed(f"{key} must be base64")
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise self.malformed(f"{key} must be base64") from None

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Return the whole number `key`, from `low` to `high`."""
        value = self._left.pop(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.malformed(f"{key} must be a whole number from {low} to {high}")
        return value

    def value(self, key: str) -> Json:
        """Return the JSON value `key`, `MISSING` where it is absent."""
        return self._left.pop(key, MISSING)

    def items(self, key: str, most: int) -> tuple[Json, ...]:
        """Return the list `key`, empty where it is absent."""
        value = self._left.pop(key, None)
        if value is None:
            return ()
        if not isinstance(value, list) or len(value) > most:
            raise self.malformed(f"{key} must be a list of at most {most}")
        return tuple(value)

    def strings(self, key: str, most: int) -> dict[str, str]:
        """Return the object of strings `key`, empty where it is absent."""
        value = self._left.pop(key, None)
        if value is None:
            return {}
        if not isinstance(value, dict) or len(value) > most:
            raise self.malformed(f"{key} must be an object of at most {most} strings")
        for name, item in value.items():
            if not isinstance(item, str) or not name:
                raise self.malformed(f"{key} must be an object of strings")
        return value

    def yes(self, key: str) -> bool:
        """Return the boolean `key`, False where it is absent."""
        value = self._left.pop(key, False)
        if not isinstance(value, bool):
            raise self.malformed(f"{key} must be true or false")
        return value

    def optional_pointer(self, key: str) -> JsonPointer | None:
        """Return the JSON pointer `key`, or None where it is absent or null."""
        value = self._left.pop(key, None)
        if value is None:
            return None
        try:
            return JsonPointer.parse(value)
        except PointerFault as exc:
            raise self.malformed(f"{key} must be a JSON pointer: it {exc}") from None

    def match(self, key: str) -> Match | None:
        """Return the `{at, equals | one_of | prefix}` under `key`, or None."""
        value = self._left.pop(key, None)
        if value is None:
            return None
        tests = ("equals", "one_of", "prefix")
        if (
            not isinstance(value, dict)
            or "at" not in value
            or len(value) != 2
            or not any(test in value for test in tests)
        ):
            raise self.malformed(f"{key} must be {{at}} with one of {', '.join(tests)}")
        try:
            at = None if value["at"] == "" else JsonPointer.parse(value["at"])
        except PointerFault as exc:
            raise self.malformed(f'{key}.at must be "" or a JSON pointer: it {exc}') from None
        if "prefix" in value:
            prefix = value["prefix"]
            if not isinstance(prefix, str) or not 1 <= len(prefix) <= LIMITS.match_prefix_chars:
                raise self.malformed(
                    f"{key}.prefix must be a string of 1 to {LIMITS.match_prefix_chars} characters"
                )
            return Match(at, prefix=prefix)
        test = "one_of" if "one_of" in value else "equals"
        values = value["one_of"] if test == "one_of" else [value["equals"]]
        if not isinstance(values, list) or not 1 <= len(values) <= LIMITS.match_values:
            raise self.malformed(f"{key}.one_of must list 1 to {LIMITS.match_values} values")
        if at is None and not all(isinstance(one, str) for one in values):
            raise self.malformed(f"{key}.{test}: the whole text is compared with a string")
        if len(msgspec.json.encode(values)) - 2 > LIMITS.last_value_bytes:
            raise self.malformed(f"{key}.{test} is over {LIMITS.last_value_bytes} bytes")
        return Match(at, tuple(values))

    def message(self, max_chars: int = LIMITS.command_payload_bytes) -> OutgoingMessage | None:
        """Return the `text`, `json` or `parts` to send with its `insert`, or None without any."""
        text = self.optional_text("text", max_chars)
        document = self.value("json")
        parts = self.value("parts")
        insert = self.items("insert", LIMITS.insertions)
        given = (text is not None) + (document is not MISSING) + (parts is not MISSING)
        if not given:
            if insert:
                raise self.malformed("insert needs json or parts to insert into")
            return None
        if given > 1:
            raise self.malformed("only one of text, json and parts can be sent")
        if text is not None and insert:
            raise self.malformed("insert needs json or parts: nothing is ever substituted in text")
        if parts is not MISSING:
            self._check_parts(parts, insert, max_chars)
            return OutgoingMessage(None, parts, insert, parts=True)
        return OutgoingMessage(text, None if document is MISSING else document, insert)

    def _check_parts(self, parts: Json, insert: tuple[Json, ...], max_chars: int) -> None:
        fault = parts_fault(parts, insert, max_chars)
        if fault is not None:
            raise GuestRefused("service.parts", f"{self._kind}: {fault}")
        for item in insert:
            at = item.get("at") if isinstance(item, dict) else ""
            if isinstance(item, dict) and not inside_a_part(at) and not fills_a_text(at, parts):
                raise GuestRefused(
                    "service.parts",
                    f"{self._kind}: a value is inserted inside a document of parts: "
                    "/1/token is the place token of the second part. A whole part is filled where "
                    "it is null, by a secret that is granted for the text before it",
                )

    def standing_message(self) -> OutgoingMessage | None:
        """Return the message that is sent again and again, by itself, as `message` does."""
        found = self.message()
        if found is not None:
            size = len(found.text or "") + len(msgspec.json.encode(found.document))
            if size > LIMITS.standing_message_bytes:
                raise self.malformed(
                    f"the message has {size} bytes; the bound of one that the host repeats is "
                    f"{LIMITS.standing_message_bytes}"
                )
        return found

    def done(self) -> None:
        """Refuse each field that was not read."""
        for key in self._left:
            raise self.malformed(f"there is no field {key!r}")
