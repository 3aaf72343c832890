"""The head of a request or a handshake, as a document that values are put into.

    {"path": ["bot", "sendMessage"], "query": {}, "headers": {}, "basic": {"user": "", ...}}

Its places are those of `[[secrets]]`: /path/0, /query/NAME, /headers/NAME, /basic/password.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yoi.errors import InsertionError
from yoi.runtime.secret_injector import Filled

Json = Any
_HIDDEN = "…"


def head(
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    basic: Mapping[str, Json] | None,
) -> dict[str, Json]:
    """Return the document; a `path` without its slash has no segments to put anything into."""
    made: dict[str, Json] = {
        "path": path.split("/")[1:] if path.startswith("/") else [],
        "query": dict(query),
        "headers": dict(headers),
    }
    if basic is not None:
        made["basic"] = dict(basic)
    return made


@dataclass(frozen=True, slots=True)
class FilledHead:
    """A head with everything in place, as it is about to be sent. Its repr shows nothing of it."""

    path: str
    shown_path: str | None
    """What a person sees of a path that holds a value; None where it holds none."""
    query: dict[str, str]
    headers: dict[str, str]
    inserted_headers: frozenset[str]
    """The lower-case names of those that hold a value."""
    inserted_elsewhere: bool

    def __repr__(self) -> str:
        return "<FilledHead>"


def filled_head(filled: Filled) -> FilledHead:
    """Return what `filled`, made of a `head`, says. Raises InsertionError (`insert.place`)."""
    document = filled.document
    parts = [place.split("/") for place in filled.places]
    headers = _texts(document["headers"], "headers")
    inserted = {part[2].lower() for part in parts if part[1] == "headers"}
    if "basic" in document:
        if any(name.lower() == "authorization" for name in headers):
            raise InsertionError("insert.place", "basic makes the header authorization itself")
        headers["Authorization"] = basic_authorization(document["basic"])
        inserted.add("authorization")
    path, hidden = _texts(dict(enumerate(document["path"])), "path"), set[int]()
    for part in parts:
        if part[1] == "path":
            hidden.add(int(part[2]))
    shown = [_HIDDEN if index in hidden else text for index, text in path.items()]
    return FilledHead(
        path="/" + "/".join(path.values()),
        shown_path="/" + "/".join(shown) if hidden else None,
        query=_texts(document["query"], "query"),
        headers=headers,
        inserted_headers=frozenset(inserted),
        inserted_elsewhere=any(part[1] not in ("headers", "basic") for part in parts),
    )


def basic_authorization(basic: Mapping[str, Json]) -> str:
    """Return the header value for `user` and `password` (RFC 7617 2).

    Raises InsertionError (`insert.place`); no value is quoted.
    """
    user, password = basic.get("user"), basic.get("password")
    if not isinstance(user, str) or not isinstance(password, str):
        raise InsertionError("insert.place", "basic needs user and password, each text or inserted")
    if ":" in user or not (user + password).isprintable():
        raise InsertionError(
            "insert.place", "basic takes no colon in user, and no control characters"
        )
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _texts(value: Mapping[Any, Json], part: str) -> dict[Any, str]:
    for name, item in value.items():
        if not isinstance(item, str):
            raise InsertionError("insert.place", f"{part}.{name} must be text")
    return dict(value)
