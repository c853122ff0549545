// A form made of a JSON Schema: for the arguments of a tool, and for the questions that one asks.
//
// A field is { element, read }: `read` gives the JSON text of its value, or undefined for none, and throws a Problem. Values
// are kept as texts of JSON, so that no number loses digits. What has no field of its own is written as JSON.

import { element, newId, readable } from "./dom.js";

/** What keeps a form from being sent; the field shows it. */
export class Problem extends Error {}

/** Objects in objects that get fields. */
const MAX_DEPTH = 5;

/** Choices that are radio buttons or boxes; more are a list. */
const MAX_BOXES = 12;

/**
 * The form for an object.
 *
 * @returns {{ element: HTMLElement, read: () => string, focus: () => void }}
 */
export function objectForm(schema) {
  const fields = properties(schema, 0);
  const container = element("div", {}, ...fields.map((field) => field.element));
  return {
    element: container,
    read: () => written(fields),
    focus: () => container.querySelector("input, select, textarea, button")?.focus(),
  };
}

/** The same object as one text of JSON. */
export function jsonForm(text, label) {
  const field = jsonField({}, { label, isRequired: true }, text);
  return { element: field.element, read: field.read, focus: () => field.element.querySelector("textarea").focus() };
}

function properties(schema, depth) {
  const required = Array.isArray(schema.required) ? schema.required : [];
  return Object.entries(schema.properties ?? {}).map(([name, property]) => {
    const field = fieldOf(property, { label: name, isRequired: required.includes(name) }, depth);
    return { ...field, name };
  });
}

/** The JSON of an object with the fields that have a value. */
function written(fields) {
  const members = [];
  for (const field of fields) {
    const value = field.read();
    if (value !== undefined) members.push(`${JSON.stringify(field.name)}:${value}`);
  }
  return `{${members.join(",")}}`;
}

function fieldOf(schema, about, depth) {
  if (schema === null || typeof schema !== "object") return jsonField({}, about);
  const choices = choicesOf(schema);
  if (choices) return choiceField(schema, about, choices);
  switch (typeOf(schema)) {
    case "boolean":
      return booleanField(schema, about);
    case "integer":
    case "number":
      return numberField(schema, about);
    case "string":
      return textField(schema, about);
    case "array":
      return listField(schema, about, depth);
    case "object":
      if (schema.properties && Object.keys(schema.properties).length > 0 && depth < MAX_DEPTH) return groupField(schema, about, depth);
      return jsonField(schema, about);
    default:
      return jsonField(schema, about);
  }
}

/** The type of a schema, if it has one beside null. */
function typeOf(schema) {
  const types = [schema.type].flat().filter((type) => type !== "null");
  return types.length === 1 ? types[0] : undefined;
}

/** The values of a choice, each with its text: `enum`, with names or without, or alternatives of one value each. */
function choicesOf(schema) {
  if (Array.isArray(schema.enum)) {
    return schema.enum.map((value, index) => ({ json: JSON.stringify(value), text: String(schema.enumNames?.[index] ?? shown(value)) }));
  }
  const options = schema.oneOf ?? schema.anyOf;
  if (Array.isArray(options) && options.length > 0 && options.every((option) => option && typeof option === "object" && "const" in option)) {
    return options.map((option) => ({ json: JSON.stringify(option.const), text: String(option.title ?? shown(option.const)) }));
  }
  return undefined;
}

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** The name of a field, what is to be known of it, and the place of its problem, around an input. */
function labelled(schema, { label, isRequired }, input) {
  const id = newId();
  input.id = id;
  const described = [];
  const parts = [];
  parts.push(element("label", { htmlFor: id, dir: "auto" }, readable(schema.title ?? label), isRequired ? "" : element("span", { class: "faint" }, " optional")));
  if (schema.description) {
    const hint = element("p", { class: "hint", id: `${id}-hint`, dir: "auto" }, readable(schema.description));
    described.push(hint.id);
    parts.push(hint);
  }
  const problem = element("p", { class: "problem", id: `${id}-problem`, hidden: true });
  described.push(problem.id);
  input.setAttribute("aria-describedby", described.join(" "));
  if (isRequired) input.setAttribute("aria-required", "true");
  parts.push(input, problem);
  const fail = (text) => {
    problem.textContent = text;
    problem.hidden = false;
    input.setAttribute("aria-invalid", "true");
    input.focus();
    throw new Problem(text);
  };
  const clear = () => {
    problem.hidden = true;
    input.removeAttribute("aria-invalid");
  };
  return { element: element("div", { class: "field" }, ...parts), fail, clear };
}

function textField(schema, about) {
  const types = { date: "date", email: "email", uri: "url", "date-time": "text" };
  const isLine = schema.format in types || schema.maxLength <= 200 || about.isLine;
  const input = isLine
    ? element("input", { type: types[schema.format] ?? "text", autocomplete: "off", spellcheck: false })
    : element("textarea", { rows: 1, spellcheck: false });
  if (schema.format === "date-time") input.placeholder = "2026-01-31T12:00:00Z";
  if (typeof schema.default === "string") input.value = schema.default;
  const { element: container, clear } = labelled(schema, about, input);
  const read = () => {
    clear();
    return input.value === "" && !about.isRequired ? undefined : JSON.stringify(input.value);
  };
  return { element: container, read };
}

