"""Differences from the reference that are meant, each with its reason; none may be left that no longer occurs."""

EXPLAINED: dict[tuple[str, str], str] = {}
"""(scenario, path of the difference) to the reason."""
