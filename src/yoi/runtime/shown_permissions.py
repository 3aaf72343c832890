"""What a plugin asks for and was granted, as its status shows it: made once for each review."""

from yoi.limits import Limits
from yoi.permissions.reviews import Review
from yoi.protocol.status import PermissionStatus


class ShownPermissions:
    """The first rows of a review. `rows` and `left_out` are of the last one that was given."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._review: Review | None = None
        self.rows: tuple[PermissionStatus, ...] = ()
        self.left_out = 0

    def show(self, review: Review) -> None:
        """Show `review` from now on; the one that is shown already costs nothing."""
        if review is self._review:
            return
        most = self._limits.status_permissions
        self._review = review
        self.rows = tuple(
            PermissionStatus(
                label=row.label,
                kind=row.kind,
                state=row.state,
                explanation=row.explanation,
                broad=row.broad,
            )
            for row in review.rows[:most]
        )
        self.left_out = max(0, len(review.rows) - most)
