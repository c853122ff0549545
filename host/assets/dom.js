// Elements made of texts: nothing here, or in any module of the page, takes markup.

/**
 * Makes an element. Properties that the element has are set, all others are attributes; `undefined` is left out.
 *
 * @param {string} name
 * @param {Record<string, unknown>} properties
 * @param {...(Node | string)} children
 */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined) continue;
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made && key !== "list") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

let lastId = 0;

/** An id that no other element has. */
export function newId() {
  lastId += 1;
  return `field-${lastId}`;
}

/** Characters that a reader would not see, or that show what follows in another place; ends of lines and tabs stay. */
const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u034f\u061c\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e0fff}]/gu;

/** A stranger's text with everything in it to be seen: `\u{202e}`. */
export function readable(text) {
  return String(text).replaceAll(HIDDEN, (char) => `\\u{${char.codePointAt(0).toString(16)}}`);
}

/** The most characters of a text that are shown at once. */
const SHOWN = 20_000;

/** A stranger's text as a block, in its own direction; the rest of a long one comes on demand. */
export function textBlock(text, name = "pre") {
  const whole = readable(text);
  // What may have to be scrolled can be reached by keys.
  const block = element(name, { dir: "auto", tabIndex: name === "pre" ? 0 : undefined }, whole.slice(0, SHOWN));
  if (whole.length <= SHOWN) return block;
  const more = element("button", { type: "button", class: "small" }, `Show all ${whole.length.toLocaleString("en")} characters`);
  more.addEventListener("click", () => {
    block.textContent = whole;
    more.remove();
  });
  return element("div", {}, block, more);
}

/** The URL if a browser may follow it: http and https alone. */
export function webUrl(text) {
  try {
    const url = new URL(text);
    return ["http:", "https:"].includes(url.protocol) ? url : undefined;
  } catch {
    return undefined;
  }
}

/** A link to another site, which learns nothing of this page; the text itself if it is no such link. */
export function link(text, shown = text) {
  const url = webUrl(text);
  if (!url) return element("span", { dir: "auto" }, readable(shown));
  return element("a", { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow", dir: "auto" }, readable(shown));
}

/** A button that copies a text, and says so. */
export function copyButton(what, text) {
  const button = element("button", { type: "button", class: "small" });
  const say = (word) => {
    button.textContent = word;
    button.setAttribute("aria-label", `${word} ${what}`);
  };
  say("Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      say("Copied");
    } catch {
      say("Not copied");
    }
    setTimeout(() => say("Copy"), 2000);
  });
  return button;
}
