// Reads a list of documents, and writes for each the list of what AsyncAPI's own parser has against it.
import { text } from "node:stream/consumers";
import { Parser } from "@asyncapi/parser";

const complaints = async (document) => {
  const { diagnostics } = await new Parser().parse(document);
  return diagnostics.map(({ code, message, path }) => `${code} at ${path.join("/")}: ${message}`);
};

const documents = JSON.parse(await text(process.stdin));
console.log(JSON.stringify(await Promise.all(documents.map(complaints))));
