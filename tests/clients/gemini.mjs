// Drives a server with Gemini CLI as it is published, without an account: a model of ours tells it which tool to call.
//
//   node gemini.mjs URL
//
// The server has the tool `add`. Gemini CLI runs in a home of its own, connects, offers the tools to the model, calls `add` for
// it and hands the result back. Each check is one line of JSON on stdout, as in typescript.mjs; the exit code is 0 when all
// are ok.

import { spawn } from "node:child_process";
import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Gemini CLI reads some megabytes of JavaScript before it does anything, and does it twice. */
const DEADLINE_MS = 300_000;

const [url] = process.argv.slice(2);
if (!url) {
  console.error("usage: gemini.mjs URL");
  process.exit(2);
}

let failed = false;

function check(name, ok, detail) {
  failed ||= !ok;
  console.log(JSON.stringify({ check: name, ok, detail }));
}

/** What Gemini CLI offered to the model and what it brought back. */
const seen = { offered: [], returned: undefined };

/** The model: calls `add` once, and is content with whatever comes of it. */
function answer({ tools = [], contents = [] }) {
  const offered = tools.flatMap((tool) => tool.functionDeclarations ?? []).map((tool) => tool.name);
  if (offered.length > seen.offered.length) seen.offered = offered;
  const returned = contents.flatMap(({ parts = [] }) => parts).find((part) => part.functionResponse);
  if (returned) seen.returned = returned.functionResponse;
  const name = offered.find((name) => name.endsWith("_add"));
  if (returned || !name) return [{ text: "done" }];
  return [{ functionCall: { name, args: { a: 2, b: 3 } } }];
}

const model = createServer(async (request, response) => {
  const body = JSON.parse((await request.toArray()).join("") || "{}");
  const parts = answer(body);
  const usageMetadata = { promptTokenCount: 1, candidatesTokenCount: 1, totalTokenCount: 2 };
  const reply = JSON.stringify({ candidates: [{ content: { role: "model", parts }, finishReason: "STOP", index: 0 }], usageMetadata });
  const streams = request.url.includes("streamGenerateContent");
  response.writeHead(200, { "content-type": streams ? "text/event-stream" : "application/json" });
  response.end(streams ? `data: ${reply}\n\n` : reply);
});
await new Promise((listening) => model.listen(0, "127.0.0.1", listening));

const home = await mkdtemp(join(tmpdir(), "gemini-"));
await mkdir(join(home, ".gemini"));
const settings = {
  mcpServers: { tinymcp: { httpUrl: url, trust: true } },
  security: { auth: { selectedType: "gemini-api-key" }, folderTrust: { enabled: false } },
  general: { disableAutoUpdate: true, enableAutoUpdate: false },
  privacy: { usageStatisticsEnabled: false },
  telemetry: { enabled: false },
};
await writeFile(join(home, ".gemini", "settings.json"), JSON.stringify(settings));

const program = fileURLToPath(new URL("../.tools/node/node_modules/@google/gemini-cli/bundle/gemini.js", import.meta.url));

async function gemini(...args) {
  const child = spawn(process.execPath, [program, ...args], {
    cwd: home,
    env: {
      PATH: process.env.PATH,
      HOME: home,
      GEMINI_CLI_HOME: home,
      GEMINI_API_KEY: "of-no-account",
      GOOGLE_GEMINI_BASE_URL: `http://127.0.0.1:${model.address().port}`,
      GEMINI_CLI_TRUST_WORKSPACE: "true",
      GEMINI_SANDBOX: "false",
      NO_COLOR: "1",
    },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: DEADLINE_MS,
  });
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => stream.toArray());
  const code = await new Promise((ended) => child.on("close", ended));
  return { code, stdout: (await stdout).join(""), stderr: (await stderr).join("") };
}

try {
  const listed = await gemini("mcp", "list");
  const said = listed.stdout + listed.stderr;
  check("connect", /tinymcp.*Connected/.test(said) && !/Disconnected/.test(said), said);

  const ran = await gemini("--model", "gemini-2.5-flash", "--approval-mode", "yolo", "--prompt", "Add 2 and 3");
  const offers = (name) => seen.offered.some((offered) => offered.endsWith(name));
  check("tools", offers("_add") && offers("_hello"), { offered: seen.offered, code: ran.code });
  check("add", JSON.stringify(seen.returned ?? null).includes("5"), seen.returned);
  // What it says of servers that it has lost.
  check("quiet", ran.code === 0 && !/MCP (ERROR|issues)|Error parsing|Unexpected end of JSON/i.test(ran.stderr), ran.stderr);
} finally {
  model.close();
  await rm(home, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
