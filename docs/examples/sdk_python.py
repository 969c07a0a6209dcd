"""The Python SDK: enters a room, prints what is said, says hello."""

import asyncio
import sys

from centrifuge import Client, PublicationContext, SubscriptionEventHandler


class Printer(SubscriptionEventHandler):
    """Told of everything in the room."""

    async def on_publication(self, ctx: PublicationContext) -> None:
        print(ctx.pub.data)


async def main(url: str, token: str) -> None:
    client = Client(url, token=token)
    room = client.new_subscription("room:lobby", events=Printer())
    await client.connect()
    await room.subscribe()
    await room.publish({"text": "hello"})
    await asyncio.sleep(1)  # as long as your program runs
    await client.disconnect()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
