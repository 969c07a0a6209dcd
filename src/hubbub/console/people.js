// Who is in the room, as one member knows: a snapshot, kept fresh by joins and leaves.

import { make } from "./parts.js";

const TRANSPORTS = { websocket: "WebSocket", http_stream: "HTTP stream", sse: "SSE", uni_sse: "SSE, one way" };

export class People {
  constructor(root, owner) {
    this.list = root.querySelector(".people");
    this.counter = root.querySelector(".people-count");
    this.list.setAttribute("aria-label", `Who ${owner} sees here`);
    this.own = ""; // the session of this member
    this.clear();
  }

  /** Nobody is known: neither a snapshot nor an event has come. */
  clear() {
    this.entries = new Map();
    this.gone = new Set();
    this.list.replaceChildren();
    this.counter.textContent = "–";
  }

  /** Everybody who was here at some moment. Who has left since may be told of before. */
  snapshot(clients) {
    for (const info of Object.values(clients)) if (!this.gone.has(info.client)) this.join(info);
  }

  join({ client, user, connInfo }) {
    if (this.entries.has(client)) return;
    const entry = make("li");
    const transport = connInfo?.transport;
    entry.append(make("b", "", user), ` ${TRANSPORTS[transport] ?? transport}`, client === this.own ? " (you)" : "");
    this.list.append(entry);
    this.entries.set(client, entry);
    this.counter.textContent = this.entries.size;
  }

  leave({ client }) {
    this.gone.add(client);
    this.entries.get(client)?.remove();
    this.entries.delete(client);
    this.counter.textContent = this.entries.size;
  }
}
