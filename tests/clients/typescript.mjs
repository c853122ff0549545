// Drives a server with the official TypeScript client, as an editor would.
//
//   node typescript.mjs URL [legacy|modern|auto] [--watch]
//
// A directory in the place of the URL is that of a server to be started there, as `$TINYMCP stdio`.
//
// The server has the tools `hello` and `add`. Each check is one line of JSON on stdout:
//   {"check": "add", "ok": true, "detail": …}
// The exit code is 0 when all of them are ok. With --watch the line `READY` follows the checks; then the tools may change, and
// the check `list_changed` gives their names as they are afterwards.

import { createRequire } from "node:module";

import { check, end, expect } from "./checks.mjs";

// The packages are installed beside this folder and not above it, where an `import` would look for them.
const require = createRequire(new URL("../.tools/node/", import.meta.url));
const { Client, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");
const { StdioClientTransport } = require("@modelcontextprotocol/client/stdio");

/** JSON-RPC "invalid params", which the specification wants for an unknown tool. */
const INVALID_PARAMS = -32602;

const MODERN_VERSION = "2026-07-28";
const MODES = { legacy: "legacy", auto: "auto", modern: { pin: MODERN_VERSION } };

const args = process.argv.slice(2);
const watch = args.includes("--watch");
const [url, era = "auto"] = args.filter((arg) => arg !== "--watch");
if (!url || !(era in MODES)) {
  console.error("usage: typescript.mjs URL [legacy|modern|auto] [--watch]");
  process.exit(2);
}

// In the legacy era changes come on a stream that the client opens in the background: READY has to wait for it.
const eventStream = Promise.withResolvers();
async function watchedFetch(target, init) {
  const response = await fetch(target, init);
  if (init?.method === "GET") eventStream.resolve(response.status);
  return response;
}

const client = new Client({ name: "tinymcp-tests", version: "1.0.0" }, { versionNegotiation: { mode: MODES[era] } });
let changed = Promise.withResolvers();
client.setNotificationHandler("notifications/tools/list_changed", () => changed.resolve());

function transport() {
  if (url.includes("://")) return new StreamableHTTPClientTransport(new URL(url), { fetch: watchedFetch });
  eventStream.resolve(200);
  return new StdioClientTransport({ command: process.env.TINYMCP, args: ["stdio"], cwd: url, env: process.env });
}

const connected = await check("connect", async () => {
  await client.connect(transport());
  const version = client.getNegotiatedProtocolVersion();
  expect((version === MODERN_VERSION) === (era !== "legacy"), version);
  return { version, server: client.getServerVersion() };
});
if (!connected) process.exit(1);

async function toolNames() {
  const { tools } = await client.listTools();
  return tools.map((tool) => tool.name);
}

await check("tools", async () => {
  const { tools } = await client.listTools();
  for (const name of ["hello", "add"]) {
    const tool = tools.find((tool) => tool.name === name);
    expect(tool?.description && tool.inputSchema.type === "object", tools);
  }
  return tools.map((tool) => tool.name);
});

await check("hello", async () => {
  const result = await client.callTool({ name: "hello", arguments: { name: "Ada" } });
  expect(!result.isError && result.content[0].text.includes("Ada"), result);
  return result.content[0].text;
});

await check("add", async () => {
  const result = await client.callTool({ name: "add", arguments: { a: 2, b: 3 } });
  expect(!result.isError && result.structuredContent?.result === 5, result);
  return result.structuredContent;
});

await check("bad_argument", async () => {
  const result = await client.callTool({ name: "add", arguments: { a: "two", b: 3 } });
  expect(result.isError === true && result.content[0].text, result);
  return result.content[0].text;
});

await check("unknown_tool", async () => {
  try {
    const result = await client.callTool({ name: "no_such_tool", arguments: {} });
    expect(false, result);
  } catch (error) {
    if (error.code === undefined) throw error;
    expect(error.code === INVALID_PARAMS, error.code);
    return error.message;
  }
});

if (watch) {
  await check("list_changed", async () => {
    if (client.getProtocolEra() === "modern") {
      await client.listen({ toolsListChanged: true });
    } else {
      expect((await eventStream.promise) === 200, await eventStream.promise);
    }
    // One that came before is about plugins that were loaded at the start.
    const before = await toolNames();
    console.log("READY");
    for (;;) {
      await changed.promise;
      changed = Promise.withResolvers();
      const now = await toolNames();
      if (`${now}` !== `${before}`) return now;
    }
  });
}

await client.close();
end();
