"""A second chat room, apart from the first. Run: uvicorn chat_server_additional:app --reload"""

from fastapi import FastAPI, WebSocket

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)


@app.websocket("/ws/chat_additional")
async def chat(websocket: WebSocket) -> None:
    async with hub.connect(websocket) as client:
        await client.join("additional")
        async for text in client:
            await hub.publish("additional", f"(Additional) Client says: {text}")
    await hub.publish("additional", "(Additional) A client left the chat.")
