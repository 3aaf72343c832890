"""The model engine: the narrow interface behind which a model is asked.

An engine sends exactly the `ModelInput` it is given, says what it hears as protocol events, and
ends with one `Answer`. It keeps no state between calls.
"""

from collections.abc import AsyncIterator
from typing import Literal, Protocol

import msgspec

from yoi.protocol.events import (
    TextDelta,
    TextDone,
    ThinkingDelta,
    ThinkingDone,
    ThinkingStart,
    ToolCallArgsDelta,
    ToolCallDone,
    ToolCallStart,
)
from yoi.workers.context import ModelInput
from yoi.workers.items import Part

Said = (
    TextDelta
    | TextDone
    | ThinkingStart
    | ThinkingDelta
    | ThinkingDone
    | ToolCallStart
    | ToolCallArgsDelta
    | ToolCallDone
)


class TokenUsage(msgspec.Struct, frozen=True):
    """Tokens of one call, as the provider counted them."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int = 0


class Answer(msgspec.Struct, frozen=True):
    """The whole answer; `end` is `cut` when the model stopped at its own bound.

    `model` is who gave it, where the engine has several; "" for the engine's name.
    """

    parts: list[Part]
    usage: TokenUsage | None
    end: Literal["complete", "cut"] = "complete"
    model: str = ""


class Engine(Protocol):
    """A model that can be asked."""

    @property
    def name(self) -> str:
        """Return what people see: `provider:model`, or `scripted` for the offline engine."""
        ...

    def ask(self, request: ModelInput) -> AsyncIterator[Said | Answer]:
        """Return an iterator over what the model says; its last element is the Answer.

        Raises ModelError while iterating: `fields["retryable"]`, and `status` and `retry_after`
        (seconds) where the provider gave them. Closing the iterator ends the call.
        """
        ...

    async def close(self) -> None:
        """Close what the engine holds open."""
        ...
