"""The real engine: any provider that pydantic-ai supports, through its thin request interface.

The library does providers, wire formats, streaming, usage and the classes of errors. Its agent loop
is not used: it would keep a message list of its own, and here the messages of every call come from
the committed history. Its own retries are off, because ours are visible.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import msgspec
import structlog
from pydantic_ai import exceptions as px
from pydantic_ai import messages as pm
from pydantic_ai.direct import model_request_stream
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from yoi.core.redaction import NOTHING, Masker, StreamMask
from yoi.errors import ModelError
from yoi.protocol import events as ev
from yoi.workers import items as it
from yoi.workers.context import AssistantParts, Message, ModelInput, ToolOutput, UserText
from yoi.workers.engine import Answer, Said, TokenUsage
from yoi.workers.model_words import in_words
from yoi.workers.text import storable

_log = structlog.get_logger("yoi.workers")
_REPLAYED = ("id", "signature", "provider_name", "provider_details")
_FROM_RESPONSE = ("provider_name", "provider_url", "canonical_system")


class PydanticEngine:
    """A `yoi.workers.engine.Engine` over a pydantic-ai model.

    `redact` removes the key from a provider's error text before it is shown or stored, `masker`
    from its answers.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        settings: ModelSettings,
        redact: Callable[[str], str] = lambda text: text,
        masker: Masker = NOTHING,
    ) -> None:
        self.name = name
        self._model = model
        self._settings = settings
        self._redact = redact
        self._masker = masker
        self._entered = False

    async def ask(self, request: ModelInput) -> AsyncIterator[Said | Answer]:
        """Ask the model with exactly `request`."""
        try:
            if not self._entered:
                await self._model.__aenter__()
                self._entered = True
            async with model_request_stream(
                self._model,
                to_messages(request),
                model_settings=self._settings if request.may_call else self._in_words(request),
                model_request_parameters=ModelRequestParameters(
                    function_tools=[_definition(spec) for spec in request.tools]
                ),
                instrument=False,
            ) as stream:
                reader = _StreamReader(self._masker)
                async for event in stream:
                    for said in reader.read(event):
                        yield said
                answer = _answer(stream.get(), self._masker)
        except ModelError:
            raise
        except Exception as exc:
            # The edge: whatever the library or a provider's SDK raises becomes ours, once.
            raise self._mapped(exc) from exc
        yield answer

    def _in_words(self, request: ModelInput) -> ModelSettings:
        """Return the settings of a request whose answer may call nothing."""
        if not request.tools:
            return self._settings
        return ModelSettings(**{**self._settings, "tool_choice": "none"})

    async def close(self) -> None:
        """Close the provider's connections."""
        if self._entered:
            self._entered = False
            await self._model.__aexit__(None, None, None)

    def _mapped(self, exc: Exception) -> ModelError:
        words = str(exc)
        if isinstance(exc, px.ModelHTTPError):
            _log.debug("a provider's answer", model=self.name, raw=self._redact(storable(words)))
            words = in_words(exc)
        message = self._redact(storable(words)) or type(exc).__name__
        fields: dict[str, Any] = {
            "status": getattr(exc, "status_code", None),
            "retry_after": getattr(exc, "retry_after", None),
        }
        match exc:
            case px.ModelContextWindowExceededError():
                return ModelError("model.window", message, retryable=False, **fields)
            case (
                px.ModelQuotaExceededError()
                | px.ModelAuthenticationError()
                | px.ModelNotFoundError()
            ):
                return ModelError("model.rejected", message, retryable=False, **fields)
            case px.ModelRequestRejectedError() | px.ContentFilterError():
                return ModelError(
                    "model.rejected", message, retryable=False, for_content=True, **fields
                )
            case px.ModelRequestTimeout():
                return ModelError("model.timeout", message, retryable=True, **fields)
            case (
                px.ModelRateLimitError()
                | px.ModelUnavailableError()
                | px.ModelServerError()
                | px.ModelConnectionError()
            ):
                return ModelError("model.provider", message, retryable=True, **fields)
            case px.UnexpectedModelBehavior():
                return ModelError("model.output", message, retryable=True)
            case px.UserError():
                return ModelError("model.output", message, retryable=False)
            case _:
                # A stream that broke off, or cannot be read, has no status: asking again may help.
                again = isinstance(exc, px.ModelAPIError) and fields["status"] is None
                return ModelError(
                    "model.provider", f"{type(exc).__name__}: {message}", retryable=again, **fields
                )


