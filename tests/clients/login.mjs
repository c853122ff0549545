// Logs in with the official TypeScript client, calls a tool, and renews its tokens.
//
//   node login.mjs URL BROWSER [legacy|modern|auto]
//
// BROWSER is a program that takes a URL and lets somebody log in there. The server has the tool `add`, and access tokens that live for
// two seconds. Each check is one line of JSON on stdout; the exit code is 0 when all of them are ok.

import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { createRequire } from "node:module";

import { check, end, expect } from "./checks.mjs";

const require = createRequire(new URL("../.tools/node/", import.meta.url));
const { Client, StreamableHTTPClientTransport, UnauthorizedError } = require("@modelcontextprotocol/client");

const TOKEN_LIFE_MS = 5_000;
const MODES = { legacy: "legacy", auto: "auto", modern: { pin: "2026-07-28" } };

const [url, browser, era = "auto"] = process.argv.slice(2);
if (!url || !browser || !(era in MODES)) {
  console.error("usage: login.mjs URL BROWSER [legacy|modern|auto]");
  process.exit(2);
}

/** Where the browser comes back. */
const called = Promise.withResolvers();
const callbacks = createServer((request, response) => {
  response.end("You can close this tab.");
  called.resolve(new URL(request.url, "http://127.0.0.1").searchParams);
});
await new Promise((listening) => callbacks.listen(0, "127.0.0.1", listening));

/** What a client keeps. */
const kept = { visits: 0, renewals: 0 };
const authProvider = {
  redirectUrl: `http://127.0.0.1:${callbacks.address().port}/callback`,
  clientMetadata: {
    client_name: "TypeScript client (tests)",
    redirect_uris: [`http://127.0.0.1:${callbacks.address().port}/callback`],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  },
  state: () => "state-of-the-typescript-client",
  clientInformation: () => kept.client,
  saveClientInformation: (client) => void (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens(tokens) {
    if (kept.tokens) kept.renewals += 1;
    kept.tokens = tokens;
  },
  saveCodeVerifier: (verifier) => void (kept.verifier = verifier),
  codeVerifier: () => kept.verifier,
  redirectToAuthorization(authorizationUrl) {
    kept.visits += 1;
    spawn(browser, [authorizationUrl.href], { stdio: "ignore" });
  },
};

const options = { versionNegotiation: { mode: MODES[era] } };
const connect = async () => {
  const client = new Client({ name: "tinymcp-tests", version: "1.0.0" }, options);
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider });
  await client.connect(transport);
  return client;
};

let client;

await check("unauthorized", async () => {
  const first = new Client({ name: "tinymcp-tests", version: "1.0.0" }, options);
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider });
  try {
    await first.connect(transport);
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    const parameters = await called.promise;
    expect(parameters.get("state") === "state-of-the-typescript-client", String(parameters));
    await transport.finishAuth(parameters);
    return Object.fromEntries(parameters.keys().map((name) => [name, "…"]));
  }
  throw new Error("it was let in without a token");
});

await check("connect", async () => {
  client = await connect();
  return client.getNegotiatedProtocolVersion();
});

const add = async () => {
  const result = await client.callTool({ name: "add", arguments: { a: 2, b: 3 } });
  expect(result.structuredContent?.result === 5, result);
  return result.structuredContent;
};

await check("add", add);

await check("renew", async () => {
  await new Promise((over) => setTimeout(over, TOKEN_LIFE_MS + 500));
  await add();
  expect(kept.renewals >= 1 && kept.visits === 1, kept);
  return kept.renewals;
});

await client?.close();
callbacks.close();
end();
