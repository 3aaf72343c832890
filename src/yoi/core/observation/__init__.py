"""Observation without I/O: streams, feeds and followers. See docs/design/observation.md."""

from yoi.core.observation.board_view import BoardView
from yoi.core.observation.feed import Feed, Framing
from yoi.core.observation.follower import Follower, FollowerState
from yoi.core.observation.inflight import InFlight
from yoi.core.observation.service_view import ServiceView
from yoi.core.observation.stream import Stream, View
from yoi.core.observation.worker_view import WorkerView

__all__ = [
    "BoardView",
    "Feed",
    "Follower",
    "FollowerState",
    "Framing",
    "InFlight",
    "ServiceView",
    "Stream",
    "View",
    "WorkerView",
]
