// Windows on connections: what all have, and the plain WebSocket.

import {
  FrameLog, anyCode, cloneTemplate, describePayload, explain, labelField, make, nameButton, showBroken, showVerdict,
} from "./parts.js";

const OVERSIZED_CHARACTERS = 70 * 1024;
const RIGHT_TOKEN = "secret-token";
const WRONG_TOKEN = "wrong-token";

const STATES = {
  idle: ["Not connected", "Connect"],
  connecting: ["Connecting…", "Cancel"],
  open: ["Connected", "Disconnect"],
  cut: ["Cut off", "Disconnect"],
  returning: ["Coming back…", "Cancel"],
  closing: ["Hanging up…", "Disconnect"],
  closed: ["Closed", "Connect"],
  refused: ["Refused", "Connect"],
};
const LIVE = ["connecting", "open", "cut", "returning"];

/** A token input with one button for the right token and one for a wrong one. */
export function tokenField(owner, token) {
  const fragment = cloneTemplate("token-template");
  const input = fragment.querySelector("input");
  labelField(fragment.querySelector("label"), input, "Token", owner);
  input.value = token;
  for (const [selector, text, value] of [[".right-token", "Right", RIGHT_TOKEN], [".wrong-token", "Wrong", WRONG_TOKEN]]) {
    const button = fragment.querySelector(selector);
    button.replaceChildren(text, make("span", "sr", ` token, ${owner}`));
    button.addEventListener("click", () => {
      input.value = value;
      input.dispatchEvent(new Event("input"));
    });
  }
  return { fragment, input };
}

/**
 * One connection and everything one sees of it. Tells its panel by `socketstate` and `frame` events.
 * A kind of connection gives `address`, `connect`, `disconnect` and `send`.
 */
export class ConnectionWindow {
  /** `room`: where it connects to, if that may change. */
  constructor(host, room = null) {
    this.host = host;
    this.room = room;
    this.name = host.dataset.name;
    const own = [...host.children];
    host.append(cloneTemplate("window-template"));
    host.querySelector(".slot-own").replaceWith(...own);
    host.setAttribute("role", "group");
    host.setAttribute("aria-label", this.name);
    host.querySelector(".window-name").textContent = this.name;
    this.verdict = host.querySelector(".verdict");
    this.connectButton = host.querySelector(".connect");
    this.connectButton.addEventListener("click", () => this.toggle());
    this.log = new FrameLog(host, this.name);
    this.setUpToken();
    this.setUpOwn();
    this.setUpSaying();
    this.showAddress();
    this.setState("idle");
  }

  setUpToken() {
    const slot = this.host.querySelector(".slot-token");
    if (this.host.dataset.token === undefined) return slot.remove();
    const { fragment, input } = tokenField(this.name, this.host.dataset.token);
    this.tokenInput = input;
    input.addEventListener("input", () => this.showAddress());
    slot.replaceWith(fragment);
  }

  /** What a kind of connection has besides. */
  setUpOwn() {}

  setUpSaying() {
    const form = this.host.querySelector(".say");
    this.senders = [...this.host.querySelectorAll("[data-send]")];
    for (const button of this.senders) {
      button.addEventListener("click", () => this.sendSpecial(button.dataset.send));
    }
    if (this.host.dataset.say === undefined) return form.remove();
    const input = form.querySelector("input");
    const send = form.querySelector(".send");
    labelField(form.querySelector("label"), input, "Message", this.name);
    nameButton(send, "Send", this.name);
    input.value = this.host.dataset.say;
    this.senders.push(send);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const said = input.value;
      if ((await this.send(said, said)) && input.value === said) input.value = "";
    });
  }

  get live() {
    return LIVE.includes(this.state);
  }

  showAddress() {
    showBroken(this.host.querySelector(".address code"), this.address);
  }

  setState(state) {
    this.state = state;
    const [text, action] = STATES[state];
    this.host.dataset.state = state;
    this.host.querySelector(".state-text").textContent = text;
    nameButton(this.connectButton, action, this.name);
    // aria-disabled, not disabled: a button that vanishes from the tab order takes the focus with it.
    for (const sender of this.senders) sender.setAttribute("aria-disabled", String(state !== "open"));
    this.host.dispatchEvent(new CustomEvent("socketstate", { bubbles: true, detail: { state } }));
  }

  toggle() {
    if (this.live) this.disconnect();
    else if (this.state !== "closing") this.connect();
  }

  showVerdict(code, reason, explained) {
    showVerdict(this.verdict, code, reason, explained);
  }
}

/** Why a WebSocket ended. */
function explainClose({ code, opened, byUs }) {
  if (!opened) return explain(byUs ? "cancelled" : "refused");
  const explained = explain(code, anyCode(code));
  const who = code === 1006 ? "" : byUs ? "You hung up. " : "The server hung up. ";
  return { ...explained, why: who + explained.why };
}

/** A plain WebSocket, frame by frame. */
export class SocketWindow extends ConnectionWindow {
  get address() {
    const url = new URL(this.host.dataset.path, document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    if (this.tokenInput) url.searchParams.set("token", this.tokenInput.value);
    return url.href;
  }

  connect() {
    const socket = new WebSocket(this.address);
    let opened = false;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("open", () => {
      opened = true;
      this.log.add("note", "Connected");
      this.setState("open");
    });
    socket.addEventListener("message", ({ data }) => {
      this.log.add("in", describePayload(data));
      this.host.dispatchEvent(new CustomEvent("frame", { bubbles: true, detail: { data } }));
    });
    socket.addEventListener("close", ({ code, reason }) => {
      this.socket = null;
      const refused = !opened && !this.hungUp;
      this.log.add("note", refused ? `Refused, reported as ${code}` : `Closed with ${code}`);
      this.showVerdict(code, reason, explainClose({ code, opened, byUs: this.hungUp }));
      this.setState(refused ? "refused" : "closed");
    });
    this.socket = socket;
    this.hungUp = false;
    this.verdict.replaceChildren();
    this.setState("connecting");
  }

  disconnect() {
    this.hungUp = true;
    this.setState("closing");
    this.socket.close(1000);
  }

  send(data, shown) {
    if (this.state !== "open") {
      this.log.add("note", "Not sent. Connect first.");
      return false;
    }
    this.socket.send(data);
    this.log.add("out", describePayload(shown));
    return true;
  }

  sendSpecial(kind) {
    if (kind === "binary") {
      const bytes = new Uint8Array([1, 2, 3, 4]).buffer;
      this.send(bytes, bytes);
    } else {
      const text = "x".repeat(OVERSIZED_CHARACTERS);
      this.send(text, text);
    }
  }
}
