"""Where a redirect leads, and what the next request is (RFC 9110 15.4, and the Fetch standard)."""

import re
from dataclasses import replace

from yoi.connections.exchange import RawAnswer
from yoi.connections.requests import PreparedRequest
from yoi.errors import RequestFailure, UrlRefused
from yoi.permissions import REQUEST_SCHEMES, Url

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_ABOUT_THE_BODY = ("content-encoding", "content-language", "content-location", "content-type")


def next_request(request: PreparedRequest, answer: RawAnswer) -> PreparedRequest:
    """Return the request that `answer`, a redirect of `request`, leads to; it is not yet allowed.

    Raises RequestFailure (`request.redirect`) for a place that cannot be read in one way only, for
    one that leaves TLS, and, when `request` carries inserted values, for another origin: a secret
    goes where it was granted for, whatever a server says.
    """
    url = _destination(request.url, answer)
    if request.url.secure and not url.secure:
        raise _refused(answer, f"to {url.display} would leave TLS")
    if request.carries_inserted and not _same_origin(request.url, url):
        raise _refused(
            answer,
            f"to {url.display} would take granted values to another origin; "
            "ask for that URL in the first place",
        )
    if not _becomes_get(request.method, answer.status):
        return replace(request, url=url)
    headers = tuple(
        (name, value) for name, value in request.headers if name.lower() not in _ABOUT_THE_BODY
    )
    method = "HEAD" if request.method == "HEAD" else "GET"
    return replace(request, url=url, method=method, headers=headers, body=None)


def _destination(base: Url, answer: RawAnswer) -> Url:
    locations = [value for name, value in answer.headers if name == b"location"]
    if len(locations) != 1 or not locations[0]:
        raise _refused(answer, "has no location, or several")
    try:
        written = locations[0].decode()
    except UnicodeDecodeError:
        raise _refused(answer, "has a location that is not text") from None
    text = written.partition("#")[0]  # a fragment is never sent
    origin = f"{base.scheme}://{base.host_header}"
    if text.startswith("//"):
        text = f"{base.scheme}:{text}"
    elif text.startswith("/"):
        text = origin + text
    elif text.startswith("?"):
        text = origin + base.path + text
    elif not _SCHEME.match(text):
        text = origin + base.path.rpartition("/")[0] + "/" + text
    try:
        return Url.parse(text, REQUEST_SCHEMES)
    except UrlRefused as refused:
        raise _refused(answer, f"leads nowhere that can be asked: {refused.message}") from None


def _becomes_get(method: str, status: int) -> bool:
    return status == 303 or (status in (301, 302) and method == "POST")


def _same_origin(one: Url, other: Url) -> bool:
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def _refused(answer: RawAnswer, why: str) -> RequestFailure:
    return RequestFailure(
        "request.redirect", f"the redirect ({answer.status}) {why}", status=answer.status
    )
