"""`yoi serve`'s observation under measurement. sut_fan.py PORT PUB_PORT TOKEN_FILE [REDACTION ...]

The backend beside its runtime, as in `yoi serve`, with one worker's stream and nothing else to do.
Its observers' token, less what the redactions name, is written to TOKEN_FILE. Each message of a
WebSocket on PUB_PORT becomes one event of the worker, of the message's size.
"""

import sys
import tempfile
from pathlib import Path

import uvloop
from harness.observed import filled_from, say_listening, worker_stream, write_token

from yoi.backend.local_source import LocalSource
from yoi.backend.server import Backend
from yoi.protocol.events import encode_event
from yoi.protocol.observation import Hop
from yoi.serving.hub import Hub
from yoi.serving.keys import ObservationKeys
from yoi.serving.listeners import BackendSettings, Listen, ListenerSettings
from yoi.types import SystemClock


async def main(workspace: Path, port: int, pub_port: int) -> None:
    """Serve until killed; says `L` when it listens."""
    clock = SystemClock()
    hub = Hub(Hop.RUNTIME, ObservationKeys.fresh().cursor_keys, clock)
    stream = worker_stream()
    hub.add(stream, encode_event)
    source = LocalSource("local", hub, lambda: {"workers": [{"id": "triage"}], "services": []})
    listener = ListenerSettings(listen=Listen("127.0.0.1", port))
    settings = BackendSettings(listener=listener)
    async with Backend(workspace, settings, [source], clock), filled_from(pub_port, stream):
        await say_listening()


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="yoi-bench-"))
    (folder / ".yoi").mkdir(mode=0o700)
    write_token(folder, Path(sys.argv[3]), redactions=tuple(sys.argv[4:]))
    uvloop.run(main(folder, int(sys.argv[1]), int(sys.argv[2])))
