"""A second implementation of `unfinished`, for buffers and sessions."""

from __future__ import annotations

from tests.models import NaiveLineBuffer


class Progress:
    """Compares the numbers of `unfinished` with what has become of the line.

    Attributes:
        steps: counts what moves the line on: its end, bytes taken of it, `max_line` bytes of pieces.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._streamed = 0  # bytes of a streamed line since the last step
        self._latest: tuple[int, int] | None = None

    def taken(
        self, way: str, outcome: bytes | str | None, model: NaiveLineBuffer, *, streaming: bool
    ) -> None:
        """Count what a call took.

        Args:
            way: the name of the call.
            outcome: what it returned, or the message of its `LineTooLong`.
            model: the model, after the call.
            streaming: whether it was within a streamed line before.
        """
        if isinstance(outcome, str):
            # The line's end was there already; or `max_line` has become smaller than what was streamed.
            self.steps += not model.skipping
            self.steps += streaming and way == "take_pieces" and self._streamed >= model.max_line
        elif way == "take_pieces":
            outcome = outcome or b""
            begun = len(outcome) - (outcome.rfind(b"\n") + 1)
            ended = begun < len(outcome)
            before = self._streamed if streaming and not ended else 0
            moved, self._streamed = divmod(before + begun, model.max_line) if model.streaming else (0, 0)
            self.steps += ended + moved
        elif outcome:
            self.steps += 1

    def compare(self, number: int, *, begun: bool) -> None:
        """Compare a number with the steps: it is 0 without a line, and another one after each step."""
        assert (number != 0) is begun, f"unfinished is {number}, and a line is {'' if begun else 'not '}begun"
        if not begun:
            return
        if self._latest is not None:
            before, steps = self._latest
            same = steps == self.steps
            assert (number == before) is same, (
                f"unfinished was {before} and is {number}, {'no' if same else 'a'} step later"
            )
        self._latest = number, self.steps