class _StreamReader:
    """Turns the library's stream events into ours, masked."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._ids = _CallIds(masker)
        self._by_index: dict[int, str] = {}
        self._streams: dict[int, StreamMask] = {}

    def read(self, event: pm.ModelResponseStreamEvent) -> Iterable[Said]:
        if isinstance(event, pm.PartDeltaEvent):
            return self._delta(event.index, event.delta)
        if isinstance(event, pm.PartStartEvent):
            return self._start(event.index, event.part)
        if isinstance(event, pm.PartEndEvent):
            return self._end(event.index, event.part)
        return ()

    def _delta(self, index: int, delta: pm.ModelResponsePartDelta) -> Iterable[Said]:
        if isinstance(delta, pm.TextPartDelta):
            return self._text(index, delta.content_delta)
        if isinstance(delta, pm.ToolCallPartDelta):
            return self._args(index, delta.args_delta)
        if isinstance(delta, pm.ThinkingPartDelta):
            return self._thinking(index, delta.content_delta)
        return ()

    def _start(self, index: int, part: pm.ModelResponsePart) -> Iterable[Said]:
        self._streams[index] = StreamMask(self._masker)
        said: list[Said] = []
        if isinstance(part, pm.TextPart):
            said += self._text(index, part.content)
        elif isinstance(part, pm.ThinkingPart):
            said.append(ev.ThinkingStart())
            said += self._thinking(index, part.content)
        elif isinstance(part, pm.ToolCallPart):
            call_id = self._by_index[index] = self._ids.unique(part.tool_call_id)
            name = _clean(part.tool_name, self._masker)
            said.append(ev.ToolCallStart(ev.ToolCallStartData(id=call_id, name=name)))
            said += self._args(index, part.args)
        return said

    def _end(self, index: int, part: pm.ModelResponsePart) -> Iterable[Said]:
        if isinstance(part, pm.TextPart):
            yield from self._text(index, None)
            if part.content:
                yield ev.TextDone(ev.TextData(text=_clean(part.content, self._masker)))
        elif isinstance(part, pm.ThinkingPart):
            yield from self._thinking(index, None)
            yield ev.ThinkingDone(ev.TextData(text=_clean(part.content, self._masker)))
        elif isinstance(part, pm.ToolCallPart) and index in self._by_index:
            yield from self._args(index, None)
            done = ev.ToolCallDoneData(
                id=self._by_index[index],
                name=_clean(part.tool_name, self._masker),
                arguments=_written(part, self._masker),
            )
            yield ev.ToolCallDone(done)

    def _text(self, index: int, piece: str | None) -> Iterable[Said]:
        text = self._heard(index, piece)
        return (ev.TextDelta(ev.TextData(text=text)),) if text else ()

    def _thinking(self, index: int, piece: str | None) -> Iterable[Said]:
        text = self._heard(index, piece)
        return (ev.ThinkingDelta(ev.TextData(text=text)),) if text else ()

    def _args(self, index: int, piece: object) -> Iterable[Said]:
        if not isinstance(piece, str | None) or index not in self._by_index:
            return ()
        text = self._heard(index, piece)
        if not text:
            return ()
        return (ev.ToolCallArgsDelta(ev.ToolArgsDeltaData(id=self._by_index[index], json=text)),)

    def _heard(self, index: int, piece: str | None) -> str:
        """Return what can be told of the part `index` now; None is its end."""
        stream = self._streams.get(index)
        if stream is None:
            stream = self._streams[index] = StreamMask(self._masker)
        return stream.end() if piece is None else stream.hear(storable(piece))


class _CallIds:
    """Makes the ids of one answer's calls unique: some local models repeat theirs."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._seen: set[str] = set()

    def unique(self, call_id: str) -> str:
        call_id = _clean(call_id, self._masker)
        if not call_id or call_id in self._seen:
            call_id = f"{call_id or 'call'}-{len(self._seen)}"
        self._seen.add(call_id)
        return call_id


