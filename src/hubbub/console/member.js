// A member of the room by the Centrifuge SDK: who is here, what is said, and what a cut connection comes back to.

import { Conversation } from "./conversation.js";
import { Line } from "./line.js";
import { anyCode, cloneTemplate, describePayload, explain, labelField, nameButton } from "./parts.js";
import { People } from "./people.js";
import { ConnectionWindow } from "./socket.js";

const HISTORY = 20; // messages that are asked for on the first join
const CUT_SECONDS = 4;
const TOO_LONG = 600;
const SHOWN_CHARACTERS = 2000; // a longer frame is shown as an excerpt
const RECONNECT_DELAYS = { minReconnectDelay: 200, maxReconnectDelay: 1000 }; // milliseconds

const counted = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

export class MemberWindow extends ConnectionWindow {
  setUpOwn() {
    const parts = cloneTemplate("member-template");
    const part = (selector) => parts.querySelector(selector);
    this.nameInput = part(".member-name");
    this.transportInput = part(".transport");
    this.positionOutput = part(".position output");
    labelField(part(".name-field label"), this.nameInput, "Name", this.name);
    labelField(part(".transport-field label"), this.transportInput, "Transport", this.name);
    nameButton(part(".cut"), `Cut the line for ${CUT_SECONDS} s`, `under ${this.name}`);
    nameButton(part("[data-send]"), `Send ${TOO_LONG} characters`, `as ${this.name}`);
    this.nameInput.value = this.name;
    this.transportInput.addEventListener("change", () => this.changeTransport());
    part(".cut").addEventListener("click", () => this.cut());
    this.people = new People(parts, this.name);
    this.messages = new Conversation(part(".conversation"), `Conversation of ${this.name}`);
    const say = this.host.querySelector(".say");
    this.host.querySelector(".bar").before(part(".identity"));
    say.before(part(".place"));
    say.after(part(".trials"), this.verdict);
    this.log.box.setAttribute("aria-live", "off"); // the messages are announced, and that is enough
    this.show(null);
  }

  get address() {
    const url = new URL(`connection/${this.transportInput.value}`, document.baseURI);
    if (this.transportInput.value === "websocket") url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    return url.href;
  }

  setState(state) {
    super.setState(state);
    this.nameInput.readOnly = this.live;
    if (state !== "open") this.people.clear();
  }

  /** Where this window stands in the history of its room; null before it was there. */
  show(position) {
    this.position = position;
    this.positionOutput.textContent = position ? `offset ${position.offset}, epoch ${position.epoch}` : "none yet";
  }

  // The connection

  connect() {
    const channel = `room:${this.room.name}`;
    if (channel !== this.channel) {
      this.channel = channel;
      this.messages.clear();
      this.show(null);
    }
    this.verdict.replaceChildren();
    const line = (this.line = new Line((direction, text) => {
      this.log.add(direction, describePayload(text, SHOWN_CHARACTERS, SHOWN_CHARACTERS));
    }));
    const sdk = (this.sdk = new Centrifuge([{ transport: this.transportInput.value, endpoint: this.address }], {
      ...line.options,
      ...RECONNECT_DELAYS,
      emulationEndpoint: new URL("emulation", document.baseURI).href,
      data: { name: this.nameInput.value },
    }));
    // With a position of an earlier connection, even one over another transport, it gets what it has missed since.
    this.subscription = sdk.newSubscription(channel, { since: this.position });
    this.listen(sdk, "connecting", ({ code, reason }) => this.onConnecting(code, reason));
    this.listen(sdk, "connected", ({ client, transport }) => {
      this.log.add("note", `Connected over ${transport} as ${client}`);
      this.id = this.people.own = client;
    });
    this.listen(sdk, "error", ({ error }) => this.log.add("note", `No connection: ${error.message} (${error.code})`));
    this.listen(sdk, "disconnected", ({ code, reason }) => this.onDisconnected(code, reason));
    this.listen(this.subscription, "subscribed", (context) => this.onSubscribed(context));
    this.listen(this.subscription, "unsubscribed", ({ code, reason }) => code && this.onDisconnected(code, reason));
    this.listen(this.subscription, "error", ({ error }) => {
      this.log.add("note", `Not in the room: ${error.message} (${error.code})`);
    });
    this.listen(this.subscription, "publication", (publication) => this.onPublication(publication));
    this.listen(this.subscription, "join", ({ info }) => this.people.join(info));
    this.listen(this.subscription, "leave", ({ info }) => this.people.leave(info));
    this.subscription.subscribe();
    sdk.connect();
  }

  /** Hears an event for as long as this is the window's connection. */
  listen(source, event, react) {
    const { sdk } = this;
    source.on(event, (context) => {
      if (this.sdk === sdk) react(context);
    });
  }

