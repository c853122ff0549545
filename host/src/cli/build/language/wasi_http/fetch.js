// `fetch` over `wasi:http` for an engine that has none, with `Headers` and `Response`: what requests to an API need of
// https://fetch.spec.whatwg.org. `tinymcp build` puts it before the module of a plugin.
//
// A request begins at once, so that several run beside each other, and its answer is waited for when it is awaited.
import { handle } from "wasi:http/outgoing-handler@0.2.9";
import { Fields, OutgoingBody, OutgoingRequest, httpErrorCode } from "wasi:http/types@0.2.9";

const MAX_REDIRECTS = 20;
const READ_BYTES = 64 * 1024;
// The most that one write to a stream of WASI takes.
const WRITE_BYTES = 4096;
const METHODS = ["get", "head", "post", "put", "delete", "options", "patch"];

class Headers {
  #values = new Map();

  constructor(init) {
    const pairs = init?.[Symbol.iterator] ? init : Object.entries(init ?? {});
    for (const [name, value] of pairs) this.append(name, value);
  }

  append(name, value) {
    const key = String(name).toLowerCase();
    this.#values.set(key, [...(this.#values.get(key) ?? []), String(value).trim()]);
  }

  set(name, value) {
    this.#values.set(String(name).toLowerCase(), [String(value).trim()]);
  }

  get(name) {
    return this.#values.get(String(name).toLowerCase())?.join(", ") ?? null;
  }

