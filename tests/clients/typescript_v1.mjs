// Drives a server with the official TypeScript SDK as it was, which is what many clients still have inside.
//
//   node typescript_v1.mjs URL PACKAGE [--watch]
//
// PACKAGE is the SDK's name in tests/setup/node/package.json. The server has the tools `hello` and `add`. Checks and --watch are
// those of typescript.mjs; the last check, `no_errors`, is ok when the transport reported nothing: clients such as Gemini CLI
// give a server up for the first thing that is no message.

import { createRequire } from "node:module";

import { check, end, expect } from "./checks.mjs";

// The packages are installed beside this folder and not above it, where an `import` would look for them.
const require = createRequire(new URL("../.tools/node/", import.meta.url));

const args = process.argv.slice(2);
const watch = args.includes("--watch");
const [url, sdk] = args.filter((arg) => arg !== "--watch");
if (!url || !sdk) {
  console.error("usage: typescript_v1.mjs URL PACKAGE [--watch]");
  process.exit(2);
}
const { Client } = require(`${sdk}/client/index.js`);
const { StreamableHTTPClientTransport } = require(`${sdk}/client/streamableHttp.js`);
const { ToolListChangedNotificationSchema } = require(`${sdk}/types.js`);

// The stream for changes is opened in the background. Older SDKs have no `fetch` option.
const eventStream = Promise.withResolvers();
const fetched = globalThis.fetch;
globalThis.fetch = async (target, init) => {
  const response = await fetched(target, init);
  if (init?.method === "GET") eventStream.resolve(response.status);
  return response;
};

const errors = [];
const client = new Client({ name: "tinymcp-tests", version: "1.0.0" }, { capabilities: {} });
client.onerror = (error) => errors.push(String(error));
let changed = Promise.withResolvers();
client.setNotificationHandler(ToolListChangedNotificationSchema, () => changed.resolve());

const connected = await check("connect", async () => {
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  expect((await eventStream.promise) === 200, await eventStream.promise);
  return client.getServerVersion();
});
if (!connected) process.exit(1);

async function toolNames() {
  const { tools } = await client.listTools();
  return tools.map((tool) => tool.name);
}

await check("tools", async () => {
  const names = await toolNames();
  expect(names.includes("hello") && names.includes("add"), names);
  return names;
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

if (watch) {
  await check("list_changed", async () => {
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

await check("no_errors", async () => {
  expect(errors.length === 0, errors);
});

await client.close();
end();
