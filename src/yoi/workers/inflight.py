"""What a broken-off answer had said, as parts for the history."""

from yoi.core.observation.inflight import InFlight
from yoi.protocol import events as ev
from yoi.workers import items as it


def said(inflight: InFlight) -> list[it.Part]:
    """Return the text and thinking so far; calls that broke off are not carried out."""
    parts: list[it.Part] = []
    for block in inflight.blocks():
        if isinstance(block, ev.TextBlock):
            parts.append(it.Text(block.text))
        elif isinstance(block, ev.ThinkingBlock):
            parts.append(it.Thinking(block.text))
    return parts
