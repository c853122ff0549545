// The result of a call: texts as texts, images that the server has looked at, and everything else by its name.

import { element, link, readable, textBlock } from "./dom.js";

/** What the server calls an image by its bytes. */
const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/** The parts of a result. */
export function shownResult(result) {
  const blocks = Array.isArray(result.content) ? result.content : [];
  const { structuredContent } = result;
  const structured = structuredContent === undefined ? undefined : JSON.stringify(structuredContent, undefined, 2);
  // Tools give their structured content as text too, for clients that know no other.
  const isTwin = (block) => structured !== undefined && block?.type === "text" && isSame(block.text, structuredContent);
  const parts = blocks.filter((block) => !isTwin(block)).map(shownBlock);
  if (structured !== undefined) parts.push(element("div", {}, element("h4", {}, "Structured output"), textBlock(structured)));
  if (parts.length === 0) parts.push(element("p", { class: "faint" }, "It gave nothing back."));
  return parts;
}

function isSame(text, value) {
  try {
    return JSON.stringify(JSON.parse(text)) === JSON.stringify(value);
  } catch {
    return text === value;
  }
}

function shownBlock(block) {
  switch (block?.type) {
    case "text":
      return textBlock(block.text);
    case "image":
      return shownImage(block);
    case "audio":
      return note(`A sound (${block.mimeType}), which is not played here.`);
    case "unshown":
      return note(`An image that is not shown: it is no PNG, JPEG, GIF or WebP. The tool calls it ${block.mimeType || "nothing"}; ${block.bytes} bytes.`);
    case "resource_link":
      return shownLink(block);
    case "resource":
      return shownResource(block.resource ?? {});
    default:
      return textBlock(JSON.stringify(block, undefined, 2) ?? "");
  }
}

const note = (text) => element("p", { class: "faint" }, readable(text));

function shownImage({ data, mimeType }) {
  if (!IMAGES.includes(mimeType)) return note("An image that is not shown.");
  let bytes;
  try {
    bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
  } catch {
    return note("An image that cannot be read.");
  }
  const url = URL.createObjectURL(new Blob([bytes], { type: mimeType }));
  const image = element("img", { alt: `Image of the result, ${mimeType}, ${bytes.length} bytes`, src: url });
  image.addEventListener("load", () => URL.revokeObjectURL(url));
  image.addEventListener("error", () => {
    URL.revokeObjectURL(url);
    image.replaceWith(note("An image that cannot be read."));
  });
  return image;
}

function shownLink({ uri, name, title, description, mimeType }) {
  const parts = [link(uri, title ?? name ?? uri), " ", element("code", { dir: "auto" }, readable(uri))];
  if (mimeType) parts.push(" ", element("span", { class: "faint" }, readable(mimeType)));
  if (description) parts.push(element("br"), element("span", { dir: "auto" }, readable(description)));
  return element("p", {}, ...parts);
}

function shownResource({ uri, mimeType, text, blob }) {
  const head = element("p", {}, link(uri, uri), " ", element("span", { class: "faint" }, readable(mimeType ?? "")));
  if (text !== undefined) return element("div", {}, head, textBlock(text));
  const bytes = Math.floor(((blob?.length ?? 0) * 3) / 4);
  return element("div", {}, head, note(`${bytes} bytes, which are not shown here.`));
}
