"""A runtime's listener with one worker's stream. sut_runtime.py WORKSPACE PORT PUB_PORT

As in `yoi runtime`, without a model: each message of a WebSocket on PUB_PORT becomes one event of
the worker, of the message's size.
"""

import sys
from pathlib import Path

import uvloop
from harness.observed import filled_from, say_listening, worker_stream

from yoi.limits import LIMITS
from yoi.protocol.events import encode_event
from yoi.runtime.listener import RuntimeListener
from yoi.runtime.observing import Observing
from yoi.serving.keys import ObservationKeys
from yoi.serving.listeners import Listen, ListenerSettings, RuntimeSettings
from yoi.types import SystemClock


async def main(workspace: Path, port: int, pub_port: int) -> None:
    """Serve until killed; says `L` when it listens."""
    clock = SystemClock()
    observing = Observing(ObservationKeys.fresh().cursor_keys, dict, clock)
    stream = worker_stream()
    observing.hub.add(stream, encode_event)
    listener = ListenerSettings(listen=Listen("127.0.0.1", port))
    settings = RuntimeSettings(id="local", listener=listener)
    async with (
        RuntimeListener(workspace, observing, settings, lambda: None, clock, LIMITS),
        filled_from(pub_port, stream),
    ):
        await say_listening()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
