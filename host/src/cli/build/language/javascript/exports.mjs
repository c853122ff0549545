// Tells what a module exports, without calling anything: node --experimental-vm-modules --eval … MODULE IMPORTS
//
// IMPORTS is a JSON object: for each interface that there is to import from, the names of its functions.
//
// The module is evaluated as the engine of a component does it while it is built: without Node, and with nothing behind
// the imports of its world. The answer is one line of JSON: each export with what it is, an object with the same for its
// members. No answer means that the module cannot be evaluated here, which says nothing.
import fs from "node:fs";
import path from "node:path";
import vm from "node:vm";
import nodeModule from "node:module";

const MILLISECONDS = 5000;
const context = vm.createContext({});
const [file, imports] = process.argv.slice(-2);
// The names that the module may import from what is not there, by import; more are found while it is linked.
const wanted = new Map(Object.entries(JSON.parse(imports)).map(([specifier, names]) => [specifier, new Set(names)]));

// A value that may be called, read and iterated, and is nothing.
const nothing = new Proxy(function () {}, {
  get: (_, key) => {
    if (key === Symbol.toPrimitive) return () => "";
    if (key === Symbol.iterator) return function* () {};
    return key === "then" ? undefined : nothing;
  },
  apply: () => nothing,
  construct: () => nothing,
});

function source(file) {
  const text = fs.readFileSync(file, "utf8");
  return file.endsWith(".ts") && nodeModule.stripTypeScriptTypes ? nodeModule.stripTypeScriptTypes(text) : text;
}

function synthetic(identifier, values) {
  const module = new vm.SyntheticModule(Object.keys(values), () => {
    for (const [name, value] of Object.entries(values)) module.setExport(name, value);
  }, { context, identifier });
  return module;
}

function load(file, modules) {
  if (!modules.has(file)) {
    const module = file.endsWith(".json")
      ? synthetic(file, { default: JSON.parse(fs.readFileSync(file, "utf8")) })
      : new vm.SourceTextModule(source(file), { context, identifier: file });
    modules.set(file, module);
  }
  return modules.get(file);
}

async function linked(file) {
  for (;;) {
    const modules = new Map();
    const module = load(file, modules);
    try {
      await module.link((specifier, from) => {
        if (/^\.{0,2}\//.test(specifier)) return load(path.resolve(path.dirname(from.identifier), specifier), modules);
        const names = wanted.get(specifier) ?? new Set();
        wanted.set(specifier, names);
        if (!modules.has(specifier)) {
          modules.set(specifier, synthetic(specifier, Object.fromEntries([...names].map((name) => [name, nothing]))));
        }
        return modules.get(specifier);
      });
      return module;
    } catch (error) {
      const missing = /requested module '(.+)' does not provide an export named '(.+)'/s.exec(error?.message);
      const names = wanted.get(missing?.[1]);
      if (!names || names.has(missing[2])) throw error;
      names.add(missing[2]);
    }
  }
}

function kind(value) {
  if (typeof value !== "function") return typeof value;
  const tag = Object.prototype.toString.call(value);
  if (tag === "[object AsyncFunction]" || tag === "[object AsyncGeneratorFunction]") return "async";
  return tag === "[object GeneratorFunction]" ? "generator" : "function";
}

// What a property is, without running a getter.
function property(descriptor) {
  return "value" in descriptor ? kind(descriptor.value) : "unknown";
}

function members(object) {
  const found = {};
  for (let level = object; level && Object.getPrototypeOf(level); level = Object.getPrototypeOf(level)) {
    for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(level))) {
      found[name] ??= property(descriptor);
    }
  }
  return found;
}

setTimeout(() => process.exit(1), MILLISECONDS);
try {
  const module = await linked(file);
  await module.evaluate({ timeout: MILLISECONDS });
  const found = {};
  for (const name of Object.keys(module.namespace)) {
    const value = module.namespace[name];
    found[name] = value !== null && typeof value === "object" ? members(value) : kind(value);
  }
  fs.writeSync(1, `${JSON.stringify(found)}\n`);
  process.exit(0);
} catch {
  process.exit(1);
}
