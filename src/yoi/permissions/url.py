"""`Url`: the one parsed form that policy judges and the dialler uses.

A WHATWG parser (ada) reads the text, and text that other software could read as another URL is
refused before and after. What is left is canonical ASCII, so the request line, the Host header, SNI
and the certificate name can only be what policy saw.
"""

import re
import unicodedata
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ada_url import URL

from yoi.display import printable
from yoi.errors import UrlRefused
from yoi.limits import LIMITS
from yoi.permissions.hosts import Host, canonical_host

if TYPE_CHECKING:
    from collections.abc import Collection

    from yoi.permissions.hosts import IPAddress

DEFAULT_PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}
WEBSOCKET_SCHEMES = ("ws", "wss")
REQUEST_SCHEMES = ("http", "https")

_DISPLAY_PATH_CHARS = 256
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_AUTHORITY = re.compile(r"://([^/?#]+)")
_PORT = re.compile(r"[1-9][0-9]{0,4}\Z")
_BLANK = re.compile(r"[\x00-\x20\x7f]")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Encoded once or more often: '/', '\' and '.' decoded by a server would change the segments.
_HIDDEN_SEPARATOR = re.compile(r"%(?:25)*(?:2[fF]|5[cC])")
# Bytes that are never UTF-8: old decoders read %c0%af as '/'.
_OVERLONG = re.compile(r"%(?:25)*[cC][01]")
_HIDDEN_CONTROL = re.compile(r"%(?:25)*(?:[01][0-9A-Fa-f]|7[fF])")
_ENCODED_DOT = re.compile(r"%(?:25)*2[eE]")


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Url:
    """A URL that policy accepts; made by `Url.parse` only. Two are equal when `href` is.

    Neither `str` nor `repr` shows the query: tickets and secrets stand there.
    """

    href: str
    """The canonical ASCII URL: scheme, host, non-default port, path, query; nothing else."""
    scheme: str = field(compare=False)
    host: str = field(compare=False)
    """An ASCII name, or an address literal without brackets."""
    ip: "IPAddress | None" = field(compare=False)
    """The address when the host is a literal."""
    port: int = field(compare=False)
    """The port that is dialled: the one written, or the scheme's default."""
    path: str = field(compare=False)
    query: str = field(compare=False)
    host_header: str = field(compare=False)
    """The Host header's value: brackets for IPv6, and the port unless it is the default."""
    request_target: str = field(compare=False)
    """What stands in the request line: path and query."""
    host_value: Host = field(compare=False, repr=False)
    """`host` and `ip` as the value that targets compare and show."""
    shown_path: str | None = field(compare=False, repr=False)
    """What a person sees in place of a path that holds a secret."""

    @classmethod
    def parse(cls, text: str, schemes: "Collection[str]" = WEBSOCKET_SCHEMES) -> "Url":
        """Return the URL in `text`, whose scheme must be in `schemes`.

        At most `url_chars` characters. Raises `UrlRefused`: `url.malformed`, `url.scheme`,
        `url.userinfo`, `url.fragment`, `url.ambiguous`, `url.too_long`.
        """
        scheme, authority = _split(text, schemes)
        raw_host, raw_port = _split_port(authority)
        try:
            parsed = URL(text)
            hostname, port_text, path = parsed.hostname, parsed.port, parsed.pathname
        except ValueError:
            raise UrlRefused(
                "url.malformed",
                f"not a URL: {printable(f'{scheme}://{authority}', 200)}…; "
                "write scheme://host/path with a valid host name or address",
            ) from None
        host = canonical_host(raw_host, hostname)
        _check_path(text, scheme, authority, path)
        default = DEFAULT_PORTS[scheme]
        port = int(raw_port) if raw_port else default
        host_header = host.header if port == default else f"{host.header}:{port}"
        href = parsed.href
        origin = f"{scheme}://{host_header}"
        if not href.startswith(origin + "/") or port != int(port_text or default):
            raise UrlRefused("url.malformed", f"not a canonical URL: {printable(authority, 200)}")
        if len(href) > LIMITS.url_chars:
            raise _too_long(len(href))
        url = object.__new__(cls)
        for name, value in (
            ("href", href),
            ("scheme", scheme),
            ("host", host.name),
            ("ip", host.ip),
            ("port", port),
            ("path", path),
            ("query", parsed.search.removeprefix("?")),
            ("host_header", host_header),
            ("request_target", href[len(origin) :]),
            ("host_value", host),
            ("shown_path", None),
        ):
            object.__setattr__(url, name, value)
        return url

    def hiding(self, shown_path: str) -> "Url":
        """Return the same URL, whose path is a secret: people see `shown_path`."""
        url = copy(self)
        object.__setattr__(url, "shown_path", shown_path)
        return url

    @property
    def server_name(self) -> str | None:
        """The name for SNI and certificate checks; None for an address literal (RFC 6066 3)."""
        return self.host if self.ip is None else None

    @property
    def bracketed_host(self) -> str:
        """The host as it stands in a URL: brackets for IPv6, no port."""
        return self.host_value.header

    @property
    def secure(self) -> bool:
        """Whether the scheme means TLS."""
        return self.scheme in ("wss", "https")

    @property
    def local(self) -> bool:
        """Whether it is this machine, by its name or its address."""
        return self.host == "localhost" or (self.ip is not None and self.ip.is_loopback)

    @property
    def display(self) -> str:
        """The URL for a person: bounded, escaped, punycode beside Unicode, and no query values."""
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        query = "?…" if self.query else ""
        shown = self.path if self.shown_path is None else self.shown_path
        path = printable(shown, _DISPLAY_PATH_CHARS)
        return f"{self.scheme}://{self.host_value.display}{port}{path}{query}"

    def __str__(self) -> str:
        return self.display

    def __repr__(self) -> str:
        return f"Url({self.display!r})"


