"""What an allocation strategy is, to the laboratory."""

from typing import Protocol, runtime_checkable

from optimizer import Problem, Result
from optimizer.checks import Floats


@runtime_checkable
class Strategy(Protocol):
    """Plans the powers of the EVs that are there.

    ``plan`` is called at every event and at the latest when the columns in use end. Its
    answer has one row for each EV of the problem and all of the problem's columns; only
    the first ones are used, until the next call. So a heuristic may leave the others 0:
    when it has an attribute ``columns``, it is told there how many are used at most.

    One strategy sees all calls of a run in order and may keep what it likes. What it
    returns is used as it is: a power above a limit is counted, not clipped.
    """

    name: str

    def plan(self, problem: Problem) -> Floats | Result:
        """Return powers (n, T) [W], or a result that has them."""
        ...
