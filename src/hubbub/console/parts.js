// What windows are made of: elements, logs and verdicts. Markup is in index.html.
// Whatever a peer sends is shown through textContent, never as HTML.

const LOG_LIMIT = 200; // entries kept per log; older ones leave the page
const SHOWN_CHARACTERS = 500; // a longer payload is shown as an excerpt and a count
const EXCERPT_CHARACTERS = 24;

export function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

export const cloneTemplate = (id) => document.getElementById(id).content.cloneNode(true);

/** Visible text, then words only a screen reader needs to tell this button from its twins. */
export function nameButton(button, text, owner) {
  button.replaceChildren(text, make("span", "sr", ` ${owner}`));
}

let lastId = 0;
export function labelField(label, input, text, owner) {
  input.id ||= `field-${++lastId}`;
  label.htmlFor = input.id;
  label.replaceChildren(text, make("span", "sr", `, ${owner}`));
}

/** Shows an address so that a narrow window may break it where it reads well. */
export function showBroken(element, address) {
  element.replaceChildren(...address.split(/(?<=[/_?&])/).flatMap((part) => [make("wbr"), part]));
}

function timeOfDay(date) {
  const two = (number) => String(number).padStart(2, "0");
  const milliseconds = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${milliseconds}`;
}

export function describePayload(data, shown = SHOWN_CHARACTERS, excerpt = EXCERPT_CHARACTERS) {
  if (data instanceof ArrayBuffer) return `Binary, ${data.byteLength.toLocaleString("en")} bytes`;
  if (data.length <= shown) return data;
  return `${data.slice(0, excerpt)}… (${data.length.toLocaleString("en")} characters)`;
}

/** A list that grows at its end, and keeps the newest LOG_LIMIT entries. */
export class Log {
  constructor(box, label) {
    this.box = box;
    this.list = box.querySelector("ol");
    box.setAttribute("aria-label", label);
    this.follows = true; // the end; until a reader scrolls up
    this.top = 0;
    box.addEventListener("scroll", () => {
      if (box.scrollHeight - box.scrollTop - box.clientHeight < 32) this.follows = true;
      else if (box.scrollTop < this.top) this.follows = false;
    });
    new ResizeObserver(() => this.change(() => {})).observe(box);
  }

  /** Adds an entry at the end, or before another one. */
  append(entry, before = null) {
    this.change(() => {
      this.list.insertBefore(entry, before);
      while (this.list.childElementCount > LOG_LIMIT) this.list.firstElementChild.remove();
    });
  }

  /** Does what may change the height, and shows the end again if that was shown. */
  change(act) {
    act();
    if (!this.follows) return;
    this.box.scrollTop = this.box.scrollHeight;
    this.top = this.box.scrollTop;
  }

  clear() {
    this.list.replaceChildren();
  }
}

const ARROWS = { in: ["↓", "Received: "], out: ["↑", "Sent: "], note: ["·", "Note: "] };

/** The frames of one window, newest last. */
export class FrameLog extends Log {
  constructor(root, owner) {
    super(root.querySelector(".frames"), `Frames of ${owner}`);
    this.counter = root.querySelector(".count");
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
    this.append(entry);
    if (direction !== "note") this.frames += 1;
    this.counter.textContent = this.frames > LOG_LIMIT ? `${this.frames}, the last ${LOG_LIMIT} kept` : this.frames;
  }

  clear() {
    super.clear();
    this.frames = 0;
    this.counter.textContent = 0;
  }
}

/** What the page's own lists say of a code: the first of these names that they know. */
export function explain(...names) {
  const entryFor = (name) => document.querySelector(`.codes [data-code="${name}"]`);
  const entry = names.map(entryFor).find(Boolean);
  const textOf = (part) => entry.querySelector(part).textContent;
  return { name: textOf(".name"), why: textOf(".why"), todo: textOf(".todo"), tone: entry.dataset.tone };
}

/** What codes that the page does not know one by one go by. */
export function anyCode(code) {
  if (code < 100) return "sdk";
  return code >= 4000 ? "application" : "other";
}

/** Shows why something ended or was refused, and what to do about it. */
export function showVerdict(verdict, code, reason, { name, why, todo, tone }) {
  const title = make("p", "verdict-title");
  title.append(make("b", "", code), ` ${name}`);
  const remedy = make("p", "remedy");
  remedy.append(make("b", "", "What to do: "), todo);
  const said = reason ? [make("p", "reason", `The server's words: “${reason}”`)] : [];
  verdict.dataset.tone = tone;
  verdict.replaceChildren(title, make("p", "", why), ...said, remedy);
}
