"""OAuth 2 as values: which request comes next, and what an answer means. oauthlib does the rest.

Two ways to a token: a code that a browser brings back (RFC 6749 with PKCE, RFC 7636), or a short
code that a person types on another device (RFC 8628). Nothing here reaches a network or waits.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode

import msgspec
from oauthlib.oauth2 import DeviceClient, OAuth2Error, WebApplicationClient
from oauthlib.oauth2.rfc6749.errors import MismatchingStateError, MissingCodeError

from yoi.display import printable
from yoi.errors import SecretError
from yoi.limits import LIMITS, Limits
from yoi.permissions import REQUEST_SCHEMES, Url
from yoi.secrets.authorizations import ClientAuth
from yoi.types import Secret

_VERIFIER_CHARS = 64
_SLOWER_S = 5
"""RFC 8628, 3.5: what `slow_down` adds to the interval."""
_OURS = frozenset(
    {
        "client_id",
        "client_secret",
        "code",
        "code_challenge",
        "code_challenge_method",
        "code_verifier",
        "device_code",
        "grant_type",
        "redirect_uri",
        "response_type",
        "scope",
        "state",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An authorization server and what this client is to it. The repr shows no secret."""

    token_url: Url
    authorize_url: Url | None = None
    device_url: Url | None = None
    client_id: str
    client_secret: Secret | None = field(default=None, repr=False)
    client_auth: ClientAuth = ClientAuth.BODY
    scopes: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    """A provider's own, such as `access_type=offline`; sent where a person is asked."""

    def __post_init__(self) -> None:
        """Raise SecretError (`secret.flow_settings`) for what cannot be meant."""
        if len(self.scopes) + len(self.parameters) > LIMITS.authorize_options:
            raise _bad(f"more than {LIMITS.authorize_options} scopes and parameters")
        ours = sorted(_OURS & self.parameters.keys())
        if ours:
            raise _bad(f"the parameter {ours[0]} is Yoi's own")
        if not self.client_id.strip():
            raise _bad("the client id is empty")
        if self.client_auth is ClientAuth.BASIC and self.client_secret is None:
            raise _bad("HTTP Basic needs a client secret")

    @property
    def _credentials(self) -> dict[str, str]:
        secret = self.client_secret
        if secret is None or self.client_auth is ClientAuth.BASIC:
            return {}
        return {"client_secret": secret.reveal()}

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return what each request carries as headers: the client's name and secret, or nothing."""
        if self.client_secret is None or self.client_auth is ClientAuth.BODY:
            return ()
        # Both are form-encoded first, so that a colon in the id stays one.
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret.reveal())}"
        return (("Authorization", "Basic " + base64.b64encode(pair.encode()).decode()),)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a person agreed to. The repr shows neither token."""

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)
    expires_in_s: int | None
    scopes: tuple[str, ...]


def endpoint(text: str, what: str) -> Url:
    """Return the URL of an endpoint. Raises SecretError (`secret.flow_settings`) and UrlRefused.

    Tokens pass there, so it is https; http is for this machine alone.
    """
    url = Url.parse(text, REQUEST_SCHEMES)
    if url.scheme != "https" and not url.local:
        raise _bad(f"the {what} {url.display} is not https; a token would be read on the way")
    return url


class BrowserFlow:
    """One authorization by a code that the browser brings to `redirect_uri`. Used once."""

    def __init__(self, provider: Provider, redirect_uri: str, state: str) -> None:
        if provider.authorize_url is None:
            raise _bad("there is no authorize URL for the browser")
        self._provider, self._redirect, self._state = provider, redirect_uri, state
        self._client = WebApplicationClient(provider.client_id)
        self._verifier: str = self._client.create_code_verifier(_VERIFIER_CHARS)
        url = provider.authorize_url
        # oauthlib refuses http, and `endpoint` has allowed it for this machine alone.
        made = self._client.prepare_request_uri(
            f"https{url.href.removeprefix(url.scheme)}",
            redirect_uri=redirect_uri,
            scope=provider.scopes or None,
            state=state,
            code_challenge=self._client.create_code_challenge(self._verifier, "S256"),
            code_challenge_method="S256",
            **provider.parameters,
        )
        self.url: str = url.scheme + made.removeprefix("https")
        """What a person opens."""

    def token_request(self, query: str) -> bytes:
        """Return the body for the token endpoint, after the browser came back with `query`.

        Raises SecretError: `secret.flow_state`, `secret.flow_denied`, `secret.flow_refused`.
        """
        if len(parse_qsl(query)) != len(dict(parse_qsl(query))):
            raise SecretError("secret.flow_answer", "the browser brought a parameter twice")
        try:
            found = self._client.parse_request_uri_response(
                f"https://localhost/?{query}", self._state
            )
        except MismatchingStateError:
            raise SecretError(
                "secret.flow_state",
                "the browser brought an answer to another question; nothing was stored",
            ) from None
        except MissingCodeError:
            raise SecretError("secret.flow_answer", "the browser brought no code") from None
        except OAuth2Error as exc:
            raise _refused(exc) from None
        body: str = self._client.prepare_request_body(
            code=found["code"],
            redirect_uri=self._redirect,
            code_verifier=self._verifier,
            **self._provider._credentials,
        )
        return body.encode()


class _DeviceAnswer(msgspec.Struct):
    device_code: str
    user_code: str
    expires_in: int
    verification_uri: str = ""
    verification_url: str = ""
    """What Google calls it."""
    interval: int = 5


class DeviceFlow:
    """One authorization by a code that a person types elsewhere. Used once."""

    def __init__(self, provider: Provider, limits: Limits = LIMITS) -> None:
        if provider.device_url is None:
            raise _bad("there is no device URL")
        self._provider, self._limits = provider, limits
        self._client = DeviceClient(provider.client_id)
        self._code = ""
        self.user_code = ""
        self.verification_url = ""
        """Where a person types `user_code`."""
        self.interval_s = 0
        self.expires_in_s = 0

    def first_request(self) -> bytes:
        """Return the body that asks the device endpoint for a code."""
        provider = self._provider
        form = {"client_id": provider.client_id, **provider.parameters, **provider._credentials}
        if provider.scopes:
            form["scope"] = " ".join(provider.scopes)
        return urlencode(form).encode()

    def began(self, status: int, text: str) -> None:
        """Take the device endpoint's answer. Raises SecretError (`secret.flow_...`)."""
        if status != 200:
            tokens_of(status, text, self._client)
        try:
            answer = msgspec.json.decode(text, type=_DeviceAnswer)
        except (msgspec.DecodeError, RecursionError):
            raise _unusable("it is no answer of a device endpoint") from None
        where = answer.verification_uri or answer.verification_url
        if not (answer.device_code and answer.user_code and answer.expires_in > 0):
            raise _unusable("it lacks the codes, or their time")
        self._code, self.user_code = answer.device_code, printable(answer.user_code, 64)
        # Shown to be opened: nothing but a URL that policy reads.
        self.verification_url = endpoint(where, "page to open").href
        self.interval_s = min(max(answer.interval, 1), self._limits.authorize_interval_s)
        self.expires_in_s = min(answer.expires_in, self._limits.authorize_ms // 1000)

    def poll_request(self) -> bytes:
        """Return the body that asks the token endpoint whether a person agreed."""
        body: str = self._client.prepare_request_body(
            self._code, include_client_id=True, **self._provider._credentials
        )
        return body.encode()

    def heard(self, status: int, text: str) -> Tokens | None:
        """Return the tokens, or None where a person has not decided yet. Raises SecretError."""
        try:
            return tokens_of(status, text, self._client)
        except SecretError as exc:
            said = exc.fields.get("error")
            if said == "slow_down":
                self.interval_s = min(
                    self.interval_s + _SLOWER_S, self._limits.authorize_interval_s
                )
            elif said != "authorization_pending":
                raise
        return None


def tokens_of(status: int, text: str, client: Any = None) -> Tokens:
    """Return the tokens in a token endpoint's answer.

    Raises SecretError: `secret.flow_refused`, `secret.flow_denied` and `secret.flow_expired` for an
    error of the protocol (`fields["error"]`), `secret.flow_answer` for anything else.
    """
    client = client or WebApplicationClient("")
    try:
        # The scopes are not compared: what a person narrowed is shown, and no fault.
        found = client.parse_request_body_response(text)
        access, refresh = found["access_token"], found.get("refresh_token")
        lasts, scopes = found.get("expires_in"), found.get("scope")
    except OAuth2Error as exc:
        if exc.error and exc.error != "missing_token":
            raise _refused(exc) from None
        raise _unusable(f"HTTP {status} without a token") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _unusable(f"HTTP {status}, and neither a token nor an error") from None
    if status != 200 or not isinstance(access, str) or not access.strip():
        raise _unusable(f"HTTP {status} without a token")
    if refresh is not None and not (isinstance(refresh, str) and refresh.strip()):
        raise _unusable("a refresh token that is no text")
    lasts = int(lasts) if isinstance(lasts, int | float | str) and str(lasts).isdigit() else None
    return Tokens(access, refresh, lasts, _scopes(scopes))


def _scopes(said: Any) -> tuple[str, ...]:
    """Return the scopes in an answer; some servers put commas between them, or make a list."""
    words = said.replace(",", " ").split() if isinstance(said, str) else said
    return tuple(map(str, words)) if isinstance(words, list) else ()


def as_text(body: Any) -> str:
    """Return a decoded answer as the text that oauthlib reads: JSON, or a form as it came."""
    return body if isinstance(body, str) else json.dumps(body)


_CODES = {"access_denied": "secret.flow_denied", "expired_token": "secret.flow_expired"}


def _refused(exc: OAuth2Error) -> SecretError:
    said = printable(str(exc.error), 64)
    more = f": {printable(exc.description, 200)}" if exc.description else ""
    words = {
        "secret.flow_denied": "the request was denied in the browser",
        "secret.flow_expired": "the code is no longer good",
    }
    code = _CODES.get(said, "secret.flow_refused")
    return SecretError(
        code,
        f"{words.get(code, 'the authorization server refused')} ({said}){more}; nothing was stored",
        error=said,
    )


def _unusable(why: str) -> SecretError:
    return SecretError(
        "secret.flow_answer", f"the authorization server's answer cannot be used: {why}"
    )


def _bad(message: str) -> SecretError:
    return SecretError("secret.flow_settings", message, hint="yoi secret authorize --help")


Show = Callable[[str, str | None], None]
"""Tells a person which page to open and, for a device, which code to type there."""
