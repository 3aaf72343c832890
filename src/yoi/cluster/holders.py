"""Which machines of a deployment live now, whatever they run."""

import base64

from nats.aio.client import Client

from yoi.cluster.bucket import Entry
from yoi.cluster.tenure import machines_of
from yoi.journal.jetstream_server import asked
from yoi.limits import LIMITS, Limits


async def lease_holders(client: Client, prefix: str, limits: Limits = LIMITS) -> list[str]:
    """Return the names of the machines of `prefix` that live, each once, sorted.

    The stream's leader is asked, never a copy. Raises ClusterError `cluster.unreachable`.
    """
    stream = f"KV_{prefix}_leases"
    told = await asked(client, f"STREAM.INFO.{stream}", {"subjects_filter": ">"}, limits)
    found = []
    for subject in (told.get("state") or {}).get("subjects") or {}:
        got = await asked(client, f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject}, limits)
        message = got.get("message")
        if message is not None:
            key = subject.removeprefix(f"$KV.{prefix}_leases.")
            found.append(Entry(key, 0, base64.b64decode(message.get("data", ""))))
    return sorted(set(machines_of(found).values()))
