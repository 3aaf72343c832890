"""Judges a run by what others have recorded: the stream on the NATS servers, and the gateways."""

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from struct import unpack_from
from typing import Any, Protocol

import nats.errors
from nats.aio.client import Client

from takeovers.records import Answer, Signing
from yoi.cluster.bucket import Bucket
from yoi.errors import YoiError
from yoi.journal.jetstream_server import NatsSettings, connected
from yoi.protocol import service_log as log
from yoi.workers import items

_PAGE = 200
_TOLD_EVERY = 20
SLACK_S = 0.25
"""How late this process may look at a socket: both it and the servers share a busy machine."""


@dataclass
class Lane:
    """What the stream holds about one service."""

    accepted: dict[str, int] = field(default_factory=dict)
    """By event id, which frame it is, in the order in which the log took them."""
    handled: list[str] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    begun: list[tuple[float, int]] = field(default_factory=list)
    """When each owner began, by the servers' clock, and its epoch."""
    head: int = 0
    missed: int = 0
    """Records that were trimmed before they were read."""


class Stream:
    """Reads all that is stored in the stream of the logs, as it is stored."""

    def __init__(self, servers: NatsSettings) -> None:
        self.lanes: dict[str, Lane] = defaultdict(Lane)
        self.notified: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
        """By worker, whose command each of its notifications is."""
        self.pids: dict[str, int] = {}
        """Which process each session of a machine is, as its lease says."""
        self.owners: dict[tuple[str, int], str] = {}
        """Which session owned each service under each epoch, as the records of the units say."""
        self._servers = servers
        self._next = 1
        self._revision = 0
        self._client: Client | None = None

    async def follow(self) -> None:
        """Read until cancelled; servers that die meanwhile are waited for."""
        while True:
            with contextlib.suppress(nats.errors.Error, YoiError, TimeoutError, OSError):
                await self.look()
            await asyncio.sleep(0.05)

    async def look(self) -> None:
        """Read what is there now."""
        if self._client is None:
            self._client = await connected(self._servers)
        client = self._client
        inbox = client.new_inbox()
        heard = await client.subscribe(inbox, pending_msgs_limit=0, pending_bytes_limit=0)
        try:
            await self._look_at_owners(client)
            while await self._page(client, inbox, heard):
                pass
        finally:
            with contextlib.suppress(nats.errors.Error):
                await heard.unsubscribe()

    async def _look_at_owners(self, client: Client) -> None:
        for one in await Bucket(client, f"{self._servers.prefix}_leases").since():
            kind, _, session = one.key.partition(".")
            if kind == "host" and one.data and "pid" in (told := json.loads(one.data)):
                self.pids[session] = told["pid"]
        for one in await Bucket(client, f"{self._servers.prefix}_units").since(self._revision):
            self._revision = one.revision
            told = json.loads(one.data)
            kind, _, name = one.key.partition(".")
            if kind == "service" and told.get("session"):
                self.owners[name, told["epoch"]] = told["session"]

    async def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.close()

    async def _page(self, client: Client, inbox: str, heard: Any) -> bool:
        request = {"seq": self._next, "next_by_subj": f"{self._servers.logs}>", "batch": _PAGE}
        await client.publish(
            f"$JS.API.DIRECT.GET.{self._servers.stream}", json.dumps(request).encode(), reply=inbox
        )
        count = 0
        while True:
            message = await heard.next_msg(timeout=2)
            headers = message.headers or {}
            if "Status" in headers or "Nats-Sequence" not in headers:
                return count == _PAGE
            number = int(headers["Nats-Sequence"])
            if number < self._next:
                continue
            self._next, count = number + 1, count + 1
            name = headers["Nats-Subject"].removeprefix(self._servers.logs)
            at = datetime.fromisoformat(headers["Nats-Time-Stamp"][:26].rstrip("Z") + "+00:00")
            status, data = headers["Yoi-Status"], message.data
            if self._servers.seal is not None:
                data = self._servers.seal.open(f"log {name}", status, data)
            self._take(name, int(status.split()[0]), at.timestamp(), data)

    def _take(self, name: str, head: int, at: float, data: bytes) -> None:
        records, place = [], 0
        while place < len(data):
            (size,) = unpack_from(">I", data, place)
            records.append(data[place + 4 : place + 4 + size])
            place += 4 + size
        kind, _, of = name.partition(":")
        if kind == "worker":
            for data in records:
                item = items.decode_item(data)
                if isinstance(item, items.SystemItem):
                    said = item.provenance
                    self.notified[of].append((said.plugin, said.event_id, said.command_id))
            return
        lane = self.lanes[of]
        lane.missed += max(0, head - len(records) - lane.head)
        lane.head = head
        for number, data in enumerate(records, head - len(records) + 1):
            match log.decode(data, number):
                case log.Begun() as entry:
                    lane.begun.append((at, entry.epoch))
                case log.Accepted(frame=log.Frame() as frame) as entry:
                    lane.accepted.setdefault(
                        entry.event_id, json.loads(frame.text).get("number", 0)
                    )
                case log.Handled() as entry:
                    lane.handled.append(entry.event_id)
                case log.Dead() as entry:
                    lane.dead.add(entry.event_id)


