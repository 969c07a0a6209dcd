"""Recovery over the embedded broker, as near as it is and as far as a shared one."""

import asyncio

from tests.recovery.contract import RecoveryContract, Step
from tests.recovery.sdk import Want
from tests.recovery.world import Plan, Setup

from hubbub import Broker
from hubbub.brokers.memory import MemoryBroker


class TestMemoryRecovery(RecoveryContract):
    def make_broker(self) -> MemoryBroker:
        return MemoryBroker(clock=lambda: asyncio.get_running_loop().time())

    async def forget(self, broker: Broker, channel: str) -> None:
        assert isinstance(broker, MemoryBroker)
        if channel in broker._logs:
            broker._forget([channel])


# Histories that went wrong once.

ONE = Setup((Plan((Want("log:a"),)),))


def play(setup: Setup, *history: Step) -> None:
    suite = TestMemoryRecovery()
    suite.run(lambda: suite.play(setup, list(history)))


def test_what_the_answer_has_is_not_delivered_again_by_a_broker_that_lags() -> None:
    play(
        ONE,
        ("wait", 0.5),
        ("lag", "log:a", 2.0),
        ("publish", "log:a", 2, ""),
        ("turns", 6),
        ("resubscribe", 0, "log:a", True),
        ("wait", 7.0),
    )


def test_the_first_publication_behind_the_answer_may_be_lost_and_that_is_noticed() -> None:
    play(
        ONE,
        ("wait", 0.5),
        ("publish", "log:a", 2, ""),
        ("turns", 6),
        ("resubscribe", 0, "log:a", True),
        ("wait", 0.5),
        ("lose", "log:a", 1),
        ("publish", "log:a", 2, ""),
        ("turns", 6),
    )


def test_the_start_of_another_epoch_does_not_follow_the_start_of_this_one() -> None:
    play(ONE, ("wait", 0.5), ("lose", "log:a", 1), ("publish", "log:a", 1, ""), ("turns", 3), ("forget", "log:a"))


def test_who_knows_its_position_from_an_answer_alone_has_no_base_for_a_delta() -> None:
    play(
        Setup((Plan((Want("log:a", delta=True),)), Plan((Want("log:a", delta=True),)))),
        ("wait", 0.5),
        ("publish", "log:a", 1, ""),
        ("turns", 3),
        ("resubscribe", 0, "log:a", True),
        ("turns", 6),
        ("resubscribe", 0, "log:a", False),
        ("turns", 6),
    )


def test_a_slow_connect_is_no_reason_never_to_come_back() -> None:
    play(Setup((Plan((), own=("log:own", "cache:own")),), delays=(3.0,), members=True), ("wait", 7.0), ("wait", 7.0))
