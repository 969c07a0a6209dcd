"""How a difference from the reference is explained: by patterns, in which a star is any text."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from .compare import Difference


class Explanation(NamedTuple):
    """Why ours differs in ``scenarios``, at ``paths``. Each pattern must fit a difference, or it is out of date.

    `recorded` and `ours` narrow it to what was seen there.
    """

    reason: str
    scenarios: tuple[str, ...]
    paths: tuple[str, ...] = ("*",)
    recorded: str = "*"
    ours: str = "*"

    def uses(self, scenario: str, difference: Difference) -> Iterator[str]:
        """The patterns that fit; none if it explains something else."""
        scenarios = [pattern for pattern in self.scenarios if _fits(pattern, scenario)]
        paths = [pattern for pattern in self.paths if _fits(pattern, difference.path)]
        seen = _fits(self.recorded, difference.recorded) and _fits(self.ours, difference.ours)
        if scenarios and paths and seen:
            yield from (*scenarios, *paths)


def unexplained(
    explanations: Sequence[Explanation], scenario: str, differences: Sequence[Difference]
) -> list[Difference]:
    """The differences that no explanation is for."""
    return [one for one in differences if not any(tuple(each.uses(scenario, one)) for each in explanations)]


def out_of_date(
    explanations: Sequence[Explanation], differences: Mapping[str, Sequence[Difference]]
) -> list[tuple[str, str]]:
    """Reasons and patterns that explain nothing in all the scenarios."""
    found = [(scenario, one) for scenario, ones in differences.items() for one in ones]
    stale = []
    for explanation in explanations:
        used = {pattern for scenario, one in found for pattern in explanation.uses(scenario, one)}
        patterns = (*explanation.scenarios, *explanation.paths)
        stale += [(explanation.reason, pattern) for pattern in patterns if pattern not in used]
    return stale


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def _fits(pattern: str, text: str) -> bool:
    return _expression(pattern).fullmatch(text) is not None
