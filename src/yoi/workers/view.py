"""What is sent: a legal view of what is committed, for any provider (A1, T4).

The history stays whole; `as_sent` is a pure function of it and of the model's name. Providers
refuse conversations for their shape: two user turns in a row, calls without results, names and
ids they do not like, an empty turn. Each rule below is the strictest that a published interface
or a trial has shown, so one view fits all; tests/workers/providers.py states them one by one.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence

import msgspec

from yoi.workers import items as it
from yoi.workers.context import (
    AssistantParts,
    Message,
    ModelInput,
    ToolOutput,
    ToolOutputs,
    UserText,
)
from yoi.workers.items import ToolSpec

NAME_CHARS = 64
_NAME = re.compile(r"[^A-Za-z0-9_-]")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
ID_CHARS = 9
"""What the narrowest provider takes: exactly nine letters and digits."""
BEGINNING = "(The conversation goes on from here.)"
GO_ON = "(Go on.)"
ENDED = "(The answer ended here.)"
NO_RESULT = "no result of this call was recorded"
_APART = "\n\n"


def as_sent(request: ModelInput, *models: str) -> ModelInput:
    """Return `request` as `models` may be asked it. Pure; the same for the same arguments.

    In the result: turns alternate, the first and the last are not the assistant's; every call has
    its result right behind it and every result its call; names, ids and arguments have a form
    that every provider takes; nothing is empty; tools are declared wherever calls stand; what a
    provider said to itself goes back to those models only.
    """
    turns = _alternating(_paired(_clean(request.messages, models)))
    messages = tuple(_renamed(turns))
    return ModelInput(
        request.instructions,
        _declared(request.tools, messages),
        messages,
        may_call=request.may_call and bool(request.tools),
    )


def _clean(messages: Iterable[Message], models: Sequence[str]) -> list[Message]:
    """Return the messages without what is empty, or was said to another provider."""
    found: list[Message] = []
    for message in messages:
        if isinstance(message, UserText):
            found.append(message if message.text.strip() else UserText("(no text)"))
        elif isinstance(message, ToolOutputs):
            found.append(message)
        else:
            parts = tuple(_sayable(message.parts, own=message.model in models))
            # Thinking alone is no turn.
            if any(not isinstance(part, it.Thinking) for part in parts):
                found.append(AssistantParts(parts, message.model))
    return found


def _sayable(parts: Iterable[it.Part], *, own: bool) -> Iterable[it.Part]:
    """Yield the parts that may go back; `own` says whether the model itself said them."""
    for part in parts:
        if isinstance(part, it.Text):
            if part.text.strip():
                yield part if own else it.Text(part.text)
        elif isinstance(part, it.Call):
            arguments = _object(part.arguments)
            if own and arguments == part.arguments:
                yield part
            else:
                yield it.Call(part.id, part.name, arguments, part.replay if own else None)
        elif own and part.replay is not None:
            yield part


def _object(arguments: str) -> str:
    """Return `arguments` as a JSON object: what a model wrote may be none, and is then quoted."""
    try:
        if isinstance(msgspec.json.decode(arguments), dict):
            return arguments
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        pass
    return msgspec.json.encode({"malformed_arguments": arguments}).decode() if arguments else "{}"


def _paired(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with every call's result right behind its answer, in calling order."""
    found: list[Message] = []
    at = 0
    while at < len(messages):
        message = messages[at]
        at += 1
        if isinstance(message, ToolOutputs):
            # Their calls are gone, replaced by a summary.
            found += [UserText(_told(output)) for output in message.outputs]
            continue
        found.append(message)
        calls = (
            [part for part in message.parts if isinstance(part, it.Call)]
            if isinstance(message, AssistantParts)
            else []
        )
        if not calls:
            continue
        results: dict[str, ToolOutput] = {}
        between: list[Message] = []
        ahead = at
        while ahead < len(messages) and not isinstance(messages[ahead], AssistantParts):
            here = messages[ahead]
            if isinstance(here, ToolOutputs):
                mine = {call.id for call in calls}
                results |= {one.call_id: one for one in here.outputs if one.call_id in mine}
                others = tuple(one for one in here.outputs if one.call_id not in mine)
                between += [UserText(_told(one)) for one in others]
            else:
                between.append(here)
            ahead += 1
        at = ahead
        found.append(ToolOutputs(tuple(_result_of(call, results.get(call.id)) for call in calls)))
        found += between
    return found


