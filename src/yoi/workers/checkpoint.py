"""What a worker's history adds up to after a summary, so that a start need not read all before it.

It is a copy and never the truth: it names the item that it follows by its place and hash, and
whatever does not fit the history, or this version of Yoi, is not used. The history is whole without
it.
"""

import hashlib
from collections import OrderedDict

import msgspec

from yoi.limits import Limits
from yoi.protocol.published import PublicationMark
from yoi.version import __version__
from yoi.workers import items as it
from yoi.workers.budget import Spent
from yoi.workers.grants import Grant
from yoi.workers.items import AnyItem, Stored
from yoi.workers.transcript import OpenRun, Transcript, Waiting

Pair = tuple[str, str]
VERSION = f"{__version__}/2"
"""Of Yoi and of this form: another fold could add up to something else."""


class _Run(msgspec.Struct, frozen=True):
    seq: int
    kind: str
    turns: int
    resumes: int
    denied: list[Pair]
    heard: list[it.SystemItem]


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The fold after item `head`, whose stored bytes have the hash `digest`."""

    version: str
    head: int
    digest: str
    epoch: int
    by: PublicationMark | None
    run: _Run | None
    paused_by: str | None
    summary_at: int | None
    aside: list[int]
    on_trial: list[int]
    grants: list[Grant]
    decided: list[tuple[int, str]]
    outside: bool
    again_at_ms: int | None
    agains: int
    again_heard: list[it.SystemItem]
    context_tokens: int
    spent: tuple[int, int, int]
    llm_calls: int
    tokens: tuple[int, int]
    waiting: list[tuple[int, Waiting]]
    window: list[tuple[int, AnyItem]]
    window_bytes: int
    commands: list[tuple[str, str, str, int]]

    @classmethod
    def of(cls, transcript: Transcript, newest: bytes) -> "Checkpoint | None":
        """Return it, `newest` being the last item as stored; None while calls are under way."""
        run = transcript.run
        if transcript.compacting or (run is not None and (run.pending or run.shared)):
            return None
        kept = None
        if run is not None:
            denied = sorted(run.denied)
            kept = _Run(run.seq, run.kind, run.turns, run.resumes, denied, run.heard)
        spent = transcript.spent
        return cls(
            version=VERSION,
            head=transcript.head,
            digest=digest(newest),
            epoch=transcript.epoch,
            by=transcript.by,
            run=kept,
            paused_by=transcript.paused_by,
            summary_at=transcript.summary_at,
            aside=sorted(transcript.aside),
            on_trial=sorted(transcript.on_trial),
            grants=list(transcript.grants.values()),
            decided=list(transcript.decided.items()),
            outside=transcript.outside,
            again_at_ms=transcript.again_at_ms,
            agains=transcript.agains,
            again_heard=transcript.again_heard,
            context_tokens=transcript.context_tokens,
            spent=(spent.day, spent.input_tokens, spent.output_tokens),
            llm_calls=transcript.llm_calls,
            tokens=(transcript.input_tokens, transcript.output_tokens),
            waiting=list(transcript.waiting.items()),
            window=[(stored.seq, stored.item) for stored in transcript.window],
            window_bytes=transcript.window_bytes,
            commands=[(*key, seq) for key, seq in transcript.commands.items()],
        )

    def transcript(self, limits: Limits, undone: frozenset[int]) -> Transcript:
        """Return the fold that it was made of."""
        made = Transcript(limits, undone)
        made.head, made.epoch, made.by = self.head, self.epoch, self.by
        made.window = [Stored(seq, item) for seq, item in self.window]
        made.window_bytes = self.window_bytes
        configs = [s.item for s in made.window if isinstance(s.item, it.Configured)]
        made.config = configs[-1] if configs else None
        if self.run is not None:
            run = self.run
            made.run = OpenRun(
                seq=run.seq,
                kind=run.kind,
                turns=run.turns,
                resumes=run.resumes,
                denied=set(run.denied),
                heard=run.heard,
            )
        made.paused_by, made.summary_at = self.paused_by, self.summary_at
        made.aside, made.on_trial = set(self.aside), set(self.on_trial)
        made.grants = {grant.item: grant for grant in self.grants}
        made.decided = OrderedDict(self.decided)
        made.outside = self.outside
        made.again_at_ms, made.agains = self.again_at_ms, self.agains
        made.again_heard = self.again_heard
        made.context_tokens, made.spent = self.context_tokens, Spent(*self.spent)
        made.llm_calls = self.llm_calls
        made.input_tokens, made.output_tokens = self.tokens
        made.waiting = OrderedDict(self.waiting)
        made.commands = OrderedDict((key[:3], key[3]) for key in self.commands)
        return made


_decoder: msgspec.json.Decoder[Checkpoint] = msgspec.json.Decoder(Checkpoint)


def encode(checkpoint: Checkpoint) -> bytes:
    """Return `checkpoint` as it is stored."""
    return msgspec.json.encode(checkpoint)


def decode(data: bytes) -> Checkpoint | None:
    """Return the stored checkpoint; None where it is damaged, or of another version of Yoi."""
    try:
        found = _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
    return found if found.version == VERSION else None


def digest(record: bytes) -> str:
    """Return the hash of a stored item."""
    return hashlib.sha256(record).hexdigest()