  getSetCookie() {
    return [...(this.#values.get("set-cookie") ?? [])];
  }

  has(name) {
    return this.#values.has(String(name).toLowerCase());
  }

  delete(name) {
    this.#values.delete(String(name).toLowerCase());
  }

  forEach(callback, self) {
    for (const [name, value] of this) callback.call(self, value, name, this);
  }

  *entries() {
    for (const name of [...this.#values.keys()].sort()) {
      if (name === "set-cookie") for (const cookie of this.getSetCookie()) yield [name, cookie];
      else yield [name, this.get(name)];
    }
  }

  *keys() {
    for (const [name] of this) yield name;
  }

  *values() {
    for (const [, value] of this) yield value;
  }

  [Symbol.iterator]() {
    return this.entries();
  }
}

class Response {
  #chunks;
  bodyUsed = false;

  constructor(body, { status = 200, statusText = "", headers, url = "", redirected = false } = {}) {
    this.#chunks = body?.[Symbol.asyncIterator] ? body : once(bytesOf(body));
    Object.assign(this, { status, statusText, url, redirected, ok: status >= 200 && status < 300 });
    this.headers = headers instanceof Headers ? headers : new Headers(headers);
  }

  // Pieces as they arrive: `for await (const piece of response.body)`.
  get body() {
    return { [Symbol.asyncIterator]: () => this.#take()[Symbol.asyncIterator]() };
  }

  async bytes() {
    const pieces = [];
    let length = 0;
    for await (const piece of this.#take()) {
      pieces.push(piece);
      length += piece.length;
    }
    const whole = new Uint8Array(length);
    let at = 0;
    for (const piece of pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }

  async arrayBuffer() {
    return (await this.bytes()).buffer;
  }

  async text() {
    return decode(await this.bytes());
  }

  async json() {
    return JSON.parse(await this.text());
  }

  #take() {
    if (this.bodyUsed) throw new TypeError("the body of this response has been read already");
    this.bodyUsed = true;
    return this.#chunks;
  }
}

async function* once(bytes) {
  if (bytes) yield bytes;
}

function fetch(input, init = {}) {
  // What is wrong with the request rejects the promise, as everything else does.
  let first;
  try {
    const options = { ...init };
    const headers = new Headers(init.headers);
    const body = bytesOf(init.body);
    if (typeof init.body === "string" && !headers.has("content-type")) {
      headers.set("content-type", "text/plain;charset=UTF-8");
    }
    const method = String(init.method ?? "GET");
    const known = METHODS.includes(method.toLowerCase());
    first = { url: String(input?.url ?? input), method: known ? method.toUpperCase() : method, headers, body, options };
    first.pending = begin(first);
  } catch (error) {
    return Promise.reject(error);
  }
  return follow(first);
}

async function follow(request) {
  const mode = request.options.redirect ?? "follow";
  for (let redirects = 0; ; redirects++) {
    await null;
    const response = answered(request, redirects > 0);
    const location = response.headers.get("location");
    if (![301, 302, 303, 307, 308].includes(response.status) || location === null || mode === "manual") return response;
    if (mode === "error") throw new TypeError(`request to ${request.origin} failed: it is answered by a redirect`);
    if (redirects === MAX_REDIRECTS) throw new TypeError(`request to ${request.origin} failed: too many redirects`);
    for await (const piece of response.body) void piece;
    request = redirected(request, response.status, location);
    request.pending = begin(request);
  }
}

// The request that a redirect asks for (https://fetch.spec.whatwg.org/#http-redirect-fetch).
function redirected(request, status, location) {
  const next = { ...request, url: resolve(location, request), headers: new Headers(request.headers) };
  const isGet = ["GET", "HEAD"].includes(request.method);
  if ((status === 303 && !isGet) || ([301, 302].includes(status) && request.method === "POST")) {
    Object.assign(next, { method: "GET", body: null });
    for (const name of ["content-type", "content-length", "content-encoding", "content-language"]) next.headers.delete(name);
  }
  if (parts(next.url).origin !== request.origin) {
    for (const name of ["authorization", "cookie"]) next.headers.delete(name);
  }
  return next;
}

// The URL of a location (RFC 3986 §5.2), without its fragment.
function resolve(location, { origin, target }) {
  const [reference] = location.split("#");
  if (/^[a-z][a-z0-9+.-]*:/i.test(reference)) return reference;
  if (reference.startsWith("//")) return `${origin.split("//")[0]}${reference}`;
  if (reference.startsWith("/")) return origin + reference;
  const [path] = target.split("?");
  if (reference === "") return origin + target;
  if (reference.startsWith("?")) return origin + path + reference;
  const [relative, ...query] = reference.split("?");
  const segments = [...path.split("/").slice(1, -1), ...relative.split("/")];
  const kept = [];
  segments.forEach((segment, index) => {
    const isLast = index === segments.length - 1;
    if (segment === "..") kept.pop();
    else if (segment !== ".") kept.push(segment);
    if (isLast && (segment === ".." || segment === ".")) kept.push("");
  });
  return `${origin}/${[kept.join("/"), ...query].join("?")}`;
}

function parts(url) {
  const found = /^(https?):\/\/([^/?#\\]+)([^#]*)/i.exec(url);
  if (!found) throw new TypeError(`\`${url}\` is no URL that can be fetched: it needs https:// or http:// and a host`);
  const [scheme, authority] = [found[1].toLowerCase(), found[2].toLowerCase()];
  const target = found[3].startsWith("/") ? found[3] : `/${found[3]}`;
  // As browsers do it, what no request line can have is escaped.
  return { scheme, authority, origin: `${scheme}://${authority}`, target: target.replace(/[^\x21-\x7e]+/g, encodeURIComponent) };
}

function begin(request) {
  const { scheme, authority, origin, target } = parts(request.url);
  Object.assign(request, { origin, target });
  const entries = [...request.headers];
  if (!request.headers.has("accept")) entries.push(["accept", "*/*"]);
  if (request.body) entries.push(["content-length", request.body.length]);
  return attempt(origin, () => {
    const fields = Fields.fromList(entries.map(([name, value]) => [name, encode(String(value))]));
    const outgoing = new OutgoingRequest(fields);
    const name = request.method.toLowerCase();
    outgoing.setMethod(METHODS.includes(name) ? { tag: name } : { tag: "other", val: request.method });
    outgoing.setScheme({ tag: scheme.toUpperCase() });
    outgoing.setAuthority(authority);
    outgoing.setPathWithQuery(target);
    const body = request.body && outgoing.body();
    const pending = handle(outgoing, null);
    if (body) write(body, request.body);
    return pending;
  });
}

function write(body, bytes) {
  const stream = body.write();
  try {
    for (let at = 0; at < bytes.length; at += WRITE_BYTES) {
      stream.blockingWriteAndFlush(bytes.subarray(at, at + WRITE_BYTES));
    }
  } catch {
    // An answer may come before all is sent, and says more than this.
    return;
  } finally {
    stream[Symbol.dispose]();
  }
  OutgoingBody.finish(body, null);
}

function answered(request, isRedirected) {
  const { pending, origin, url } = request;
  return attempt(origin, () => {
    const pollable = pending.subscribe();
    pollable.block();
    pollable[Symbol.dispose]();
    const incoming = opened(opened(pending.get()));
    pending[Symbol.dispose]();
    const fields = incoming.headers();
    const headers = new Headers(fields.entries().map(([name, value]) => [name, decode(value)]));
    fields[Symbol.dispose]();
    const status = incoming.status();
    const [whole] = url.split("#");
    return new Response(pieces(incoming, origin), { status, headers, url: whole, redirected: isRedirected });
  });
}

async function* pieces(incoming, origin) {
  const body = incoming.consume();
  const stream = body.stream();
  try {
    for (;;) {
      const piece = attempt(origin, () => more(stream));
      if (!piece) return;
      yield piece;
    }
  } finally {
    stream[Symbol.dispose]();
    body[Symbol.dispose]();
    incoming[Symbol.dispose]();
  }
}

function more(stream) {
  try {
    return stream.blockingRead(READ_BYTES);
  } catch (error) {
    const reason = payload(error);
    if (reason?.tag === "closed") return null;
    throw httpErrorCode(reason?.val) ?? error;
  }
}

// The value of a result within a value.
function opened(result) {
  if (result?.tag === "err") throw result.val;
  return result?.val;
}

// Calls WASI; what fails is an error as `fetch` has them, in words that a model can use.
function attempt(origin, call) {
  try {
    return call();
  } catch (error) {
    const code = payload(error)?.tag ?? error?.message ?? "it is not valid";
    const said = code === "HTTP-request-denied" ? "denied: it is not granted to this plugin" : `failed: ${code}`;
    throw new TypeError(`request to ${origin} ${said}`, { cause: error });
  }
}

function payload(error) {
  return error?.payload ?? error;
}

function bytesOf(body) {
  if (body === null || body === undefined) return null;
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  return encode(String(body));
}

function encode(text) {
  const binary = unescape(encodeURIComponent(text.toWellFormed()));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

function decode(bytes) {
  let binary = "";
  for (let at = 0; at < bytes.length; at += WRITE_BYTES) {
    binary += String.fromCharCode.apply(null, bytes.subarray(at, at + WRITE_BYTES));
  }
  if (binary.startsWith("\xef\xbb\xbf")) binary = binary.slice(3);
  try {
    return decodeURIComponent(escape(binary));
  } catch {
    // No UTF-8: what is none becomes U+FFFD.
    const valid = /[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}|[\x80-\xff]/g;
    return binary.replace(valid, (found) => (found.length > 1 ? decodeURIComponent(escape(found)) : "\ufffd"));
  }
}

globalThis.fetch ??= fetch;
globalThis.Headers ??= Headers;
globalThis.Response ??= Response;