function numberField(schema, about) {
  const isInteger = typeOf(schema) === "integer";
  const input = element("input", { type: "text", inputMode: isInteger ? "numeric" : "decimal", autocomplete: "off" });
  if (typeof schema.default === "number") input.value = String(schema.default);
  const { element: container, fail, clear } = labelled(schema, about, input);
  const read = () => {
    clear();
    const text = input.value.trim();
    if (text === "" && !about.isRequired) return undefined;
    if (!/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text)) fail(isInteger ? "A whole number belongs here." : "A number belongs here, such as 2.5.");
    return text;
  };
  return { element: container, read };
}

function booleanField(schema, about) {
  // Without a value of its own, "no" and "not said" are two things.
  if (!about.isRequired && typeof schema.default !== "boolean") {
    return choiceField(schema, about, [{ json: "true", text: "yes" }, { json: "false", text: "no" }]);
  }
  const id = newId();
  const input = element("input", { type: "checkbox", id, checked: schema.default === true });
  const label = element("label", { htmlFor: id, dir: "auto" }, input, " ", readable(schema.title ?? about.label));
  const parts = [label];
  if (schema.description) {
    parts.push(element("p", { class: "hint", id: `${id}-hint`, dir: "auto" }, readable(schema.description)));
    input.setAttribute("aria-describedby", `${id}-hint`);
  }
  return { element: element("div", { class: "field" }, ...parts), read: () => String(input.checked) };
}

function choiceField(schema, about, choices) {
  const none = about.isRequired ? [] : [element("option", { value: "" }, "not set")];
  const options = choices.map(({ text }, index) => element("option", { value: String(index) }, readable(text)));
  const select = element("select", {}, ...none, ...options);
  const preset = choices.findIndex(({ json }) => "default" in schema && json === JSON.stringify(schema.default));
  if (preset >= 0) select.value = String(preset);
  const { element: container, clear } = labelled(schema, about, select);
  const read = () => {
    clear();
    return select.value === "" ? undefined : choices[Number(select.value)].json;
  };
  return { element: container, read };
}

function groupField(schema, about, depth) {
  const fields = properties(schema, depth + 1);
  const group = fieldset(schema, about, ...fields.map((field) => field.element));
  const read = () => {
    // A group that may be left out is, if nobody has entered anything.
    const isEntered = about.isRequired || [...group.querySelectorAll("input, select, textarea")].some((input) => (input.type === "checkbox" ? input.checked : input.value !== ""));
    return isEntered ? written(fields) : undefined;
  };
  return { element: group, read };
}

function fieldset(schema, { label, isRequired }, ...children) {
  const legend = element("legend", { dir: "auto" }, readable(schema.title ?? label), isRequired ? "" : element("span", { class: "faint" }, " optional"));
  const hint = schema.description ? [element("p", { class: "hint faint", dir: "auto" }, readable(schema.description))] : [];
  return element("fieldset", {}, legend, ...hint, ...children);
}

function listField(schema, about, depth) {
  const items = schema.items && typeof schema.items === "object" ? schema.items : {};
  const choices = choicesOf(items);
  if (choices && choices.length <= MAX_BOXES) return boxesField(schema, about, choices);
  if (depth >= MAX_DEPTH) return jsonField(schema, about);
  const entries = [];
  const list = element("div");
  const add = element("button", { type: "button", class: "small" }, "Add an entry");
  const group = fieldset(schema, about, list, element("div", { class: "choice" }, add));
  const addEntry = (isFocused) => {
    const field = fieldOf(items, { label: `Entry ${entries.length + 1}`, isRequired: true, isLine: true }, depth + 1);
    const remove = element("button", { type: "button", class: "small" }, "Remove");
    const row = element("div", { class: "entry" }, field.element, remove);
    const entry = { read: field.read, row };
    remove.addEventListener("click", () => {
      entries.splice(entries.indexOf(entry), 1);
      row.remove();
      add.focus();
    });
    entries.push(entry);
    list.append(row);
    if (isFocused) field.element.querySelector("input, select, textarea")?.focus();
  };
  add.addEventListener("click", () => addEntry(true));
  for (let count = 0; count < Math.min(schema.minItems ?? 0, MAX_BOXES); count += 1) addEntry(false);
  const read = () => {
    if (entries.length === 0 && !about.isRequired) return undefined;
    return `[${entries.map((entry) => entry.read()).join(",")}]`;
  };
  return { element: group, read };
}

function boxesField(schema, about, choices) {
  const preset = Array.isArray(schema.default) ? schema.default.map((value) => JSON.stringify(value)) : [];
  const boxes = choices.map(({ json, text }) => {
    const input = element("input", { type: "checkbox", checked: preset.includes(json) });
    return { json, input, label: element("label", { class: "check", dir: "auto" }, input, " ", readable(text)) };
  });
  const group = fieldset(schema, about, ...boxes.map(({ label }) => label));
  const read = () => {
    const chosen = boxes.filter(({ input }) => input.checked).map(({ json }) => json);
    return chosen.length === 0 && !about.isRequired ? undefined : `[${chosen.join(",")}]`;
  };
  return { element: group, read };
}

function jsonField(schema, about, text = "") {
  const input = element("textarea", { class: "json", rows: 2, spellcheck: false, value: text });
  if (text === "" && "default" in schema) input.value = JSON.stringify(schema.default);
  const { element: container, fail, clear } = labelled(schema, { ...about, label: `${about.label} (JSON)` }, input);
  const read = () => {
    clear();
    const written = input.value.trim();
    if (written === "" && !about.isRequired) return undefined;
    try {
      JSON.parse(written);
    } catch (error) {
      fail(`This is no JSON: ${error.message}`);
    }
    return written;
  };
  return { element: container, read };
}
