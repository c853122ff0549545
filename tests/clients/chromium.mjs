// Drives a real Chromium through logins, by its DevTools protocol over the WebSocket that Node brings.
//
//   node chromium.mjs AUTHORIZE_URL ACTION…
//
// Goes to the authorization, and does these things one after the other:
//
//   click:SELECTOR        clicks the first such element with a real mouse event, as a person does
//   double:SELECTOR       the same twice, as fast as it goes
//   type:SELECTOR=TEXT    writes into an element
//   write:TEXT            writes into the element that has the focus
//   reach:SELECTOR        presses the Tab key until such an element has the focus
//   enter                 presses the Enter key
//   open:URL              goes to a URL in this tab
//   new:URL               goes to a URL in another tab, which is the current one from then on
//   switch:N              goes to the N-th tab
//   back                  the back button
//   wait:TEXT             waits until the page's URL or text has TEXT
//   left:PREFIX           waits until the browser has been sent to a URL with this prefix, of which nothing is loaded
//   page                  reports what is shown
//   key:KEY               presses a key, such as Escape, ArrowRight or Space
//   select:SELECTOR=TEXT  chooses the option of this text
//   has:SELECTOR          waits until there is such an element to be seen
//   gone:SELECTOR         waits until there is none
//   value:EXPRESSION      reports the value of an expression on the page
//   size:WIDTHxHEIGHT     the size of the screen
//   fits                  is ok if nothing is wider than the screen
//   dark, light           how the person wants pages to look
//   noscript              runs no script from the next page on
//   clipboard             lets pages write to the clipboard
//   axe                   is ok if axe finds nothing against WCAG 2.2 A and AA
//   shot:FILE             takes a picture of the whole page
//   touch:FILE            makes a file, for who waits for this action
//
// Each action is one line of JSON on stdout: {"check": ACTION, "ok": …, "detail": …}. At the end come `console`, which is ok when no page
// has written an error or broken its content security policy. The exit code is 0 when all of them are ok.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const DEADLINE_MS = 300_000;
const STEP_MS = 60_000;
const MAX_TABS = 30;

/** What a page of ours must not be the reason for; the rest of Chromium's advice is about autofill and the like. */
const ISSUES = ["ContentSecurityPolicyIssue", "CookieIssue", "MixedContentIssue", "BlockedByResponseIssue"];

const [first, ...actions] = process.argv.slice(2);
if (!first) {
  console.error("usage: chromium.mjs AUTHORIZE_URL ACTION…");
  process.exit(2);
}

const profile = mkdtempSync(join(tmpdir(), "chromium-"));
const chromium = spawn(
  "chromium",
  [
    "--headless=new",
    "--no-sandbox", // CI is root in a container, and the only pages are ours.
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    `--user-data-dir=${profile}`,
    "about:blank",
  ],
  { stdio: ["ignore", "ignore", "pipe"] },
);

let failed = false;
function report(check, ok, detail) {
  failed ||= !ok;
  console.log(JSON.stringify({ check, ok, detail }));
}

async function end() {
  const gone = new Promise((resolve) => chromium.once("exit", resolve));
  chromium.kill("SIGTERM");
  await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, 3000))]);
  chromium.kill("SIGKILL");
  // Its children go a little later, and write to the last.
  for (let attempt = 0; attempt < 50; attempt += 1) {
    try {
      rmSync(profile, { recursive: true, force: true });
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  process.exit(failed ? 1 : 0);
}

setTimeout(() => {
  report("deadline", false, `not done within ${DEADLINE_MS} ms`);
  end();
}, DEADLINE_MS).unref();

/** Chromium says on standard error where it listens. */
const endpoint = await new Promise((resolve, reject) => {
  let said = "";
  chromium.stderr.on("data", (chunk) => {
    said += chunk;
    const found = said.match(/DevTools listening on (ws:\S+)/);
    if (found) resolve(found[1]);
  });
  chromium.once("error", reject);
  chromium.once("exit", () => reject(new Error(`chromium ended: ${said}`)));
}).catch((error) => {
  report("chromium", false, String(error));
  process.exit(1);
});

const socket = new WebSocket(endpoint);
await new Promise((resolve, reject) => {
  socket.onopen = resolve;
  socket.onerror = reject;
});

let lastId = 0;
const pending = new Map();
/** URLs to which pages were sent, with those that no page came of. */
const requested = [];
/** What pages complained about. */
const complaints = [];

function send(method, params = {}, sessionId = undefined) {
  lastId += 1;
  const id = lastId;
  socket.send(JSON.stringify({ id, method, params, sessionId }));
  return new Promise((resolve, reject) => pending.set(id, { resolve, reject, method }));
}

socket.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  if (message.id) {
    const { resolve, reject, method } = pending.get(message.id);
    pending.delete(message.id);
    if (message.error) reject(new Error(`${method}: ${message.error.message}`));
    else resolve(message.result);
    return;
  }
  const { method, params } = message;
  if (method === "Network.requestWillBeSent") requested.push(params.documentURL, params.request.url);
  if (method === "Page.frameRequestedNavigation" || method === "Page.frameStartedNavigating") requested.push(params.url);
  if (method === "Log.entryAdded" && ["error", "warning"].includes(params.entry.level)) complaints.push(`${params.entry.source}: ${params.entry.text} ${params.entry.url ?? ""}`);
  if (method === "Runtime.consoleAPICalled" && params.type === "error") complaints.push(JSON.stringify(params.args));
  if (method === "Audits.issueAdded" && ISSUES.includes(params.issue.code)) complaints.push(`issue: ${JSON.stringify(params.issue.details ?? params.issue.code).slice(0, 400)}`);
};

