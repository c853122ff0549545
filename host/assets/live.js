// Keeps an open page as new as the server: it is told when the page is another one, and takes what is new from it.

/** Parts that are replaced whole. */
const PARTS = ["#state", "#about", "#waiting", "#not-loaded", "#unknown", "#views", "#files"];

/** What stands after a part that was not there before; after the others, the tools do. */
const AFTER = { "#about": "#state", "#views": "#files, #connect", "#files": "#connect" };

/** Parts of parts that are opened. */
const OPENED = "details[data-file], details[data-view]";
const nameOf = ({ dataset }) => (dataset.file === undefined ? `view ${dataset.view}` : `file ${dataset.file}`);

let source;

/** Begins to listen; a page in the background does not, since browsers have few connections for one server. */
export function follow(url, changed) {
  const listen = () => {
    source?.close();
    source = undefined;
    if (document.hidden) return;
    source = new EventSource(url);
    source.addEventListener("page", ({ data }) => {
      if (data !== document.documentElement.dataset.stamp) renew(changed);
    });
  };
  document.addEventListener("visibilitychange", listen);
  listen();
}

let isRenewing = false;

async function renew(changed) {
  if (isRenewing) return;
  isRenewing = true;
  try {
    const fresh = await load();
    if (fresh) merge(fresh, changed);
  } finally {
    isRenewing = false;
  }
}

/** The page of now. A request whose answer is a document is the way to read HTML that runs nothing of it. */
function load() {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("GET", "/");
    request.setRequestHeader("accept", "text/html");
    request.responseType = "document";
    request.onload = () => resolve(request.status === 200 ? request.response : undefined);
    request.onerror = () => resolve(undefined);
    request.send();
  });
}

function merge(fresh, changed) {
  const [old, now] = [document.documentElement.dataset, fresh.documentElement.dataset];
  if (now.token !== old.token) {
    // Another login, or none any more: the whole page is another one.
    if (!document.querySelector("[data-running]")) location.reload();
    return;
  }
  old.stamp = now.stamp;
  const opened = new Set([...document.querySelectorAll(OPENED)].filter((part) => part.open).map(nameOf));
  for (const selector of PARTS) replace(selector, fresh);
  for (const part of document.querySelectorAll(OPENED)) part.open = opened.has(nameOf(part));
  mergeTools(fresh);
  changed();
}

function replace(selector, fresh) {
  const [old, now] = [document.querySelector(selector), fresh.querySelector(selector)];
  if (old && now) {
    // The line of state is read aloud when its text changes, so it stays the same element.
    if (old.id === "state") {
      old.className = now.className;
      if (old.textContent !== now.textContent) old.replaceChildren(...[...now.childNodes].map((node) => document.importNode(node, true)));
    } else old.replaceWith(document.importNode(now, true));
  } else if (old) old.remove();
  else if (now) {
    const before = document.querySelector(AFTER[selector] ?? "#tools");
    before.before(document.importNode(now, true));
  }
}

/** Tools that are the same stay as they are, with what has been entered; one that runs stays in any case. */
function mergeTools(fresh) {
  const now = fresh.querySelector("#tools");
  const old = document.querySelector("#tools");
  if (!now || !old) return;
  const focused = document.activeElement;
  const kept = new Map([...old.querySelectorAll("details[data-tool]")].map((tool) => [tool.dataset.tool, tool]));
  const next = document.importNode(now, true);
  for (const tool of next.querySelectorAll("details[data-tool]")) {
    const before = kept.get(tool.dataset.tool);
    if (!before) continue;
    if (before.dataset.print === tool.dataset.print || before.querySelector("[data-running]")) tool.replaceWith(before);
    else tool.open = before.open;
  }
  const search = old.querySelector("#search");
  old.replaceChildren(...next.childNodes);
  if (search) {
    old.querySelector("h2").after(search);
    search.querySelector("input").dispatchEvent(new Event("input"));
  }
  if (focused !== document.activeElement && old.contains(focused)) focused.focus({ preventScroll: true });
}
