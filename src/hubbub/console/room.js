// The channel room: two SDKs, a plain WebSocket and a listener, all in the room that the panel names.

import { ListenerWindow } from "./listener.js";
import { MemberWindow } from "./member.js";
import { nameButton } from "./parts.js";
import { SocketWindow } from "./socket.js";

const SAID_MEANWHILE = 3; // messages, a second apart, while a line is cut

/** Sets the panel up, and gives its windows. */
export function setUpRoom(panel) {
  const input = panel.querySelector("#room-name");
  const room = { get name() { return input.value; } };
  const hosts = [...panel.querySelectorAll(".member")];
  const sdk = "Centrifuge" in globalThis;
  panel.querySelector(".sdk-missing").hidden = sdk;
  if (!sdk) for (const host of hosts.splice(0)) host.remove();

  const members = hosts.map((host) => new MemberWindow(host, room));
  const plain = new SocketWindow(panel.querySelector("[data-path]"), room);
  const listener = new ListenerWindow(panel.querySelector("[data-listener]"), room);
  const windows = [...members, plain, listener];
  const path = plain.host.dataset.path;

  const rename = () => {
    plain.host.dataset.path = `${path}${encodeURIComponent(room.name)}`;
    plain.showAddress();
    listener.showAddress();
  };
  input.addEventListener("input", rename);
  rename();

  const all = panel.querySelector("[data-all]");
  const follow = () => {
    input.readOnly = windows.some((one) => one.live); // all are in one room
    nameButton(all, windows.every((one) => one.live) ? "Disconnect all" : "Connect all", "in the channel room");
  };
  all.addEventListener("click", () => {
    const waiting = windows.filter((one) => !one.live);
    for (const one of waiting.length ? waiting : windows) one.toggle();
  });
  panel.addEventListener("socketstate", follow);
  follow();

  panel.addEventListener("linecut", ({ target, detail }) => {
    const speakers = [...members, plain].filter((one) => one.host !== target && one.state === "open");
    if (speakers.length) speak(speakers[0], detail.name);
  });
  return windows;
}

async function speak(speaker, absent) {
  for (let number = 1; number <= SAID_MEANWHILE; number++) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const text = `Said while ${absent} was cut off, ${number} of ${SAID_MEANWHILE}`;
    speaker.send(text, text);
  }
}