def _split(text: object, schemes: "Collection[str]") -> tuple[str, str]:
    """Return the scheme and the raw authority of `text`, having refused what parsers differ on."""
    if not isinstance(text, str):
        raise UrlRefused("url.malformed", f"a URL is text, not {type(text).__name__}")
    if len(text) > LIMITS.url_chars:
        raise _too_long(len(text))
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise UrlRefused("url.malformed", "the URL has a lone surrogate, which is not text")
    if _BLANK.search(text):
        raise UrlRefused(
            "url.ambiguous",
            "the URL has a space or control character; remove it, or write it as %20 and the like",
        )
    if "\\" in text:
        raise UrlRefused(
            "url.ambiguous", "the URL has a backslash; write / for a separator or %5C in the query"
        )
    found = _SCHEME.match(text)
    wanted = " or ".join(f"{name}://" for name in schemes)
    if found is None:
        raise UrlRefused("url.malformed", f"the URL has no scheme; start it with {wanted}")
    scheme = found[1].lower()
    if scheme not in schemes or scheme not in DEFAULT_PORTS:
        raise UrlRefused(
            "url.scheme", f"the scheme {printable(scheme, 40)}: cannot be used here; use {wanted}"
        )
    written = _AUTHORITY.match(text, found.end() - 1)
    if written is None:
        raise UrlRefused(
            "url.ambiguous",
            f"the URL has no plain host after {scheme}:; write {scheme}://host/path",
        )
    authority = written[1]
    if "@" in authority:
        raise UrlRefused(
            "url.userinfo",
            "the URL has a user name or password before its host; remove it and the '@' "
            "(credentials are granted as secrets)",
        )
    if "#" in text:
        raise UrlRefused(
            "url.fragment",
            "the URL has a fragment, which is never sent; remove '#' and what follows, "
            "or write %23",
        )
    if "%" in authority:
        raise UrlRefused(
            "url.ambiguous",
            "the host is percent-encoded or has a zone; write the name itself, without '%'",
        )
    return scheme, authority


def _split_port(authority: str) -> tuple[str, str]:
    """Return the raw host and the raw port ('' when none is written)."""
    if authority.startswith("["):
        inside, bracket, rest = authority.partition("]")
        host, colon, port = inside + bracket, rest[:1], rest[1:]
        if rest and colon != ":":
            raise UrlRefused(
                "url.malformed", "after an IPv6 address comes ':port' or '/'; write [2001:db8::1]"
            )
    else:
        host, colon, port = authority.rpartition(":")
    if not colon:
        return authority, ""
    if port.isascii() and port.isdigit() and int(port[:16]) > 65535:
        raise UrlRefused("url.malformed", "the port is over 65535; write 1 to 65535")
    if port == "0":
        raise UrlRefused("url.malformed", "port 0 cannot be dialled; write 1 to 65535")
    if not _PORT.match(port):
        raise UrlRefused(
            "url.ambiguous",
            f"the port {printable(port, 20)!r} is not a plain number; write 1 to 65535 without "
            "leading zeros, or leave the ':' out",
        )
    if ":" in host and host[0] != "[":
        raise UrlRefused("url.malformed", "an IPv6 address stands in brackets: [2001:db8::1]")
    return host, port


def _check_path(text: str, scheme: str, authority: str, path: str) -> None:
    """Refuse a path whose segments a server could read otherwise than policy does."""
    raw = text[len(scheme) + 3 + len(authority) :].partition("?")[0]
    if raw.startswith("//"):
        raise UrlRefused(
            "url.ambiguous", "the path starts with '//', which may be read as a host; write one '/'"
        )
    if _BAD_PERCENT.search(raw):
        raise UrlRefused(
            "url.ambiguous", "the path has a '%' without two hex digits; write %25 for the sign"
        )
    if _HIDDEN_SEPARATOR.search(raw):
        raise UrlRefused(
            "url.ambiguous",
            "the path has an encoded slash or backslash, which servers decode differently; "
            "write / or put the value in the query",
        )
    if _HIDDEN_CONTROL.search(raw):
        raise UrlRefused("url.ambiguous", "the path has an encoded control character; remove it")
    if _OVERLONG.search(raw):
        raise UrlRefused("url.ambiguous", "the path has bytes that are not UTF-8; remove them")
    plain = _ENCODED_DOT.sub(".", raw)
    if _has_dot_segment(plain):
        instead = (
            "remove it"
            if _has_dot_segment(_ENCODED_DOT.sub(".", path))
            else f"write {printable(path, 200)}"
        )
        raise UrlRefused("url.ambiguous", f"the path has a '.' or '..' segment; {instead}")
    decoded = unquote(plain)
    if not decoded.isascii():
        folded = unicodedata.normalize("NFKC", decoded)
        same = folded.count("/") == decoded.count("/") and "\\" not in folded
        if not same or _has_dot_segment(folded):
            raise UrlRefused(
                "url.ambiguous",
                "the path has a character that some servers turn into '/', '\\' or '.'; remove it",
            )


def _has_dot_segment(path: str) -> bool:
    # Servers that know path parameters read `..;x` as `..`.
    return any(segment.partition(";")[0] in (".", "..") for segment in path.split("/"))


def _too_long(chars: int) -> UrlRefused:
    return UrlRefused(
        "url.too_long",
        f"the URL has {chars} characters; at most {LIMITS.url_chars} are sent",
    )
