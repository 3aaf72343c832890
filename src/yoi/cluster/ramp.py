"""How many units are claimed at once: few at first, twice as many each time, up to a bound."""


class Ramp:
    """See the module docstring. `now` is how many the next time; from `first` to `most`."""

    def __init__(self, first: int, most: int) -> None:
        self.now = self._first = min(first, most)
        self._most = most

    def grow(self) -> None:
        """Double, within the bound."""
        self.now = min(2 * self.now, self._most)

    def restart(self) -> None:
        """Begin again with `first`."""
        self.now = self._first
