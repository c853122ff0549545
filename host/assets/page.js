// The script of the page at /. Without it the page is complete but for trying, copying and news.

import { copyButton, element, newId } from "./dom.js";
import { follow } from "./live.js";
import { prepare } from "./trial.js";

/** Tools from which on a search is worth its place. */
const MANY = 8;

/** Adds to what is on the page; again after it has changed. */
function dress() {
  for (const text of document.querySelectorAll("pre[data-copy]")) {
    if (text.parentElement.classList.contains("copied")) continue;
    const around = element("div", { class: "copied" });
    text.before(around);
    around.append(text, copyButton(text.dataset.copy, () => text.textContent));
  }
  for (const tool of document.querySelectorAll("details.tool")) {
    if (tool.dataset.dressed) continue;
    tool.dataset.dressed = "yes";
    tool.addEventListener("toggle", () => open(tool));
    open(tool);
  }
  addSearch();
}

/** A form is made when its tool is opened: there may be hundreds. */
function open(tool) {
  const place = tool.querySelector("[data-try]");
  if (tool.open && place) prepare(place);
}

function addSearch() {
  const tools = [...document.querySelectorAll("details.tool")];
  if (tools.length < MANY || document.querySelector("#search")) return;
  const id = newId();
  const input = element("input", { type: "search", id, autocomplete: "off", spellcheck: false });
  const search = element("div", { id: "search", class: "field" }, element("label", { htmlFor: id }, "Find a tool"), input);
  document.querySelector("#tools > h2").after(search);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const plugin of document.querySelectorAll("section.plugin")) {
      let isShown = false;
      for (const tool of plugin.querySelectorAll("details.tool")) {
        const text = tool.querySelector("summary").textContent.toLowerCase();
        tool.hidden = !words.every((word) => text.includes(word));
        isShown ||= !tool.hidden;
      }
      plugin.hidden = !isShown;
    }
  });
}

/** Opens the tool that the URL names. */
function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named instanceof HTMLDetailsElement) named.open = true;
}

dress();
openNamed();
addEventListener("hashchange", openNamed);
const { live } = document.documentElement.dataset;
if (live) follow(live, dress);
