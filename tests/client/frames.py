"""Frames as servers send them, and snapshots as small as they may be."""

import itertools
import json

from yoi.protocol.observation import DiagnosticFrame, Hop, encode_frame, observation_diagnostic

EPOCH = "ab" * 8
GREETING = {"worker_name": "w", "provider": "p", "model": "m", "tools": []}


def snapshot(*texts):
    entries = [
        {"seq": place, "type": "user_input", "at_ms": 0, "text": text}
        for place, text in enumerate(texts, 1)
    ]
    data = {"entries": entries, "greeting": GREETING, "status": "idle"}
    return {"event": "snapshot", "data": data}


_places = itertools.count(1000)


def said(text, place=None):
    place = next(_places) if place is None else place
    segments = [{"kind": "text", "text": text}]
    return {"event": "user_message", "data": {"segments": segments, "seq": place, "at_ms": 0}}


def event(seq, payload, *, epoch=EPOCH, cursor=None, suffix="", runtime="local", **names):
    envelope = {
        "cursor": cursor or f"{epoch[:4]}.{seq}",
        "event_id": f"{epoch}-{seq}{suffix}",
        **({"runtime_id": runtime} if runtime else {}),
        **(names or {"worker_id": "w"}),
        "payload": payload,
    }
    return json.dumps({"kind": "event", "envelope": envelope})


def base(seq, *texts, **rest):
    return event(seq, snapshot(*texts), suffix=".s", **rest)


def resumed(cursor):
    return json.dumps({"kind": "resumed", "cursor": cursor})


def bookmark(cursor, up_to_date=True):
    return json.dumps({"kind": "bookmark", "cursor": cursor, "up_to_date": up_to_date})


def told(name, **fields):
    return encode_frame(
        DiagnosticFrame(observation_diagnostic(Hop.BACKEND, name, **fields))
    ).decode()
