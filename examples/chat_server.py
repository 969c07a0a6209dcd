"""A chat room: everyone hears everyone. Run: uvicorn chat_server:app --reload"""

from fastapi import FastAPI, WebSocket

from hubbub import Hub

hub = Hub()
app = FastAPI(lifespan=hub.lifespan)


@app.websocket("/ws/chat")
async def chat(websocket: WebSocket) -> None:
    async with hub.connect(websocket) as client:
        await client.join("lobby")
        async for text in client:
            await hub.publish("lobby", f"Client says: {text}")
    await hub.publish("lobby", "A client left the chat")
