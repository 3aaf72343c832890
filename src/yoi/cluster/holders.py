"""Which hosts hold a lease of a deployment now, whatever its units are."""

import base64
import json
from typing import Any

from nats.aio.client import Client

from yoi.journal.jetstream_server import asked
from yoi.limits import LIMITS, Limits

_GONE = ("DEL", "PURGE")


async def lease_holders(client: Client, prefix: str, limits: Limits = LIMITS) -> list[str]:
    """Return what the holders of the leases of `prefix` call themselves, each once, sorted.

    The stream's leader is asked, never a copy. Raises ClusterError `cluster.unreachable`.
    """
    stream = f"KV_{prefix}_leases"
    told = await asked(client, f"STREAM.INFO.{stream}", {"subjects_filter": ">"}, limits)
    found = set()
    for subject in (told.get("state") or {}).get("subjects") or {}:
        got = await asked(client, f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject}, limits)
        message = got.get("message")
        if message is not None and not _is_gone(message):
            found.add(_holder(message))
    return sorted(found)


def _is_gone(message: dict[str, Any]) -> bool:
    headers = base64.b64decode(message.get("hdrs", "")).decode(errors="replace")
    return any(f"KV-Operation: {how}" in headers for how in _GONE)


def _holder(message: dict[str, Any]) -> str:
    try:
        told = json.loads(base64.b64decode(message.get("data", "")))
        return str(told["holder"]).rpartition(":")[0] or str(told["holder"])
    except (ValueError, KeyError, TypeError):
        return "another host"
