// A listener of the room by Server-Sent Events: one GET, no library, nothing goes the other way.

import { anyCode, describePayload, explain, nameButton } from "./parts.js";
import { ConnectionWindow } from "./socket.js";

const SHOWN_CHARACTERS = 2000;
const COPIED_SHOWN = 2000; // milliseconds

/** What a listener asks for, as JSON: who it is, and the channels it wants. */
const request = (name, room) => `{"data": ${JSON.stringify({ name })}, "subs": {${JSON.stringify(`room:${room}`)}: {}}}`;

/** A word as a shell reads it. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

export class ListenerWindow extends ConnectionWindow {
  setUpOwn() {
    this.command = this.host.querySelector(".command code");
    const copy = this.host.querySelector(".copy");
    nameButton(copy, "Copy", "the curl command");
    copy.addEventListener("click", () => this.copy(copy));
  }

  get address() {
    return new URL("connection/uni_sse", document.baseURI).href;
  }

  showAddress() {
    super.showAddress();
    const data = quoted(`cf_connect=${request("curl", this.room.name)}`);
    this.command.textContent = `curl -N -G ${this.address} \\\n  --data-urlencode ${data}`;
  }

  async copy(button) {
    let done = "Copied";
    try {
      await navigator.clipboard.writeText(this.command.textContent);
    } catch { // not allowed, or not there: the page came over plain HTTP from another machine
      getSelection().selectAllChildren(this.command);
      done = "Selected: now copy it";
    }
    nameButton(button, done, "the curl command");
    setTimeout(() => nameButton(button, "Copy", "the curl command"), COPIED_SHOWN);
  }

  connect() {
    const url = new URL(this.address);
    url.searchParams.set("cf_connect", request(this.host.dataset.listener, this.room.name));
    const source = (this.source = new EventSource(url));
    source.addEventListener("open", () => {
      this.log.add("note", "Connected");
      this.verdict.replaceChildren();
      this.setState("open");
    });
    source.addEventListener("message", ({ data }) => {
      this.log.add("in", describePayload(data, SHOWN_CHARACTERS, SHOWN_CHARACTERS));
      const { disconnect } = JSON.parse(data);
      if (disconnect) this.onDisconnect(disconnect);
    });
    source.addEventListener("error", () => this.onError());
    this.setState("connecting");
  }

  disconnect() {
    this.source.close();
    this.log.add("note", "You hung up");
    this.setState("closed");
  }

  /** The server says goodbye: after some codes there is no use in coming back. */
  onDisconnect({ code, reason }) {
    this.showVerdict(code, reason, explain(code, anyCode(code)));
    if ((code < 3500 || code >= 4000) && code < 4500) return;
    this.source.close();
    this.setState("refused");
  }

  onError() {
    if (this.source.readyState === EventSource.CLOSED) {
      this.log.add("note", "Refused");
      this.showVerdict("SSE", "", explain("refused-events"));
      this.setState("refused");
    } else {
      this.log.add("note", "Lost. The browser connects again by itself, and what is said meanwhile is missed.");
      this.setState("returning");
    }
  }
}
