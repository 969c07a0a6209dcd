"""Suites that nobody here wrote, run against a hub with the settings that each documents."""
