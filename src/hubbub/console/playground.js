// The playground: a panel per system, a window per socket. Markup is in index.html; this file gives it life.
// Whatever a peer sends is shown through textContent, never as HTML.

const LOG_LIMIT = 200; // entries kept per window; older ones leave the page
const SHOWN_CHARACTERS = 500; // a longer payload is shown as an excerpt and a count
const EXCERPT_CHARACTERS = 24;
const OVERSIZED_CHARACTERS = 70 * 1024;
const RIGHT_TOKEN = "secret-token";
const WRONG_TOKEN = "wrong-token";

/** Why a connection ended, from the page's own list of close codes. */
function explainClose({ code, opened, byUs }) {
  let key = code;
  if (byUs && !opened) key = "cancelled";
  else if (!opened) key = "refused";
  const entryFor = (name) => document.querySelector(`.codes [data-code="${name}"]`);
  const entry = entryFor(key) ?? entryFor(code >= 4000 ? "application" : "other");
  const textOf = (part) => entry.querySelector(part).textContent;
  const who = opened && code !== 1006 ? (byUs ? "You hung up. " : "The server hung up. ") : "";
  return { name: textOf(".name"), why: who + textOf(".why"), todo: textOf(".todo"), tone: entry.dataset.tone };
}

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

const cloneTemplate = (id) => document.getElementById(id).content.cloneNode(true);

/** Visible text, then words only a screen reader needs to tell this button from its twins. */
function nameButton(button, text, owner) {
  button.replaceChildren(text, make("span", "sr", ` ${owner}`));
}

let lastId = 0;
function labelField(label, input, text, owner) {
  input.id ||= `field-${++lastId}`;
  label.htmlFor = input.id;
  label.replaceChildren(text, make("span", "sr", `, ${owner}`));
}

function timeOfDay(date) {
  const two = (number) => String(number).padStart(2, "0");
  const milliseconds = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${milliseconds}`;
}

function describePayload(data) {
  if (data instanceof ArrayBuffer) return `Binary, ${data.byteLength.toLocaleString("en")} bytes`;
  if (data.length <= SHOWN_CHARACTERS) return data;
  return `${data.slice(0, EXCERPT_CHARACTERS)}… (${data.length.toLocaleString("en")} characters)`;
}

/** A token input with one button for the right token and one for a wrong one. */
function tokenField(owner, token) {
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

const ARROWS = { in: ["↓", "Received: "], out: ["↑", "Sent: "], note: ["·", "Note: "] };

/** The frames of one window, newest last, at most LOG_LIMIT of them on the page. */
class FrameLog {
  constructor(root, owner) {
    this.box = root.querySelector(".log");
    this.list = this.box.querySelector("ol");
    this.counter = root.querySelector(".count");
    this.box.setAttribute("aria-label", `Frames of ${owner}`);
    const clear = root.querySelector(".clear");
    nameButton(clear, "Clear log", owner);
    clear.addEventListener("click", () => this.clear());
    this.clear();
  }

  add(direction, text) {
    const now = new Date();
    const [arrow, words] = ARROWS[direction];
    const entry = make("li", direction);
    const time = make("time", "", timeOfDay(now));
    time.dateTime = now.toISOString();
    const glyph = make("span", "arrow", arrow);
    glyph.setAttribute("aria-hidden", "true");
    const payload = make("span", "payload");
    payload.append(make("span", "sr", words), make("span", "text", text));
    entry.append(time, glyph, payload);

    const atEnd = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 32;
    this.list.append(entry);
    while (this.list.childElementCount > LOG_LIMIT) this.list.firstElementChild.remove();
    if (atEnd) this.box.scrollTop = this.box.scrollHeight; // a reader who scrolled up stays where they are
    if (direction !== "note") this.frames += 1;
    this.counter.textContent = this.frames > LOG_LIMIT ? `${this.frames}, the last ${LOG_LIMIT} kept` : this.frames;
  }

  clear() {
    this.list.replaceChildren();
    this.frames = 0;
    this.counter.textContent = 0;
  }
}

const STATES = {
  idle: ["Not connected", "Connect"],
  connecting: ["Connecting…", "Cancel"],
  open: ["Connected", "Disconnect"],
  closing: ["Hanging up…", "Disconnect"],
  closed: ["Closed", "Connect"],
  refused: ["Refused", "Connect"],
};

/** One socket and everything one sees of it. Tells its panel by `socketstate` and `frame` events. */
class SocketWindow {
  constructor(host) {
    this.host = host;
    this.name = host.dataset.name;
    this.socket = null;
    const own = [...host.children];
    host.append(cloneTemplate("window-template"));
    host.querySelector(".slot-own").replaceWith(...own);
    host.setAttribute("role", "group");
    host.setAttribute("aria-label", this.name);
    host.querySelector(".window-name").textContent = this.name;
    this.connectButton = host.querySelector(".connect");
    this.connectButton.addEventListener("click", () => this.toggle());
    this.log = new FrameLog(host, this.name);
    this.setUpToken();
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
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.send(input.value, input.value)) input.value = "";
    });
  }

  get live() {
    return this.state === "connecting" || this.state === "open";
  }

  get url() {
    const url = new URL(this.host.dataset.path, document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    if (this.tokenInput) url.searchParams.set("token", this.tokenInput.value);
    return url.href;
  }

  showAddress() {
    const parts = this.url.split(/(?<=[/_?])/); // where a narrow window may break it
    this.host.querySelector(".address code").replaceChildren(...parts.flatMap((part) => [make("wbr"), part]));
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

  connect() {
    const socket = new WebSocket(this.url);
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
    this.host.querySelector(".verdict").replaceChildren();
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

  showVerdict(code, reason, { name, why, todo, tone }) {
    const verdict = this.host.querySelector(".verdict");
    const title = make("p", "verdict-title");
    title.append(make("b", "", code), ` ${name}`);
    const remedy = make("p", "remedy");
    remedy.append(make("b", "", "What to do: "), todo);
    const said = reason ? [make("p", "reason", `The server's words: “${reason}”`)] : [];
    verdict.dataset.tone = tone;
    verdict.replaceChildren(title, make("p", "", why), ...said, remedy);
  }
}

