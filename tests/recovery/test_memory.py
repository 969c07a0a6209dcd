"""Recovery over the embedded broker, as near as it is and as far as a shared one."""

import asyncio

from tests.recovery.contract import RecoveryContract

from hubbub import Broker
from hubbub.brokers.memory import MemoryBroker


class TestMemoryRecovery(RecoveryContract):
    def make_broker(self) -> MemoryBroker:
        return MemoryBroker(clock=lambda: asyncio.get_running_loop().time())

    async def forget(self, broker: Broker, channel: str) -> None:
        assert isinstance(broker, MemoryBroker)
        if channel in broker._logs:
            broker._forget([channel])
