"""What every type of channel does unless it does otherwise."""

import pytest
from tests.clock import Clock
from tests.hub.sessions import SessionStage

from hubbub import Grant
from hubbub.errors import Forbidden, InvalidRequest, NotAvailable
from hubbub.hub.kinds.base import Entry, Kind
from hubbub.hub.session import Session
from hubbub.hub.subscription import Subscription
from hubbub.protocol.commands import PublishRequest, SubRefreshRequest, SubscribeRequest


class Plain(Kind):
    """A type of channel that can do nothing of its own."""

    types = frozenset((7,))

    async def prepare(self, *arguments: object) -> Entry:
        raise AssertionError("nobody gets so far")

    def leave(self, session: Session, channel: str, subscription: Subscription) -> None:
        raise AssertionError("nobody is there")


@pytest.mark.parametrize(("type_", "error"), [(0, Forbidden), (1, Forbidden), (8, Forbidden), (4, NotAvailable)])
def test_a_request_for_another_type_is_refused(clock: Clock, type_: int, error: type[Exception]) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        declaration = stage.channel("room", kind=Plain())
        session = (await stage.enter()).session
        with pytest.raises(error):
            await declaration.kind.admit(session, declaration, {}, SubscribeRequest("room", type=type_))
        admitted = await declaration.kind.admit(session, declaration, {}, SubscribeRequest("room", type=7))
        assert admitted == Grant()

    clock.run(scenario())


def test_what_a_type_cannot_do_is_refused_and_the_rest_is_nothing_to_it(clock: Clock) -> None:
    async def scenario() -> None:
        stage = await SessionStage.open()
        declaration = stage.channel("room", kind=Plain())
        session, kind = (await stage.enter()).session, declaration.kind
        with pytest.raises(Forbidden):
            await kind.publish(session, declaration, {}, PublishRequest("room"))
        with pytest.raises(InvalidRequest):
            await kind.track(session, "room", Subscription(declaration), SubRefreshRequest("room"))
        kind.start(stage.engine)
        kind.withdraw(session, "room")
        kind.stop()

    clock.run(scenario())
