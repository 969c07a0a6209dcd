"""All scenarios, in the order in which they are played."""

from .scenario import Scenario
from .scenes import (
    calling,
    configured,
    connecting,
    dispatching,
    mapping,
    membership,
    polling,
    protobuf_variant,
    publishing,
    reading,
    recovering,
    streaming,
    subscribing,
)

LANES: tuple[list[Scenario], ...] = (
    [*dispatching.SCENARIOS, *connecting.SCENARIOS],
    [*subscribing.SCENARIOS, *publishing.SCENARIOS],
    [*reading.SCENARIOS, *recovering.SCENARIOS, *membership.SCENARIOS],
    [*calling.SCENARIOS, *streaming.SCENARIOS, *protobuf_variant.SCENARIOS],
    [*mapping.SCENARIOS, *polling.SCENARIOS],
    configured.SCENARIOS,
)
"""Scenarios for one server each, one after the other; the servers know nothing of each other."""

SCENARIOS = [scenario for lane in LANES for scenario in lane]

assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS), "every scenario has its own name"
assert all(len({scenario.configuration for scenario in lane}) == 1 for lane in LANES), "a server has one configuration"
