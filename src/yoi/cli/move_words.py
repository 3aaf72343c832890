"""A person's words for how a service or worker came to its machine."""

from collections.abc import Sequence

from yoi.cli.layout import age, many
from yoi.protocol.moves import Left, MoveReport

_WHY: dict[str, str] = {
    Left.DIED: "died",
    Left.DRAINED: "was drained or stopped",
    Left.MOVED: "handed it over for a person",
    Left.PLACED: "may not run it as decided",
    Left.BARRED: "was the last before it was barred",
}


def moved(moves: Sequence[MoveReport], times: int) -> str:
    """Return how the last of `moves` went, as `from a, which died, 3 min ago (5 moves)`."""
    if not moves:
        return ""
    last = moves[-1]
    why = _WHY.get(last.why, "")
    place = f"from {last.source}" if last.source != last.target else "there again"
    words = f"{place}, which {why}" if why else place
    ago = age(last.at)
    return f"{words}, {ago} ({many(times, 'move')})" if times > 1 else f"{words}, {ago}"