/** Tabs, in the order in which they were opened. */
const tabs = [];
let current;

async function openTab() {
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  for (const domain of ["Page", "Runtime", "Network", "Log", "Audits"]) await send(`${domain}.enable`, {}, sessionId);
  tabs.push({ targetId, sessionId });
  await show(tabs.length - 1);
}

async function show(number) {
  current = tabs[number];
  await send("Target.activateTarget", { targetId: current.targetId });
}

const command = (method, params) => send(method, params, current.sessionId);

async function evaluate(expression) {
  const { result, exceptionDetails } = await command("Runtime.evaluate", { expression, returnByValue: true });
  if (exceptionDetails) throw new Error(exceptionDetails.text);
  return result.value;
}

/** Asks again and again until it is so; a page that is being replaced answers with an error. */
async function until(what, isSo) {
  const deadline = Date.now() + STEP_MS;
  let last;
  while (Date.now() < deadline) {
    try {
      last = await isSo();
      if (last) return last;
    } catch (error) {
      last = String(error);
    }
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  throw new Error(`${what}: not within ${STEP_MS} ms (${JSON.stringify(last)}); at ${JSON.stringify(await shown().catch(String))}; sent to ${JSON.stringify(requested.slice(-4))}`);
}

const shown = async () =>
  JSON.parse(await evaluate("JSON.stringify({ url: location.href, title: document.title, text: document.body?.innerText ?? '' })"));

async function goTo(url) {
  await command("Page.navigate", { url });
  await until(`load ${url}`, () => evaluate("document.readyState === 'complete' && location.href !== 'about:blank'"));
}

async function centre(selector) {
  return until(selector, async () => {
    const found = await evaluate(`(() => {
      if (document.readyState === 'loading') return null;
      const element = document.querySelector(${JSON.stringify(selector)});
      if (!element) return null;
      element.scrollIntoView({ block: 'center' });
      const { x, y, width, height } = element.getBoundingClientRect();
      return width && height ? JSON.stringify({ x: x + width / 2, y: y + height / 2 }) : null;
    })()`);
    return found && JSON.parse(found);
  });
}

async function click(selector, times) {
  const place = await centre(selector);
  const events = [];
  for (let count = 1; count <= times; count += 1) {
    for (const type of ["mousePressed", "mouseReleased"]) {
      events.push(command("Input.dispatchMouseEvent", { type, ...place, button: "left", clickCount: count }));
    }
  }
  await Promise.allSettled(events);
}

/** Windows' numbers of keys, by which Chromium knows what each does. */
const KEYS = { Tab: 9, Enter: 13, Escape: 27, Space: 32, ArrowLeft: 37, ArrowUp: 38, ArrowRight: 39, ArrowDown: 40 };

async function press(key, text) {
  const virtualKey = KEYS[key];
  await command("Input.dispatchKeyEvent", { type: "keyDown", key, code: key, text, windowsVirtualKeyCode: virtualKey });
  await command("Input.dispatchKeyEvent", { type: "keyUp", key, code: key, windowsVirtualKeyCode: virtualKey });
}

const ACTIONS = {
  click: (selector) => click(selector, 1),
  double: (selector) => click(selector, 2),
  async type(rest) {
    const [selector, text] = rest.split(/=(?=[^\]]*$)/);
    await click(selector, 1);
    await command("Input.insertText", { text });
  },
  write: (text) => command("Input.insertText", { text }),
  async reach(selector) {
    await centre(selector);
    for (let presses = 0; presses < MAX_TABS; presses += 1) {
      if (await evaluate(`document.activeElement?.matches(${JSON.stringify(selector)}) ?? false`)) return presses;
      await press("Tab");
    }
    throw new Error(`no such element within ${MAX_TABS} presses`);
  },
  enter: () => press("Enter", "\r"),
  open: goTo,
  async new(url) {
    await openTab();
    await goTo(url);
  },
  switch: (number) => show(Number(number)),
  async back() {
    const { currentIndex, entries } = await command("Page.getNavigationHistory");
    await command("Page.navigateToHistoryEntry", { entryId: entries[currentIndex - 1].id });
  },
  wait: (text) =>
    until(text, async () => {
      const page = await shown();
      return page.url.includes(text) || page.text.includes(text);
    }),
  left: (prefix) => until(`left for ${prefix}`, async () => requested.find((url) => url?.startsWith(prefix))),
  page: shown,
  key: (key) => press(key, { Enter: "\r", Space: " " }[key]),
  async select(rest) {
    const [selector, text] = rest.split(/=(?=[^\]]*$)/);
    await centre(selector);
    const isChosen = await evaluate(`(() => {
      const select = document.querySelector(${JSON.stringify(selector)});
      const option = [...select.options].find((option) => option.text === ${JSON.stringify(text)});
      if (!option) return false;
      select.value = option.value;
      return select.dispatchEvent(new Event("change", { bubbles: true }));
    })()`);
    if (!isChosen) throw new Error("there is no such option");
  },
  has: async (selector) => void (await centre(selector)),
  gone: (selector) => until(`no ${selector}`, () => evaluate(`!document.querySelector(${JSON.stringify(selector)})?.checkVisibility()`)),
  value: evaluate,
  async size(text) {
    const [width, height] = text.split("x").map(Number);
    await command("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
  },
  async fits() {
    const wide = await evaluate(`[...document.querySelectorAll("body *")]
      .filter((element) => element.checkVisibility() && element.getBoundingClientRect().right > innerWidth + 0.5 && !element.closest("pre, .skip"))
      .map((element) => element.outerHTML.slice(0, 120))`);
    const overflow = await evaluate("document.documentElement.scrollWidth - innerWidth");
    if (overflow > 0) throw new Error(`the page is ${overflow} pixels too wide: ${JSON.stringify(wide)}`);
  },
  dark: () => command("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: "dark" }] }),
  light: () => command("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: "light" }] }),
  noscript: () => command("Emulation.setScriptExecutionDisabled", { value: true }),
  clipboard: () => send("Browser.grantPermissions", { permissions: ["clipboardReadWrite", "clipboardSanitizedWrite"] }),
  async axe() {
    const tools = createRequire(new URL("../.tools/node/node_modules/", import.meta.url));
    await command("Runtime.evaluate", { expression: readFileSync(tools.resolve("axe-core/axe.min.js"), "utf8") });
    const expression = `axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })
      .then(({ violations, passes }) => JSON.stringify({ passes: passes.length, violations: violations.map(({ id, help, nodes }) =>
        ({ id, help, nodes: nodes.slice(0, 5).map(({ html, failureSummary }) => ({ html: html.slice(0, 200), failureSummary })) })) }))`;
    const { result, exceptionDetails } = await command("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    const found = JSON.parse(result.value);
    if (found.violations.length > 0) throw new Error(JSON.stringify(found.violations));
    return found;
  },
  async shot(file) {
    const { cssContentSize } = await command("Page.getLayoutMetrics");
    const { width, height } = cssContentSize;
    const { data } = await command("Page.captureScreenshot", {
      captureBeyondViewport: true,
      clip: { x: 0, y: 0, width, height: Math.min(height, 8000), scale: 1 },
    });
    writeFileSync(file, Buffer.from(data, "base64"));
  },
  touch: (file) => writeFileSync(file, ""),
};

try {
  await openTab();
  await goTo(first);
  report("open", true, await shown());
  for (const action of actions) {
    const [, name, rest] = action.match(/^([a-z]+):?(.*)$/s);
    try {
      report(action, true, (await ACTIONS[name](rest)) ?? null);
    } catch (error) {
      report(action, false, String(error));
      break;
    }
  }
} catch (error) {
  report("open", false, String(error));
}

// A client's own page at the end is nobody's here, nor is an icon that it lacks.
const own = complaints.filter((complaint) => !/favicon|ERR_CONNECTION_REFUSED|ERR_UNKNOWN_URL_SCHEME|Failed to launch/.test(complaint));
report("console", own.length === 0, own);
await end();
