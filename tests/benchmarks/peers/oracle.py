"""The person who answers a peer's questions: from the truth, and only for so many different rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class Oracle:
    """Answers which records are equal, until the rows it has been shown reach the budget.

    The unit is that of a labelling set: a row that was shown before costs nothing more, so a pair costs up to two.
    """

    def __init__(self, label: Mapping[str, str], rows: int) -> None:
        self._label, self._rows = label, rows
        self._shown: set[str] = set()
        self.answers: dict[tuple[str, str], bool] = {}  #: By the pair, smaller key first.

    @property
    def rows_shown(self) -> int:
        """The number of different rows labelled so far."""
        return len(self._shown)

    @property
    def is_spent(self) -> bool:
        """Whether a pair of rows not shown before would be too many."""
        return self.rows_shown + 2 > self._rows

    def affords(self, records: Iterable[str]) -> bool:
        """Return whether these records may be shown together."""
        return len(self._shown.union(records)) <= self._rows

    def is_match(self, one: str, other: str) -> bool:
        """Return whether two records are equal. ValueError if the budget does not allow the question."""
        if not self.affords((one, other)):
            raise ValueError(f"asking about {one} and {other} would label more than {self._rows} rows")
        self._shown.update((one, other))
        answer = self._label[one] == self._label[other]
        self.answers[min(one, other), max(one, other)] = answer
        return answer

    def to_report(self) -> dict[str, object]:
        """Return what was asked, for the run's report."""
        matches = sum(self.answers.values())
        return {"rows_labelled": self.rows_shown, "pairs_labelled": len(self.answers), "matches_labelled": matches}
