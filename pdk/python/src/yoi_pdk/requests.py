"""The command for one HTTP request. The answer comes back as a `ResponseEvent`."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from yoi_pdk.host_command import (
    HostCommand,
    basic_of,
    id_of,
    name_of,
    strings,
    text_of,
)
from yoi_pdk.insertions import Insertion
from yoi_pdk.limits import CAPTURES, REQUEST_HEADERS
from yoi_pdk.message import check_message, insertions


class Request(HostCommand):
    """Send one HTTP request to `target`, a name from `[[request]]` in the manifest.

    The body is `json` or `text`. `basic` is a user and a password, for the header authorization.
    `insert` fills in places of `{path, headers, query, basic, body}`: `/path/0` is the first
    segment of the path, `/basic/password` the password, which stands as None until then. `capture`
    lists captures of the target: those values are taken out of the answer, and the plugin gets
    handles instead. `sign` is a key of `[[secrets]]` with which the host signs the request as the
    manifest says. `id` comes back as `ResponseEvent.command_id`.
    """

    __slots__ = (
        "basic",
        "capture",
        "headers",
        "insert",
        "json",
        "method",
        "path",
        "query",
        "sign",
        "target",
        "text",
    )

    kind: ClassVar[str] = "request"

    def __init__(
        self,
        target: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        basic: "tuple[str | None, str | None] | None" = None,
        json: Any = None,
        text: str | None = None,
        insert: Iterable[Insertion] = (),
        capture: Iterable[str] = (),
        sign: str | None = None,
        id: str | None = None,
    ) -> None:
        self.target = name_of("target", target)
        self.method = name_of("method", method).upper()
        self.path = text_of("path", path)
        if not path or not path.startswith("/"):
            raise ValueError('path must start with "/"')
        self.query = strings("query", query, REQUEST_HEADERS)
        self.headers = strings("headers", headers, REQUEST_HEADERS)
        self.basic = basic_of(basic)
        self.json, self.text = json, text_of("text", text)
        self.insert = insertions(insert)
        # Unlike a message, a request with a text body still has headers and a query to insert into.
        check_message("Request", self.text, json, None, ())
        if isinstance(capture, str):
            raise TypeError('capture takes a list of names, such as ["socket_url"]')
        self.capture = tuple(name_of("capture", name) for name in capture)
        if len(self.capture) > CAPTURES:
            raise ValueError(f"capture may have at most {CAPTURES} names")
        self.sign = None if sign is None else name_of("sign", sign)
        self.id = id_of(id)
