"""Posts alerts to the URL that the operator names in host.toml, through the checked dialler."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from yoi.connections import PreparedRequest, RequestClient
from yoi.errors import RequestFailure
from yoi.permissions import Decision, Url

_LOST = 300
"""From this status on, the receiver has not taken it."""


def webhook(
    url: Url | None, client: RequestClient
) -> Callable[[dict[str, Any]], Awaitable[None]] | None:
    """Return what posts an alert to `url` as JSON, or None without one.

    It raises YoiError where the receiver did not take it. A redirect is not followed elsewhere.
    """
    if url is None:
        return None

    async def post(about: dict[str, Any]) -> None:
        prepared = PreparedRequest(
            plugin="alerts",
            command_id=f"{about['scope']}:{about['alert']}:{about['state']}:{about['at']}",
            target="webhook",
            method="POST",
            url=url,
            headers=(("Content-Type", "application/json"),),
            body=msgspec.json.encode(about),
        )
        own = prepared.target_url.href

        def authorise(method: str, asked: Url) -> Decision:
            # The operator decided this one URL; it may well be inside the own network.
            if asked.href == own:
                return Decision(allowed=True, private_addresses=True)
            return Decision(allowed=False, message="the webhook redirects elsewhere")

        answer = await client.send(prepared, authorise)
        if not answer.ok:
            # Receivers put their credential into the path: errors are logged without it.
            message = answer.error.message.replace(url.display, "the webhook")
            if len(url.path) > 1:
                message = message.replace(url.path, "/…")
            raise RequestFailure(answer.error.code, message)
        if answer.status >= _LOST:
            raise RequestFailure("request.status", f"the webhook answered {answer.status}")

    return post
