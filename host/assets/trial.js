// Trying one tool: its form, its call with progress, messages and questions, and the result.

import { call } from "./call.js";
import { element, link, newId, readable, textBlock, webUrl } from "./dom.js";
import { Problem, jsonForm, objectForm } from "./form.js";
import { shownResult } from "./result.js";

/** Rounds of questions in one call. */
const MAX_ROUNDS = 10;

/** Messages of one call that are shown. */
const MAX_MESSAGES = 200;

/** Makes the form of a tool in its place on the page. */
export function prepare(place) {
  if (place.dataset.prepared) return;
  place.dataset.prepared = "yes";
  const tool = place.dataset.try;
  const schema = JSON.parse(place.dataset.schema);
  let form = objectForm(schema);

  const run = element("button", { class: "first" }, "Run");
  const stop = element("button", { type: "button", hidden: true }, "Stop");
  const asJson = element("button", { type: "button", class: "quiet" }, "Write JSON instead");
  const outcome = element("div", { class: "outcome", hidden: true, tabIndex: -1 });
  const said = element("p", { class: "faint", role: "status" });
  const fields = element("div", {}, form.element);
  const controls = element("div", { class: "choice" }, run, stop, asJson);
  const whole = element("form", { noValidate: true, "aria-label": `Try ${tool}` }, element("h4", {}, "Try it"), fields, controls);
  place.replaceChildren(whole, said, outcome);

  asJson.addEventListener("click", () => {
    let text = "{}";
    try {
      text = JSON.stringify(JSON.parse(form.read()), undefined, 2);
    } catch {
      // What is entered so far is not complete.
    }
    form = jsonForm(text, "Arguments");
    fields.replaceChildren(form.element);
    asJson.remove();
    form.focus();
  });

  whole.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) whole.requestSubmit();
  });

  whole.addEventListener("submit", async (event) => {
    event.preventDefault();
    let args;
    try {
      args = form.read();
    } catch (error) {
      if (error instanceof Problem) return;
      throw error;
    }
    const isDestructive = "destructive" in place.dataset;
    if (isDestructive && !(await isConfirmed(tool))) return;
    const controller = new AbortController();
    stop.hidden = false;
    stop.onclick = () => controller.abort();
    run.disabled = true;
    place.dataset.running = "yes";
    outcome.hidden = false;
    outcome.className = "outcome";
    outcome.replaceChildren();
    said.textContent = "Running…";
    const began = performance.now();
    try {
      const isError = await converse({ tool, schema, args, isConfirmed: isDestructive, signal: controller.signal }, outcome);
      outcome.classList.toggle("failed", isError);
      said.textContent = `${isError ? "It failed" : "Done"} after ${time(performance.now() - began)}.`;
    } catch (error) {
      outcome.classList.add("failed");
      said.textContent = controller.signal.aborted ? "Stopped." : "It was not run.";
      if (!controller.signal.aborted) outcome.append(...refused(error));
    } finally {
      run.disabled = false;
      stop.hidden = true;
      delete place.dataset.running;
    }
  });
}

const time = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

function refused(error) {
  const parts = [element("p", { class: "bad", dir: "auto" }, readable(error.message))];
  if (error.code === "logged_out") parts.push(element("p", {}, element("a", { href: "/login?to=/" }, "Log in")));
  if (error.code === "forged") parts.push(element("p", {}, element("a", { href: "/" }, "Load the page again")));
  return parts;
}

/** Runs the rounds of a call. True if the tool failed. */
async function converse(request, outcome) {
  let round = {};
  for (let count = 0; count <= MAX_ROUNDS; count += 1) {
    const beside = element("div");
    outcome.append(beside);
    const result = await lastOf(call({ ...request, ...round }), beside);
    if (result.resultType !== "input_required") {
      for (const bar of outcome.querySelectorAll(".progress")) bar.remove();
      outcome.append(...shownResult(result));
      return result.isError === true;
    }
    const answers = await asked(result.inputRequests ?? {}, outcome, request.signal);
    round = { answers, state: result.requestState };
  }
  throw new Error(`It asked ${MAX_ROUNDS} times, and had no result.`);
}

