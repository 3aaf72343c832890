"""`yoi secret authorize`: the flows of `yoi.secrets.authorize` over checked requests."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

from yoi.connections import HttpFailure, PreparedRequest
from yoi.connections.callback import Callback
from yoi.connections.request_client import RequestClient
from yoi.connections.requests import Redirects
from yoi.errors import SecretError
from yoi.limits import LIMITS, Limits
from yoi.permissions import Decision, Url
from yoi.secrets.authorize import (
    BrowserFlow,
    DeviceFlow,
    Provider,
    Show,
    Tokens,
    as_text,
    tokens_of,
)

Sleep = Callable[[float], Awaitable[None]]
_STATE_BYTES = 32
_NAME = "yoi secret authorize"


class Authorizing:
    """One authorization with `provider`; `show` tells a person what to open. Used once.

    Requests go to the endpoints that the operator named and to no other: redirects are refused.
    Every error is a YoiError, and nothing is stored here.
    """

    def __init__(
        self,
        provider: Provider,
        client: RequestClient,
        show: Show,
        limits: Limits = LIMITS,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._provider, self._client, self._show = provider, client, show
        self._limits, self._sleep = limits, sleep

    async def by_browser(self, port: int = 0) -> Tokens:
        """Return the tokens after a person agreed in a browser on this machine."""
        async with Callback(port, self._limits) as callback:
            flow = BrowserFlow(
                self._provider, callback.redirect_uri, secrets.token_urlsafe(_STATE_BYTES)
            )
            self._show(flow.url, None)
            try:
                async with asyncio.timeout(self._limits.authorize_ms / 1000):
                    query = await callback.query()
            except TimeoutError:
                raise _too_late(self._limits.authorize_ms // 1000) from None
        status, text = await self._post(self._provider.token_url, flow.token_request(query))
        return tokens_of(status, text)

    async def by_device(self) -> Tokens:
        """Return the tokens after a person typed the code on another device."""
        flow = DeviceFlow(self._provider, self._limits)
        assert self._provider.device_url is not None  # the flow has looked
        flow.began(*await self._post(self._provider.device_url, flow.first_request()))
        self._show(flow.verification_url, flow.user_code)
        waited = 0
        while waited + flow.interval_s <= flow.expires_in_s:
            waited += flow.interval_s
            await self._sleep(flow.interval_s)
            tokens = flow.heard(*await self._post(self._provider.token_url, flow.poll_request()))
            if tokens is not None:
                return tokens
        raise _too_late(flow.expires_in_s)

    async def _post(self, url: Url, body: bytes) -> tuple[int, str]:
        """Return status and text of the answer; raises the RequestFailure of a failed request."""

        def authorise(method: str, url: Url) -> Decision:
            # The operator typed it: a name of this network may be meant, and is reached.
            return Decision(allowed=True, private_addresses=True)

        answer = await self._client.send(
            PreparedRequest(
                plugin=_NAME,
                command_id=secrets.token_hex(16),
                target="",
                method="POST",
                url=url,
                headers=(
                    ("Accept", "application/json"),
                    ("Content-Type", "application/x-www-form-urlencoded"),
                    *self._provider.headers,
                ),
                body=body,
                inserted_headers=frozenset(name.lower() for name, _ in self._provider.headers),
                inserted_elsewhere=True,
                redirects=Redirects.RETURN,
            ),
            authorise,
        )
        if isinstance(answer, HttpFailure):
            if answer.error.code == "request.answer_too_large":
                raise SecretError("secret.flow_answer", f"{url.display}: {answer.error.message}")
            raise answer.error
        if 300 <= answer.status < 400:
            raise SecretError(
                "secret.flow_answer",
                f"{url.display} answered with a redirect ({answer.status}), which is not followed: "
                "name the endpoint itself",
            )
        return answer.status, as_text(answer.body)


def _too_late(seconds: int) -> SecretError:
    return SecretError(
        "secret.flow_expired",
        f"nobody agreed within {seconds} seconds; nothing was stored",
        hint="yoi secret authorize --help",
    )
