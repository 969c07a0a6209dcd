// The line under one SDK: shows what passes, and can be cut.
//
// The SDK is given this line's WebSocket, fetch and EventSource. While the line is cut, what was open has failed,
// nothing passes, and what is opened fails: as on a train in a tunnel, but for the server, which is told at once.

const FAILS_AFTER = 100; // milliseconds

export class Line {
  constructor(onFrame) {
    this.onFrame = onFrame;
    this.open = new Map(); // what is open, and how it fails
    this.isCut = false;
  }

  cut() {
    this.isCut = true;
    const failures = [...this.open.values()];
    this.open.clear();
    for (const fail of failures) fail();
  }

  mend() {
    this.isCut = false;
  }

  /** What `new Centrifuge` takes as its ways to connect. */
  get options() {
    const line = this;
    return {
      websocket: class { constructor(url) { return line.openSocket(url); } },
      eventsource: class { constructor(url) { return line.openEvents(url); } },
      fetch: (url, options) => line.request(url, options),
    };
  }

  openSocket(url) {
    if (this.isCut) return this.dead("onclose");
    const socket = new WebSocket(url);
    const send = socket.send.bind(socket);
    socket.send = (data) => {
      this.onFrame("out", data);
      send(data);
    };
    return this.track(socket, "onclose");
  }

  openEvents(url) {
    if (this.isCut) return this.dead("onerror");
    const { pathname, searchParams } = new URL(url);
    this.onFrame("out", `GET ${pathname} ${searchParams.get("cf_connect")}`);
    return this.track(new EventSource(url), "onerror");
  }

  /** When it is cut, the connection is closed, and the SDK is told of a loss instead of a goodbye. */
  track(connection, handler) {
    for (const one of this.open.keys()) if (one.readyState > 1) this.open.delete(one);
    const heard = ({ data }) => this.onFrame("in", data);
    connection.addEventListener("message", heard);
    this.open.set(connection, () => {
      const lost = connection[handler];
      connection.removeEventListener("message", heard);
      for (const one of ["onopen", "onmessage", "onerror", "onclose"]) connection[one] = null;
      connection.close();
      lost?.(new CloseEvent("close", { code: 1006 }));
    });
    return connection;
  }

  /** A connection that never comes about. */
  dead(handler) {
    const connection = { send() {}, close() {} };
    setTimeout(() => connection[handler]?.(new CloseEvent("close", { code: 1006 })), FAILS_AFTER);
    return connection;
  }

  async request(url, options) {
    if (this.isCut) {
      await new Promise((resolve) => setTimeout(resolve, FAILS_AFTER));
      throw new TypeError("the line is cut");
    }
    const end = new AbortController();
    const abort = () => end.abort();
    options.signal?.addEventListener("abort", abort);
    this.open.set(end, abort);
    const { pathname } = new URL(url);
    // Commands go to /emulation in an envelope that names the session: the frame is what is in it.
    const emulates = pathname.endsWith("/emulation");
    this.onFrame("out", `POST ${pathname} ${emulates ? JSON.parse(options.body).data : options.body}`);
    try {
      const response = await fetch(url, { ...options, signal: end.signal });
      if (!emulates) return new Response(response.body.pipeThrough(this.lines(end)), response);
      this.open.delete(end); // answered: what the session says comes by the stream
      return response;
    } catch (error) {
      this.open.delete(end);
      throw error;
    }
  }

  /** Lets a stream of lines pass, and shows each. */
  lines(end) {
    const decoder = new TextDecoder();
    let rest = "";
    return new TransformStream({
      transform: (chunk, controller) => {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = lines.pop();
        for (const line of lines) this.onFrame("in", line);
        controller.enqueue(chunk);
      },
      flush: () => this.open.delete(end),
    });
  }
}
