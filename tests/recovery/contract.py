"""What recovery promises, whatever happens, as one property for every broker: subclass it and say how to make yours.

    class TestMyRecovery(RecoveryContract):
        def make_broker(self) -> Broker: ...

Every history is drawn: clients that come and go, publications, a network that is slow and loses things, a broker
that forgets. At its end every client must have got exactly what it is owed, in order; where it did not, it must
have been told, and then something must really have been lost.

One that reaches out of this process gives `run`, `sleep` and `forget` too. HYPOTHESIS_PROFILE=long draws for hours.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from functools import cache
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.clock import Clock, ticks
from tests.recovery.sdk import Want
from tests.recovery.unreliable import A_TURN
from tests.recovery.world import LANGUAGES, OWN, TTL, Plan, Setup, World

from hubbub import Broker

EXAMPLES = max(600, settings.default.max_examples)

CHANNELS = ("log:a", "log:a", "log:b", "ask:a", "cache:a", "auto:a", "live:a")

Step = tuple[Any, ...]
Story = tuple[Setup, list[Step]]

times = st.sampled_from((0.5, 0.0, 2.0, 7.0))
delays = st.sampled_from((0.0, 0.0, A_TURN, A_TURN, 0.4, 3.0))
languages = st.sampled_from(("", *LANGUAGES))


@cache
def setups(asked: tuple[str, ...], own: tuple[str, ...]) -> st.SearchStrategy[Setup]:
    wants = st.builds(
        Want,
        st.sampled_from(asked),
        delta=st.booleans(),
        language=st.sampled_from(("", "", *LANGUAGES)),
        recoverable=st.booleans(),
        strict=st.booleans(),
    )
    plans = st.builds(
        Plan,
        wants=st.lists(wants, min_size=1, max_size=2, unique_by=lambda want: want.channel).map(tuple),
        binary=st.booleans(),
        own=st.sampled_from(((), own)),
    )
    return st.builds(
        Setup,
        plans=st.lists(plans, min_size=1, max_size=3).map(tuple),
        delays=st.one_of(st.just((0.0,)), st.lists(delays, min_size=1, max_size=7).map(tuple)),
        size=st.integers(1, 8),
        limit=st.integers(1, 8),
        members=st.booleans(),
    )


@cache
def steps(asked: tuple[str, ...], own: tuple[str, ...], clients: int) -> st.SearchStrategy[Step]:
    who = st.integers(0, clients - 1)
    anywhere = st.sampled_from((*asked, *own))
    there = st.sampled_from(asked)
    return st.one_of(
        st.tuples(st.just("turns"), st.integers(1, 6)),
        st.tuples(st.just("wait"), times),
        st.tuples(st.just("publish"), anywhere, st.integers(1, 4), languages),
        st.tuples(st.just("publish"), there, st.just(1), languages),
        st.tuples(st.just("cut"), who, times),
        st.tuples(st.sampled_from(("come", "stall", "flow")), who),
        st.tuples(st.just("lag"), anywhere, times),
        st.tuples(st.sampled_from(("lose", "repeat")), anywhere, st.integers(1, 2)),
        st.tuples(st.sampled_from(("resubscribe", "resubscribe", "subscribe")), who, there, st.booleans()),
        st.tuples(st.just("unsubscribe"), who, there),
        st.tuples(st.sampled_from(("take out", "put in")), who, anywhere),
        st.tuples(st.sampled_from(("expire", "remove", "forget")), anywhere),
    )


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Few channels, so that what happens meets."""
    asked = tuple(draw(st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=2, unique=True)))
    own = draw(st.sampled_from(((), (OWN[0],), (OWN[1],))))
    setup = draw(setups(asked, own))
    return setup, draw(st.lists(steps(asked, own, len(setup.plans)), min_size=15, max_size=50))


class RecoveryContract(ABC):
    """The promises of recovery, over a broker with `hubbub.History` and `hubbub.Roster`."""

    @abstractmethod
    def make_broker(self) -> Broker:
        """A new broker that has not been started, without anything of another one in it."""

    async def forget(self, broker: Broker, channel: str) -> None:  # noqa: B027 - not every broker can
        """Makes the broker forget a channel, position and all; without a way to do that, nothing."""

    def run(self, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs one history to its end."""
        with Clock() as clock:
            clock.run(scenario())

    async def sleep(self, seconds: float) -> None:
        """Lets so much time pass."""
        await asyncio.sleep(seconds)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(stories())
    def test_every_client_ends_with_exactly_what_it_is_owed_or_was_told_of_a_real_loss(self, story: Story) -> None:
        self.run(lambda: self.play(*story))

    async def play(self, setup: Setup, history: list[Step]) -> None:
        """One history, and the judgement at its end."""
        world = World(setup, self.make_broker(), self.sleep)
        await world.start()
        for step in history:
            done = self._take(world, *step)
            if done is not None:
                await done
        await world.settle()
        await world.judge()
        await world.end()

    def _take(self, world: World, action: str, *given: Any) -> Awaitable[None] | None:
        match action, *given:
            case "publish", channel, count, language:
                world.publish(channel, count, language)
            case "turns", count:
                return ticks(count)
            case "wait", seconds:
                return self.sleep(seconds)
            case "expire", _:
                return self.sleep(TTL + 1)
            case "remove", channel:
                return world.engine.remove_history(channel)
            case "forget", channel:
                world.troubled = True
                return self.forget(world.broker.inner, channel)
            case "lag", channel, seconds:
                world.broker.lag[channel] = seconds
            case "lose", channel, count:
                world.troubled = True
                world.broker.losing[channel] += count
            case "repeat", channel, count:
                world.broker.repeating[channel] += count
            case action, number, *rest:
                return world.act(action, number, *rest)
        return None
