// One call of a tool, as a client of the protocol makes it (MCP 2026-07-28), by way of /try.

const VERSION = "2026-07-28";

/** The largest part of a stream that is kept while its line goes on. */
const MAX_LINE = 64 << 20;

/** A refusal by this server; `code` tells programs why, the message people. */
export class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** The body of a call. `args`, and the answers, are texts of JSON. */
function body({ tool, args, answers, state }) {
  const meta = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientInfo": { name: "tinymcp-page", title: "TinyMCP's own page", version: "1" },
    "io.modelcontextprotocol/clientCapabilities": { elicitation: { form: {}, url: {} } },
    "io.modelcontextprotocol/logLevel": "info",
    progressToken: 1,
  };
  const members = [`"name":${JSON.stringify(tool)}`, `"arguments":${args}`, `"_meta":${JSON.stringify(meta)}`];
  if (answers) members.push(`"inputResponses":${answers}`);
  if (state !== undefined) members.push(`"requestState":${JSON.stringify(state)}`);
  return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{${members.join(",")}}}`;
}

/** The headers of arguments that travel in one as well, for proxies on the way (`x-mcp-header`). */
function parameterHeaders(schema, args) {
  const values = JSON.parse(args);
  const headers = {};
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const header = property?.["x-mcp-header"];
    const value = values[name];
    if (typeof header === "string" && ["string", "number", "boolean"].includes(typeof value)) headers[`mcp-param-${header}`] = headerValue(String(value));
  }
  return headers;
}

/** Text as it stands, or as base64 if a header cannot have it. */
function headerValue(text) {
  if (/^[!-~]([ -~]*[!-~])?$/.test(text) && !text.startsWith("=?")) return text;
  return `=?base64?${btoa(String.fromCharCode(...new TextEncoder().encode(text)))}?=`;
}

/**
 * Calls a tool, and gives its messages as they come: those beside the result, and the result or an error as the last.
 *
 * @throws {Refusal}
 */
export async function* call({ tool, schema, isConfirmed, signal, ...parts }) {
  const query = new URLSearchParams({ tool, ...(isConfirmed ? { confirmed: "yes" } : {}) });
  const response = await fetch(`/try?${query}`, {
    method: "POST",
    headers: {
      ...parameterHeaders(schema, parts.args),
      "content-type": "application/json",
      "x-page-token": document.documentElement.dataset.token ?? "",
    },
    body: body({ tool, ...parts }),
    signal,
  });
  if (response.headers.get("content-type")?.startsWith("text/event-stream")) {
    yield* events(response.body);
    return;
  }
  const answer = await response.json().catch(() => ({}));
  if (answer.jsonrpc) yield answer;
  else throw new Refusal(answer.error ?? String(response.status), answer.message ?? `The server answered with ${response.status}.`);
}

/** The messages of a stream of events. Each is on one line, since JSON has no line breaks. */
async function* events(stream) {
  let rest = "";
  for await (const piece of texts(stream)) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    if (rest.length > MAX_LINE) throw new Refusal("too_large", "The answer is too large to be shown here.");
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data) yield JSON.parse(data);
    }
  }
}

async function* texts(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