  disconnect() {
    this.sdk.disconnect();
  }

  /** Goes on over another transport, from the very message. */
  changeTransport() {
    this.showAddress();
    if (!this.live) return;
    this.leave();
    this.lostAt = performance.now();
    this.connect();
  }

  leave() {
    const { sdk } = this;
    this.sdk = null;
    sdk.disconnect();
  }

  onConnecting(code, reason) {
    if (code === 0) return this.setState("connecting");
    this.lostAt = performance.now();
    this.log.add("note", `Lost: ${reason} (${code}). The SDK connects again by itself.`);
    this.setState(this.line.isCut ? "cut" : "returning");
  }

  /** It ended, by us (0) or because connecting or subscribing was refused. */
  onDisconnected(code, reason) {
    this.leave();
    this.lostAt = performance.now();
    this.log.add("note", `Disconnected: ${reason} (${code})`);
    if (code) this.showVerdict(code, reason, explain(code, anyCode(code)));
    this.setState(code ? "refused" : "closed");
  }

  // The room

  onSubscribed({ wasRecovering, recovered, streamPosition }) {
    const before = this.position;
    this.show(streamPosition);
    this.setState("open");
    this.meet();
    if (!wasRecovering) return this.readHistory("said before you came", 0);
    const away = `Away for ${((performance.now() - this.lostAt) / 1000).toFixed(1)} s.`;
    if (!recovered) {
      const tooLong = "recovered: false. What was missed is more than the server keeps, or it was started anew.";
      this.messages.tell(`${away} ${tooLong}`, "bad");
      return this.readHistory("kept by the server", before.epoch === streamPosition.epoch ? before.offset : 0);
    }
    // What was missed comes next, in this very turn of the event loop; whatever comes later is live.
    const entry = this.messages.tell("");
    this.recovering = true;
    queueMicrotask(() => {
      this.recovering = false;
      const missed = this.position.offset - before.offset;
      const steps = missed ? `offset ${before.offset} → ${this.position.offset}` : `offset ${before.offset}`;
      this.messages.retell(entry, `${away} recovered: true, ${counted(missed, "message")} missed, ${steps}.`, "good");
    });
  }

  onPublication(publication) {
    this.show({ ...this.position, offset: publication.offset });
    const own = publication.info?.client === this.id;
    this.messages.say(this.recovering ? "recovered" : "live", publication, { own });
  }

  async meet() {
    const { sdk, channel } = this;
    try {
      const { clients } = await sdk.presence(channel);
      if (this.sdk === sdk) this.people.snapshot(clients);
    } catch (error) {
      this.log.add("note", `Who is here is not known: ${error.message} (${error.code})`);
    }
  }

  /** Shows what the server keeps, after an offset and up to the position, above what comes from now on. */
  async readHistory(which, after) {
    const { offset } = this.position;
    const entry = this.messages.tell("Reading the history…");
    try {
      const { publications } = await this.subscription.history({ limit: HISTORY, reverse: true });
      const earlier = publications.filter((one) => one.offset > after && one.offset <= offset).reverse();
      for (const one of earlier) this.messages.say("history", one, { before: entry });
      const above = `Above: ${counted(earlier.length, "message")} ${which}.`;
      this.messages.retell(entry, earlier.length ? above : `Nothing was ${which}.`);
    } catch (error) {
      this.messages.retell(entry, `The history could not be read: ${error.message} (${error.code}).`, "bad");
    }
  }

  async send(text) {
    if (this.state !== "open") {
      this.log.add("note", "Not sent. Connect first.");
      return false;
    }
    try {
      await this.subscription.publish({ text });
      this.verdict.replaceChildren();
      return true;
    } catch ({ code, message }) {
      this.showVerdict(code, message, explain(code, anyCode(code)));
      return false;
    }
  }

  sendSpecial() {
    this.send("x".repeat(TOO_LONG));
  }

  /** Cuts the line for some seconds. The panel hears of it, and lets somebody speak meanwhile. */
  async cut() {
    const { line } = this;
    if (this.state !== "open") return this.log.add("note", "Nothing to cut. Connect first.");
    this.messages.tell(`The line is cut, at offset ${this.position.offset}.`, "warn");
    line.cut();
    this.lostAt = performance.now();
    this.setState("cut"); // the SDK hears of it, by some transports a moment later
    this.host.dispatchEvent(new CustomEvent("linecut", { bubbles: true, detail: { name: this.nameInput.value } }));
    for (let left = CUT_SECONDS; left > 0 && this.line === line && this.state === "cut"; left--) {
      this.host.querySelector(".state-text").textContent = `Cut off, back in ${left} s`;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    line.mend();
    if (this.line === line && this.state === "cut") this.setState("returning");
  }
}
