// The driver in Node: node node.mjs <folder of npm packages>; commands on standard input, all else on standard output.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { Driver } from "./driver.mjs";

const require = createRequire(`${process.argv[2]}/`);
const sdks = {
  json: require("centrifuge").Centrifuge,
  protobuf: require("centrifuge/build/protobuf").Centrifuge,
};
const options = { websocket: require("ws"), eventsource: require("eventsource") };
const write = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const driver = new Driver(sdks, options, write);

// The SDK reports what an app's handler throws as an unhandled rejection, which ends Node.
process.on("unhandledRejection", (error) => {
  if (error.message !== "a bug of the app") throw error;
});

for await (const line of createInterface({ input: process.stdin })) {
  const { number, ...command } = JSON.parse(line);
  driver.run(command).then((outcome) => write({ number, ...outcome }));
}
process.exit(0);
