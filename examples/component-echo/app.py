"""A component for the public world yoi:plugin/instance@1.0.0, in Python without the PDK.

Each method takes and returns JSON. componentize-py makes a new object per call: what is to be kept
stands in module variables.
"""

import json
from typing import Any

_ANSWERED = 0


class WitWorld:
    def start(self, config_json: str) -> str:
        return _status("ready")

    def handle_tool(self, name: str, input_json: str) -> str:
        if name != "shout":
            return json.dumps({"summary": "tool error: unsupported_tool"})
        return json.dumps({"summary": json.loads(input_json)["text"].upper()})

    def handle_ingress(self, name: str, event_json: str) -> str:
        global _ANSWERED
        event = json.loads(event_json)
        if event["kind"] != "websocket_text":
            return json.dumps({"output_commands": []})
        message = json.loads(event["payload"]["text"])
        answer = {"type": "reply", "to": message["id"], "text": message.get("text", "")}
        _ANSWERED += 1
        return json.dumps({"output_commands": [_send(event, json.dumps(answer))]})

    def status(self) -> str:
        return _status("ready")

    def stop(self) -> str:
        return _status("stopped")


def _send(event: dict[str, Any], text: str) -> dict[str, Any]:
    """Return the command envelope; its ids must be those of the event that is answered."""
    event_id = event["correlation_id"]
    return {
        "correlation_id": f"{event_id}:0",
        "source_event_id": event_id,
        "command_id": f"{event_id}:0",
        "kind": "websocket_send",
        "payload": {"connection": event["payload"]["connection"], "text": text},
        "requested_at": event["created_at"],
    }


def _status(state: str) -> str:
    return json.dumps({"state": state, "data": {"answered": _ANSWERED}})
