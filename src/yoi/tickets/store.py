"""Changes of the items of a workspace: `.yoi/tickets/`. Everything here blocks.

Each change is an event in the thread first and then, where the item itself changes, an edit of
item.md: a crash between the two leaves an event that `doctor` reports, never a change without one.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from yoi import folders
from yoi.core.ticket_states import Facts, TicketState, Verdict, refusal
from yoi.errors import TicketError
from yoi.limits import Limits
from yoi.tickets.files import (
    change,
    encoded,
    failed,
    locked,
    make_folder,
    read_bytes,
    read_text,
)
from yoi.tickets.front_matter import Value, edited, parse_front_matter
from yoi.tickets.ids import TicketId, id_of_ms, parse_id
from yoi.tickets.reader import ARTIFACTS, ITEM, RELATIONS, RESOLUTION, THREAD, TicketReader
from yoi.tickets.relations import (
    DEPENDS_ON,
    KINDS,
    Relation,
    RelationGraph,
    with_relation,
)
from yoi.tickets.thread import open_fence, written
from yoi.tickets.ticket import Ticket
from yoi.types import Clock, rfc3339


@dataclass(frozen=True, slots=True)
class Change:
    """Who changes an item, and when: what every event of a thread says."""

    author: str
    at: str
    """RFC 3339, UTC, whole seconds."""

    @classmethod
    def now(cls, author: str, clock: Clock) -> Self:
        """Return a change that `author` makes now."""
        return cls(author, rfc3339(clock.wall()).partition(".")[0].removesuffix("Z") + "Z")


class TicketStore(TicketReader):
    """See the module docstring."""

    def __init__(self, workspace: Path, clock: Clock, limits: Limits) -> None:
        super().__init__(workspace, limits)
        self._clock = clock

    def new(self, title: str, body: str, by: Change, assignee: str | None = None) -> Ticket:
        """Make an item in state planning; return it. Raises TicketError."""
        title = self.checked_title(title)
        try:
            folders.make_folder(self.root)
        except OSError as exc:
            raise failed(exc, self.root) from None
        if len(self.names()) >= self._limits.tickets:
            raise TicketError("ticket.bounds", f"there are {self._limits.tickets} tickets already")
        head: dict[str, Value] = {
            "title": title,
            "state": TicketState.PLANNING.value,
            "created_at": by.at,
            "updated_at": by.at,
            "assignee": assignee,
        }
        # Refused before anything is made.
        event = _event("create", [], "Created", "", by)
        content = encoded(edited("---\n---\n\n" + body.strip("\n") + "\n", head))
        if len(content) > self._limits.ticket_item_bytes:
            raise TicketError(
                "ticket.too_large", f"{ITEM} would be over {self._limits.ticket_item_bytes} bytes"
            )
        ms = self._clock.wall_ms()
        while True:
            ticket = id_of_ms(ms)
            try:
                with folders.held(self.root) as root:
                    os.mkdir(ticket, dir_fd=root)
                break
            except FileExistsError:
                ms += 1
            except OSError as exc:
                raise failed(exc, self.root) from None
        folder = self.root / ticket
        make_folder(folder / ARTIFACTS)
        with locked(folder, self._limits.ticket_lock_ms):
            self._add(ticket, event)
            change(folder / ITEM, self._limits.ticket_item_bytes, lambda _: content)
        return self.ticket(ticket)

    def comment(self, ticket: TicketId, text: str, by: Change, kind: str = "comment") -> None:
        """Add an event with `text`; the item itself stays as it is."""
        if not text.strip():
            raise TicketError("ticket.value", "a comment needs text")
        self.ticket(ticket)
        with self._locked(ticket):
            self._add(ticket, _event(kind, [], kind.replace("_", " ").capitalize(), text, by))

    def review(self, ticket: TicketId, verdict: Verdict, text: str, by: Change) -> None:
        """Add a review."""
        self.ticket(ticket)
        with self._locked(ticket):
            status: list[tuple[str, str]] = [("status", verdict)]
            self._add(ticket, _event("review", status, f"Review: {verdict}", text, by))

    def edit(
        self, ticket: TicketId, by: Change, *, changes: dict[str, Value], body: str | None
    ) -> Ticket:
        """Change keys of the front matter, or the text; what changed is an event."""
        if "state" in changes:
            raise TicketError(
                "ticket.value",
                "the state is changed by a command of its own",
                hint=f"yoi ticket state {ticket} STATE",
            )
        if isinstance(title := changes.get("title"), str):
            changes = {**changes, "title": self.checked_title(title)}
        with self._locked(ticket):
            now = self.ticket(ticket)
            named = [key for key, value in changes.items() if now.head.values.get(key) != value]
            if body is not None:
                encoded(body)
            if body is not None and body != now.body:
                named.append("text")
            if not named:
                return now
            self._check_edit(ticket, changes)
            words = f"Changed: {', '.join(named)}."
            self._add(ticket, _event("item_edit", [], "Item changed", words, by))
            self._write(ticket, {**changes, "updated_at": by.at}, body)
        return self.ticket(ticket)

    def relate(self, ticket: TicketId, kind: str, target: str, note: str, by: Change) -> None:
        """Say that the item depends on or is related to another one, here or not."""
        if kind not in KINDS:
            raise TicketError("ticket.value", f"a relation is one of {', '.join(KINDS)}")
        if parse_id(target) == ticket:
            raise TicketError("ticket.value", "an item is not related to itself")
        self.ticket(ticket)
        folder = self.folder(ticket)
        with locked(folder, self._limits.ticket_lock_ms):
            if kind == DEPENDS_ON:
                more = Relation(ticket, kind, target, note, by.author, by.at)
                if way := RelationGraph([*self._all_relations(), more]).of(ticket).cycle:
                    raise TicketError("ticket.cycle", f"that is a cycle: {' -> '.join(way)}")
            relation = Relation(ticket, kind, target, note, by.author, by.at)
            most = self._limits.ticket_relations_bytes
            self.own_relations(ticket)
            with_relation(read_bytes(folder / RELATIONS, most), relation)
            words = f"{kind} {target}" + (f": {note}" if note else "")
            self._add(ticket, _event("relation", [("target", target)], "Related", words, by))
            make_folder(folder / ARTIFACTS)
            change(folder / RELATIONS, most, lambda data: with_relation(data, relation))

    def move(
        self,
        ticket: TicketId,
        to: TicketState,
        by: Change,
        *,
        reason: str,
        text: str = "",
        resolution: str = "",
        unknown_blocks: bool = False,
        only_from: TicketState | None = None,
        assignee: str | None = None,
        digest: str | None = None,
        before: Callable[[Ticket], None] | None = None,
    ) -> Ticket:
        """Change the state, along the table; return the item as it is then.

        `resolution` is written to resolution.md first (closing needs one). `only_from` refuses an
        item that somebody else has moved meanwhile, `digest` one whose item.md is not the one that
        was read; `assignee` is written where it is given;
        `before` is called with the item under the lock, when all conditions hold, and may raise.
        Raises TicketError (`ticket.transition`) naming what is missing, and then nothing has
        changed.
        """
        folder = self.folder(ticket)
        with locked(folder, self._limits.ticket_lock_ms):
            now = self.ticket(ticket)
            facts = Facts(
                has_acceptance=now.has_acceptance,
                has_resolution=now.has_resolution or bool(resolution.strip()),
                queued_by=by.author,
                blockers=self.blockers(ticket),
            )
            why = refusal(now.state, to, facts, unknown_blocks=unknown_blocks)
            if only_from is not None and now.state != only_from:
                why = f"it is {now.state} by now, not {only_from}"
            if why is not None:
                raise TicketError(
                    "ticket.transition",
                    f"{ticket} cannot become {to}: {why}",
                    hint=f"yoi ticket show {ticket}, then: yoi ticket edit {ticket}",
                    state=now.state,
                )
            now.must_be(digest)
            changes: dict[str, Value] = {"state": to.value, "updated_at": by.at}
            if to is TicketState.QUEUED:
                changes |= {"queued_by": by.author, "queued_at": by.at}
            if assignee is not None:
                changes["assignee"] = assignee
            self._check_edit(ticket, changes)
            step = [("from", now.state), ("to", to.value), ("reason", reason), ("field", "state")]
            event = _event("state_changed", step, f"State: {to}", text, by)
            content = encoded(resolution.strip("\n") + "\n")
            self._check_add(ticket, event)
            if before is not None:
                before(now)
            if resolution.strip():
                most = self._limits.ticket_item_bytes
                change(folder / RESOLUTION, most, lambda _: content)
            self._add(ticket, event)
            # What was written, not what stands there now: a decision may be made about it.
            return self.parsed(ticket, self._write(ticket, changes, None, digest))

    # -- inside --------------------------------------------------------------------------------

    def _add(self, ticket: TicketId, event: str) -> None:
        """Add `event` to the thread. Raises TicketError."""
        path, most = self.folder(ticket) / THREAD, self._limits.ticket_thread_bytes
        change(path, most, lambda data: _appended(ticket, data, event))

    def _check_add(self, ticket: TicketId, event: str) -> None:
        """Raise now what adding `event` would raise, before anything else is changed."""
        most = self._limits.ticket_thread_bytes
        data = read_bytes(self.folder(ticket) / THREAD, most)
        if len(_appended(ticket, data, event)) > most:
            raise TicketError("ticket.too_large", f"{THREAD} would be over {most} bytes")

    def _locked(self, ticket: TicketId) -> contextlib.AbstractContextManager[None]:
        return locked(self.folder(ticket), self._limits.ticket_lock_ms)

    def _write(
        self,
        ticket: TicketId,
        changes: dict[str, Value],
        body: str | None,
        digest: str | None = None,
    ) -> str:
        def made(data: bytes | None) -> bytes:
            before = (data or b"").decode("utf-8")
            if digest is not None:
                self.parsed(ticket, before).must_be(digest)
            text = edited(before, changes)
            if body is not None:
                text = text[: len(text) - len(parse_front_matter(text).body)] + body
            return encoded(text)

        path = self.folder(ticket) / ITEM
        return change(path, self._limits.ticket_item_bytes, made).decode()

    def _check_edit(self, ticket: TicketId, changes: dict[str, Value]) -> None:
        """Raise now what writing `changes` would raise, before the thread says that they are."""
        text = read_text(self.folder(ticket) / ITEM, self._limits.ticket_item_bytes)
        edited(text or "", changes)

    def checked_title(self, title: str) -> str:
        """Return `title` on one line. Raises TicketError `ticket.value` where it cannot be one."""
        made = " ".join(title.split())
        if not 1 <= len(made) <= self._limits.ticket_title_chars or not made.isprintable():
            raise TicketError(
                "ticket.value",
                f"a title has 1 to {self._limits.ticket_title_chars} characters on one line",
            )
        return made


def _event(kind: str, more: list[tuple[str, str]], title: str, text: str, by: Change) -> str:
    return written(kind, [("author", by.author), ("at", by.at), *more], title, text)


def _appended(ticket: TicketId, data: bytes | None, event: str) -> bytes:
    """Return the thread `data` with `event` behind it. Raises TicketError (`ticket.thread`)."""
    before = (data or b"").decode("utf-8", "surrogateescape")
    line = open_fence(before)
    if line is not None:
        raise TicketError(
            "ticket.thread",
            f"thread.md, line {line}: a code block is never closed; "
            "what is added would be part of it",
            hint=f"yoi ticket doctor {ticket}",
            line=line,
        )
    between = "" if not before or before.endswith("\n\n") else "\n"
    if before and not before.endswith("\n"):
        between = "\n\n"
    return (data or b"") + (between + event).encode()
