// What was said in the room, and what became of the connection, in the order of the room.

import { Log, describePayload, make } from "./parts.js";

export class Conversation extends Log {
  /** A message: live, of the history, or recovered. At the end, or before another entry. */
  say(kind, { offset, info, data }, { own = false, before = null } = {}) {
    const entry = make("li", own ? `${kind} own` : kind);
    const words = make("span", "words");
    words.append(make("b", info ? "who" : "who nobody", info ? info.user : "No SDK"), " ");
    words.append(make("span", "text", describePayload(String(data?.text ?? JSON.stringify(data)))));
    if (kind !== "live") words.append(" ", make("span", "tag", kind));
    entry.append(make("span", "offset", `#${offset}`), words);
    this.append(entry, before);
  }

  /** An entry about the connection; `retell` changes it. */
  tell(text, tone = "calm") {
    const entry = make("li", "event", text);
    entry.dataset.tone = tone;
    this.append(entry);
    return entry;
  }

  retell(entry, text, tone = "calm") {
    this.change(() => (entry.textContent = text));
    entry.dataset.tone = tone;
  }
}