/** One button for the two windows of a panel: connects who is missing, or hangs both up. */
function setUpBoth(panel, pair) {
  const button = panel.querySelector("[data-both]");
  const room = panel.querySelector("h3").textContent;
  const rename = () => nameButton(button, pair.every((one) => one.live) ? "Disconnect both" : "Connect both", `in ${room}`);
  button.addEventListener("click", () => {
    const waiting = pair.filter((one) => !one.live);
    for (const one of waiting.length ? waiting : pair) one.toggle();
  });
  panel.addEventListener("socketstate", rename);
  rename();
}

/** The jump link of a panel carries a dot that is filled while one of its sockets is open. */
function setUpJumpLink(panel, windows) {
  const link = document.querySelector(`nav a[href="#${panel.id}"]`);
  const dot = link.insertAdjacentElement("afterbegin", make("span", "dot"));
  dot.setAttribute("aria-hidden", "true");
  panel.addEventListener("socketstate", () => {
    link.dataset.state = windows.some((one) => one.state === "open") ? "open" : "idle";
  });
}

function setUpProgress(panel) {
  const bar = document.getElementById("job-progress");
  const percent = document.getElementById("job-percent");
  const show = (value) => {
    bar.value = value;
    bar.textContent = percent.textContent = `${value}%`;
  };
  panel.addEventListener("socketstate", ({ detail }) => detail.state === "connecting" && show(0));
  panel.addEventListener("frame", ({ detail }) => {
    const found = /(\d+)%/.exec(detail.data);
    if (found) show(Number(found[1]));
  });
}

function setUpTally(panel) {
  const output = document.getElementById(`heard-${panel.id}`);
  let heard = 0;
  panel.addEventListener("frame", () => (output.textContent = heard += 1));
}

function setUpBackend() {
  const form = document.getElementById("backend");
  const message = document.getElementById("backend-message");
  const answer = document.getElementById("backend-answer");
  const slot = form.querySelector("[data-token-field]");
  const { fragment, input } = tokenField(slot.dataset.for, slot.dataset.tokenField);
  slot.replaceWith(fragment);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    answer.dataset.tone = "";
    answer.textContent = "Sending…";
    try {
      const response = await fetch(new URL("notify", document.baseURI), {
        method: "POST",
        headers: { "Authorization": `Bearer ${input.value}`, "Content-Type": "application/json" },
        body: JSON.stringify({ message: message.value }),
      });
      const body = await response.text();
      answer.dataset.tone = response.ok ? "good" : "bad";
      answer.replaceChildren(make("b", "", `${response.status} ${response.statusText}`));
      if (body && body !== "null") answer.append(make("code", "", describePayload(body)));
    } catch {
      answer.dataset.tone = "bad";
      answer.replaceChildren(make("b", "", "No answer"), "Check that the server is running, then push again.");
    }
  });
}

const windows = [];
for (const panel of document.querySelectorAll(".panel")) {
  const inPanel = [...panel.querySelectorAll(".window")].map((host) => new SocketWindow(host));
  windows.push(...inPanel);
  setUpJumpLink(panel, inPanel);
  if (panel.querySelector("[data-both]")) setUpBoth(panel, inPanel);
}
setUpProgress(document.getElementById("progress"));
setUpTally(document.getElementById("chat"));
setUpTally(document.getElementById("second-room"));
setUpBackend();
window.addEventListener("pagehide", () => {
  for (const one of windows) if (one.live) one.disconnect();
});
