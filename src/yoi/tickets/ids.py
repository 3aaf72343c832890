"""Ids of work items: Unix milliseconds as 13 characters of Crockford's base 32, sortable by age."""

from typing import NewType

from yoi.errors import TicketError

TicketId = NewType("TicketId", str)
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 13


def parse_id(text: str) -> TicketId:
    """Return `text` as an id; raises TicketError (`ticket.id`). No id holds part of a path."""
    if not is_id(text):
        raise TicketError(
            "ticket.id",
            f"{text!r} is not a ticket id: {LENGTH} characters of 0-9 and A-Z without I, L, O, U",
            hint="yoi ticket list",
        )
    return TicketId(text)


def is_id(text: str) -> bool:
    """Return whether `text` is an id."""
    return len(text) == LENGTH and all(char in ALPHABET for char in text)


def id_of_ms(ms: int) -> TicketId:
    """Return the id of a moment: Unix milliseconds from 0 to 2**65 - 1."""
    if not 0 <= ms < 32**LENGTH:
        raise ValueError("a ticket id is made of Unix milliseconds")
    made = ""
    for _ in range(LENGTH):
        ms, digit = divmod(ms, 32)
        made = ALPHABET[digit] + made
    return TicketId(made)