def _clean(text: str, masker: Masker) -> str:
    """Return `text` as a history can hold it, without the provider's key."""
    return masker.text(storable(text))


def _written(part: pm.ToolCallPart, masker: Masker) -> str:
    """Return the arguments as the model wrote them, malformed or not."""
    return _clean(part.args if isinstance(part.args, str) else part.args_as_json_str(), masker)


def _answer(response: pm.ModelResponse, masker: Masker) -> Answer:
    """Return our answer for the library's. Raises ModelError when it broke off."""
    if response.finish_reason in ("content_filter", "error"):
        raise ModelError(
            "model.rejected",
            f"the provider ended the answer: {response.finish_reason}",
            for_content=response.finish_reason == "content_filter",
        )
    if response.state != "complete":
        raise ModelError("model.output", "the answer broke off before its end", retryable=True)
    ids = _CallIds(masker)
    parts: list[it.Part] = []
    for part in response.parts:
        match part:
            case pm.TextPart() if part.content:
                parts.append(it.Text(_clean(part.content, masker), _replay(part, response, masker)))
            case pm.ThinkingPart():
                parts.append(
                    it.Thinking(_clean(part.content, masker), _replay(part, response, masker))
                )
            case pm.ToolCallPart():
                parts.append(
                    it.Call(
                        ids.unique(part.tool_call_id),
                        _clean(part.tool_name, masker),
                        _written(part, masker),
                        _replay(part, response, masker),
                    )
                )
            case _:
                pass
    usage = response.usage
    counted = TokenUsage(usage.input_tokens, usage.output_tokens, usage.cache_read_tokens)
    return Answer(
        parts=parts,
        usage=counted if usage.has_values() else None,
        end="cut" if response.finish_reason == "length" else "complete",
    )


def _replay(
    part: pm.TextPart | pm.ThinkingPart | pm.ToolCallPart,
    response: pm.ModelResponse,
    masker: Masker,
) -> dict[str, Any] | None:
    """Return what the provider needs back beside the content, as JSON values, or None."""
    own = {key: getattr(part, key, None) for key in _REPLAYED}
    if not any(own[key] for key in ("id", "signature", "provider_details")):
        return None
    sender = {key: getattr(response, key) for key in _FROM_RESPONSE}
    kept = {
        "part": {key: value for key, value in own.items() if value is not None},
        "response": {key: value for key, value in sender.items() if value is not None},
    }
    plain: dict[str, Any] = masker.document(msgspec.to_builtins(kept, str_keys=True, enc_hook=str))
    return plain


def _definition(spec: it.ToolSpec) -> ToolDefinition:
    return ToolDefinition(
        name=spec.name, description=spec.description, parameters_json_schema=spec.input_schema
    )


def to_messages(request: ModelInput) -> list[pm.ModelMessage]:
    """Return `request` in the library's form; nothing is added, nothing is left out."""
    messages = [_message(message) for message in request.messages]
    last = messages[-1] if messages else None
    if request.instructions and isinstance(last, pm.ModelRequest):
        last.instructions = request.instructions
    return messages


def _message(message: Message) -> pm.ModelMessage:
    if isinstance(message, UserText):
        return pm.ModelRequest(parts=[pm.UserPromptPart(content=message.text)])
    if isinstance(message, AssistantParts):
        return _response(message.parts)
    return pm.ModelRequest(parts=[_tool_return(output) for output in message.outputs])


def _tool_return(output: ToolOutput) -> pm.ToolReturnPart:
    return pm.ToolReturnPart(
        tool_name=output.name,
        content=output.output,
        tool_call_id=output.call_id,
        outcome="failed" if output.is_error else "success",
    )


def _response(parts: Sequence[it.Part]) -> pm.ModelResponse:
    made: list[pm.ModelResponsePart] = []
    sender: dict[str, Any] = {}
    for part in parts:
        own: dict[str, Any] = (part.replay or {}).get("part", {})
        sender = sender or (part.replay or {}).get("response", {})
        match part:
            case it.Text():
                made.append(pm.TextPart(part.text, **own))
            case it.Thinking():
                made.append(pm.ThinkingPart(part.text, **own))
            case it.Call():
                made.append(pm.ToolCallPart(part.name, part.arguments, part.id, **own))
    return pm.ModelResponse(parts=made, **sender)
