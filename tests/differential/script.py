"""All scenarios, in the order in which they are played."""

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

SCENARIOS = [
    *dispatching.SCENARIOS,
    *connecting.SCENARIOS,
    *subscribing.SCENARIOS,
    *publishing.SCENARIOS,
    *reading.SCENARIOS,
    *recovering.SCENARIOS,
    *membership.SCENARIOS,
    *calling.SCENARIOS,
    *streaming.SCENARIOS,
    *protobuf_variant.SCENARIOS,
    *mapping.SCENARIOS,
    *polling.SCENARIOS,
    *configured.SCENARIOS,
]

assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS), "every scenario has its own name"
