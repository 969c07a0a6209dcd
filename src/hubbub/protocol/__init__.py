"""The wire, as pure functions and state machines: no event loop, no clock, no socket."""