class Noted(Protocol):
    """What a gateway has noted."""

    answers: list[Answer]
    tells: bool
    """Whether its service notifies a worker of each twentieth frame."""

    @property
    def signing(self) -> Signing | None:
        """Return the account of its sessions, where it has any."""


def judge(stream: Stream, gateways: Mapping[str, Noted]) -> dict[str, float]:
    """Return the account of a run."""
    found: dict[str, float] = defaultdict(float)
    for name, lane in sorted(stream.lanes.items()):
        found["accepted"] += len(lane.accepted)
        found["lost"] += len(lane.accepted.keys() - lane.dead - set(lane.handled))
        found["unread"] += lane.missed
        order = {event: place for place, event in enumerate(lane.accepted)}
        places = [order[one] for one in lane.handled if one in order]
        found["reordered"] += sum(b < a for a, b in pairwise(places))
        found["handled_twice"] += len(places) - len(set(places))
        epochs = [epoch for _, epoch in lane.begun]
        found["epochs_decreasing"] += sum(b < a for a, b in pairwise(epochs))
        found["owners"] += len(epochs)
        # What was held on its way was sent before what another socket brought meanwhile.
        said = sorted(gateways[name].answers, key=lambda one: one.at)
        numbers = [one.number for one in said if not one.merged]
        # Of what came twice and was merged, the one that was sent first may have been held.
        first: dict[tuple[int, int], Answer] = {}
        for one in said:
            first.setdefault((one.number, one.count), one)
        found["effects_repeated"] += len(numbers) - len(set(numbers))
        back = [(a, b) for a, b in pairwise(first.values()) if b.count <= a.count]
        if back:
            print(f"{name}: a count went back: {back[:3]}")
        found["count_went_back"] += len(back)
        pids = {epoch: stream.pids.get(stream.owners.get((name, epoch), ""), 0) for epoch in epochs}
        unknown = [epoch for epoch, pid in pids.items() if not pid]
        if unknown:
            print(f"{name}: no process is known of the epochs {unknown}")
        found["owners_unknown"] += len(unknown)
        stale, double_ms = _overlaps(lane, said, pids)
        found["sends_by_stale_owner"] += stale
        found["double_owner_ms_max"] = max(found["double_owner_ms_max"], double_ms)
    told = {(plugin, event) for each in stream.notified.values() for plugin, event, _ in each}
    for name, lane in stream.lanes.items():
        if gateways[name].tells:
            handled = {one for one in lane.handled if lane.accepted.get(one, 1) % _TOLD_EVERY == 0}
            missing = [one for one in handled if (name, one) not in told]
            if missing:
                print(f"{name}: no worker was told of {missing[:3]}")
            found["notifies_lost"] += len(missing)
    for one in gateways.values():
        if one.signing is not None:
            _add(found, one.signing)
    for each in stream.notified.values():
        found["notified"] += len(each)
        found["notifies_repeated"] += len(each) - len(set(each))
    return dict(found)


def _add(found: dict[str, float], signing: Signing) -> None:
    """Add the account of the sessions of one gateway."""
    found["identifies"] += signing.identifies
    found["identifies_unneeded"] += signing.identifies_unneeded
    found["resumes"] += signing.resumes
    found["resumed_wrongly"] += signing.resumed_wrongly + signing.wrong_tokens
    found["unanswered"] += len(signing.unanswered)
    found["answered_twice"] += signing.answered_twice
    found["merged"] += signing.merged


def _overlaps(lane: Lane, answers: list[Answer], pids: dict[int, int]) -> tuple[int, float]:
    """Return what others sent while an owner had the log, and how long after it began."""
    stale, longest = 0, 0.0
    ends = [at for at, _ in lane.begun[1:]] + [float("inf")]
    for (began, epoch), ended in zip(lane.begun, ends, strict=True):
        theirs = [one for one in answers if began <= one.at < ended and one.pid != pids[epoch]]
        longest = max([longest, *((one.at - began) * 1000 for one in theirs)])
        late = [one for one in theirs if one.at > began + SLACK_S]
        if late:
            print(f"{len(late)} answers of others than {pids[epoch]} since {began}: {late[:3]}")
        stale += len(late)
    return stale, round(longest, 1)
