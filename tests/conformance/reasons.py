"""Why tests of other people's suites do not pass: what the suite itself leaves out, and what is done otherwise here."""

REASONS: dict[str, str] = {}
