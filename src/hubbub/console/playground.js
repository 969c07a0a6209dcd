// The playground: a panel per system, a window per connection. Markup is in index.html; this file gives it life.

import { describePayload, make, nameButton } from "./parts.js";
import { setUpRoom } from "./room.js";
import { SocketWindow, tokenField } from "./socket.js";

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
  const isRoom = panel.id === "channel-room";
  const inPanel = isRoom ? setUpRoom(panel) : [...panel.querySelectorAll(".window")].map((host) => new SocketWindow(host));
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
