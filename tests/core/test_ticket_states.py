"""The table of states and the conditions of each step (I2)."""

import pytest

from yoi.core.ticket_states import TRANSITIONS, Facts, TicketState, refusal

ALL = Facts(has_acceptance=True, has_resolution=True, queued_by="me", blockers=())
NONE = Facts(has_acceptance=False, has_resolution=False, queued_by=None, blockers=())
ALLOWED = {
    "planning": {"ready", "closed"},
    "ready": {"queued", "planning", "closed"},
    "queued": {"inprogress", "ready", "planning"},
    "inprogress": {"done", "queued", "planning", "closed"},
    "done": {"closed", "inprogress"},
    "closed": {"planning"},
}


@pytest.mark.parametrize("now", TicketState)
@pytest.mark.parametrize("to", TicketState)
def test_every_pair_of_states(now, to):
    why = refusal(now, to, ALL, unknown_blocks=True)
    if to in ALLOWED[now]:
        assert why is None
    else:
        assert all(state in (why or "") for state in TRANSITIONS[now])


@pytest.mark.parametrize(
    ("now", "to", "words"),
    [
        ("planning", "ready", "## Acceptance"),
        ("ready", "queued", "who queues"),
        ("done", "closed", "resolution"),
        ("other", "ready", '"other"'),
    ],
)
def test_what_is_missing_is_named(now, to, words):
    assert words in (refusal(now, TicketState(to), NONE, unknown_blocks=False) or "")


def test_an_open_blocker_keeps_an_item_from_being_begun():
    facts = Facts(
        has_acceptance=True,
        has_resolution=True,
        queued_by="me",
        blockers=(("A", "done"), ("B", "closed"), ("C", None)),
    )
    assert refusal("queued", TicketState.INPROGRESS, facts, unknown_blocks=False) is None
    assert "C (unknown)" in (
        refusal("queued", TicketState.INPROGRESS, facts, unknown_blocks=True) or ""
    )
    open_one = Facts(
        has_acceptance=True, has_resolution=True, queued_by="me", blockers=(("D", "ready"),)
    )
    assert "D (ready)" in (
        refusal("queued", TicketState.INPROGRESS, open_one, unknown_blocks=False) or ""
    )