def _result_of(call: it.Call, result: ToolOutput | None) -> ToolOutput:
    """Return the result of `call` under the call's own name, whatever was recorded."""
    if result is None:
        return ToolOutput(call.id, call.name, NO_RESULT, True)
    return msgspec.structs.replace(result, name=call.name)


def _told(output: ToolOutput) -> str:
    """Return a result without its call as text that a user's turn may hold."""
    head = {"result_of_an_earlier_call_of": output.name, "untrusted_text": output.output}
    return msgspec.json.encode(head).decode()


def _alternating(messages: Iterable[Message]) -> list[Message]:
    """Return the messages with turns that alternate, begun and ended by the user's side."""
    turns: list[Message] = []
    for message in messages:
        last = turns[-1] if turns else None
        if isinstance(message, UserText):
            if isinstance(last, UserText):
                turns[-1] = UserText(last.text + _APART + message.text)
                continue
            if isinstance(last, ToolOutputs):
                turns.append(AssistantParts((it.Text(ENDED),)))
        elif isinstance(message, AssistantParts):
            if isinstance(last, AssistantParts):
                model = last.model if last.model == message.model else ""
                turns[-1] = AssistantParts((*last.parts, *message.parts), model)
                continue
            if last is None:
                turns.append(UserText(BEGINNING))
        turns.append(message)
    if not turns:
        return [UserText(BEGINNING)]
    if isinstance(turns[-1], AssistantParts):
        turns.append(UserText(GO_ON))
    return turns


def _renamed(messages: Iterable[Message]) -> Iterable[Message]:
    """Yield the messages with ids and names that every provider takes."""
    ids: dict[str, str] = {}
    used: set[str] = set()
    for message in messages:
        if isinstance(message, AssistantParts):
            # An id counts until the next answer: providers repeat theirs.
            parts: list[it.Part] = []
            for part in message.parts:
                if isinstance(part, it.Call):
                    ids[part.id] = _short(part.id, used)
                    parts.append(
                        it.Call(ids[part.id], legal_name(part.name), part.arguments, part.replay)
                    )
                else:
                    parts.append(part)
            yield AssistantParts(tuple(parts), message.model)
        elif isinstance(message, ToolOutputs):
            yield ToolOutputs(
                tuple(
                    ToolOutput(
                        ids[one.call_id],
                        legal_name(one.name),
                        one.output if one.output.strip() else "(no output)",
                        one.is_error,
                    )
                    for one in message.outputs
                )
            )
        else:
            yield message


def _short(call_id: str, used: set[str]) -> str:
    """Return an id made of `call_id` that was not used before in this request."""
    salt = 0
    while True:
        number = int.from_bytes(hashlib.sha256(f"{salt}:{call_id}".encode()).digest()[:8])
        made = ""
        for _ in range(ID_CHARS):
            number, digit = divmod(number, len(_DIGITS))
            made += _DIGITS[digit]
        if made not in used:
            used.add(made)
            return made
        salt += 1


def legal_name(name: str) -> str:
    """Return `name` as every provider takes it: letters, digits, `_` and `-`, at most 64.

    The first is a letter or `_`: one provider wants that.
    """
    made = _NAME.sub("_", name)
    if not made or made[0] in "-0123456789":
        made = f"_{made}"
    return made[:NAME_CHARS]


def _declared(tools: Sequence[ToolSpec], messages: Iterable[Message]) -> tuple[ToolSpec, ...]:
    """Return `tools`, and a declaration of each tool that was called and is not among them."""
    known = {legal_name(spec.name) for spec in tools}
    missing: dict[str, None] = {}
    for message in messages:
        if isinstance(message, AssistantParts):
            for part in message.parts:
                if isinstance(part, it.Call) and part.name not in known:
                    missing[part.name] = None
    if not missing or known:
        # Providers want the list to be there where calls are, not each name in it.
        return tuple(tools)
    return tuple(
        ToolSpec(
            name=name,
            description="No longer offered.",
            input_schema={"type": "object", "properties": {}},
            origin=it.Origin(kind="builtin"),
            approval="deny",
        )
        for name in missing
    )