/** Shows the messages of a call, and returns its result. */
async function lastOf(messages, beside) {
  let bar;
  let list;
  for await (const message of messages) {
    if (message.error) throw new Error(message.error.message ?? "The call failed.");
    if (message.result) return message.result;
    const { method, params = {} } = message;
    if (method === "notifications/progress") {
      if (!bar) {
        const id = newId();
        bar = element("div", { class: "progress" }, element("label", { htmlFor: id, class: "faint" }, "Progress"), element("progress", { id }));
        beside.append(bar);
      }
      showProgress(bar, params);
    }
    if (method === "notifications/message") {
      if (!list) {
        list = element("ul", { class: "messages", tabIndex: 0, "aria-label": "Messages of the call" });
        beside.append(list);
      }
      const text = typeof params.data === "string" ? params.data : JSON.stringify(params.data);
      list.append(element("li", {}, element("span", { class: "faint" }, `${readable(params.level)} `), element("bdi", {}, readable(text))));
      if (list.children.length > MAX_MESSAGES) list.firstChild.remove();
    }
  }
  throw new Error("The connection ended before there was a result.");
}

function showProgress(bar, { progress, total, message }) {
  const [label, meter] = bar.children;
  const isKnown = typeof total === "number" && total > 0;
  if (isKnown) {
    meter.max = total;
    meter.value = Math.min(progress, total);
  }
  const amount = isKnown ? `${progress} of ${total}` : String(progress ?? "");
  label.textContent = readable(message ? `${message} (${amount})` : `Progress: ${amount}`);
}

/** Asks all questions of a round. Resolves to the JSON of the answers; rejects if the person stops the call. */
async function asked(requests, outcome, signal) {
  const answers = [];
  for (const [key, { method, params = {} }] of Object.entries(requests)) {
    if (method !== "elicitation/create") throw new Error(`It asks for something that this page cannot answer: ${method}.`);
    const question = params.mode === "url" ? linkQuestion(params) : formQuestion(params);
    outcome.append(question.element);
    question.focus();
    const answer = await Promise.race([question.answered, aborted(signal)]);
    question.element.replaceWith(element("p", { class: "faint" }, `${answer.word}: `, element("bdi", {}, readable(params.message ?? ""))));
    answers.push(`${JSON.stringify(key)}:${answer.json}`);
  }
  return `{${answers.join(",")}}`;
}

const aborted = (signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));

function question(message, parts, accept) {
  let answer;
  const answered = new Promise((resolve) => (answer = resolve));
  const id = newId();
  const yes = element("button", { class: "first" }, accept.text);
  const no = element("button", { type: "button" }, "Decline");
  const cancel = element("button", { type: "button" }, "Cancel");
  no.addEventListener("click", () => answer({ word: "Declined", json: '{"action":"decline"}' }));
  cancel.addEventListener("click", () => answer({ word: "Cancelled", json: '{"action":"cancel"}' }));
  const heading = element("h4", { id }, "The tool asks");
  const form = element("form", { class: "question", noValidate: true, "aria-labelledby": id }, heading, textBlock(message ?? "", "p"), ...parts);
  form.append(element("div", { class: "choice" }, yes, no, cancel));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    // The form of the tool is another one, which this must not send again.
    event.stopPropagation();
    try {
      answer({ word: "Answered", json: accept.read() });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
  });
  const focus = () => (form.querySelector("input, select, textarea") ?? yes).focus();
  return { element: form, answered, focus };
}

function formQuestion({ message, requestedSchema }) {
  const form = objectForm(requestedSchema ?? {});
  const warning = element("p", { class: "faint" }, "The answer goes to the plugin. Enter no password and no key.");
  return question(message, [form.element, warning], { text: "Answer", read: () => `{"action":"accept","content":${form.read()}}` });
}

function linkQuestion({ message, url }) {
  const target = webUrl(url);
  const shown = target
    ? [element("p", {}, "It wants you to open a page of ", element("strong", {}, target.host), ":"), element("p", {}, link(url))]
    : [element("p", { class: "bad" }, "It wants you to open something that is no web page:"), element("p", {}, element("code", { dir: "auto" }, readable(url)))];
  return question(message, shown, { text: "I have done it", read: () => '{"action":"accept"}' });
}

/** Asks again before the call of a tool that may destroy something. */
function isConfirmed(tool) {
  const id = newId();
  const yes = element("button", { value: "yes", class: "first" }, "Run it");
  const no = element("button", { value: "no", autofocus: true }, "Do not run it");
  const dialog = element(
    "dialog",
    { "aria-labelledby": id },
    element("h2", { id }, "This may destroy something"),
    element("p", {}, "The author of ", element("code", {}, readable(tool)), " says that it may delete or overwrite. It runs as you, with what you have entered."),
    element("form", { method: "dialog", class: "choice" }, no, yes),
  );
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    dialog.showModal();
  });
}
