// Judges what the official conformance suite has written, and prints it as one table.
//
//   node conformance.mjs FOLDER [VERSION…]     FOLDER has a folder for each version; without versions all that are there
//
// Beneath the table is every check that is not passed, and why a version is not. The exit code is 0 when nothing is to be said.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

// What a complete server passes of each version: the official Rust SDK's own server for this suite does, and for skills it is all that
// there is. A fixture or a scenario that got lost takes its checks along, so that nothing fails and fewer pass.
const LEAST = { "2025-11-25": { version: 84 }, "2026-07-28": { version: 197, skills: 45 } };

// Checks that the suite skips whatever a server does. Every other one is skipped only where a server lacks what it is about.
const ALWAYS_SKIPPED = new Map([
  // The scenario is a stub: its whole body is this check, "pending subscriptions/listen rewrite" of the suite itself.
  ["tasks-status-notifications", "the suite has no such test yet"],
]);

// Scenarios that the suite runs by name only, beside those of a version.
const SKILLS = /^sep-2640-/;

// The statuses of the suite that are counted. There is INFO too, which is neither good nor bad.
const COUNTED = { SUCCESS: "passed", FAILURE: "failed", WARNING: "warnings", SKIPPED: "skipped" };
const COLUMNS = Object.values(COUNTED);

// Messages may quote whole JSON documents; all of them is in the folder.
const MESSAGE = 1200;

const [folder, ...asked] = process.argv.slice(2);
const versions = asked.length > 0 ? asked : existsSync(folder) ? readdirSync(folder).sort() : [];
if (versions.length === 0) fail(`no results in ${folder}`);

const runs = versions.map((version) => ({ version, scenarios: scenarios(join(folder, version)) }));
const remarks = runs.flatMap(({ version, scenarios }) => [
  ...scenarios.flatMap((scenario) => judge(scenario).map((remark) => `${version} ${scenario.name}: ${remark}`)),
  ...judgeTotal(version, scenarios).map((remark) => `${version}: ${remark}`),
]);
console.log([...table(runs), "", ...(remarks.length > 0 ? remarks : ["Every check passed."])].join("\n"));
process.exit(remarks.length > 0 ? 1 : 0);

// The scenarios of a version in the order in which they ran: `server-<scenario>-<time>/checks.json`.
// A scenario that broke has a folder, and no checks in it.
function scenarios(dir) {
  return readdirSync(dir, { withFileTypes: true })
    .map((entry) => [entry, /^server-(.+)-(\d{4}-\d\d-\d\dT[\d-]+Z)$/.exec(entry.name)])
    .filter(([entry, named]) => entry.isDirectory() && named)
    .map(([entry, [, name, at]]) => {
      const file = join(dir, entry.name, "checks.json");
      const checks = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : [];
      return { name, at, checks, counts: count(checks) };
    })
    .sort((one, other) => (one.at < other.at ? -1 : 1));
}

function count(checks) {
  const counts = Object.fromEntries(COLUMNS.map((column) => [column, 0]));
  for (const check of checks) if (check.status in COUNTED) counts[COUNTED[check.status]] += 1;
  return counts;
}

function sum(scenarios) {
  const total = count([]);
  for (const { counts } of scenarios) for (const column of COLUMNS) total[column] += counts[column];
  return total;
}

// What is to be said about a scenario.
function judge({ checks, counts }) {
  const remarks = checks.filter((check) => !passes(check)).map((check) => {
    const message = (check.errorMessage ?? check.details?.note ?? check.details?.message ?? check.description).trim();
    const short = message.length > MESSAGE ? `${message.slice(0, MESSAGE)}…` : message;
    return `${check.status} ${check.id}: ${short.replaceAll("\n", "\n    ")}`;
  });
  if (COLUMNS.every((column) => counts[column] === 0)) remarks.push("nothing was checked, see suite.log");
  return remarks;
}

function passes({ id, status }) {
  return status === "SUCCESS" || status === "INFO" || (status === "SKIPPED" && ALWAYS_SKIPPED.has(id));
}

// What is to be said about a version as a whole.
function judgeTotal(version, scenarios) {
  if (scenarios.length === 0) return ["no scenario has run, see suite.log"];
  return Object.entries(LEAST[version]).flatMap(([part, least]) => {
    const { passed } = sum(scenarios.filter(({ name }) => SKILLS.test(name) === (part === "skills")));
    return passed < least ? [`${passed} checks of the ${part} passed, of at least ${least}`] : [];
  });
}

// One line for each scenario and one of totals, with the columns of each version side by side.
function table(runs) {
  const names = [...new Set(runs.flatMap(({ scenarios }) => scenarios.map(({ name }) => name)))];
  const width = Math.max("scenario".length, ...names.map((name) => name.length));
  const cells = (counts) => COLUMNS.map((column) => String(counts?.[column] ?? "").padStart(column.length)).join("  ");
  const line = (name, parts) => [name.padEnd(width), ...parts].join("    ").trimEnd();
  const rule = line("", runs.map(() => "")).padEnd(line("", runs.map(() => COLUMNS.join("  "))).length, "-");
  return [
    line("", runs.map(({ version }) => version.padEnd(COLUMNS.join("  ").length))),
    line("scenario", runs.map(() => COLUMNS.join("  "))),
    rule,
    ...names.map((name) => line(name, runs.map(({ scenarios }) => cells(scenarios.find((one) => one.name === name)?.counts)))),
    rule,
    line("total", runs.map(({ scenarios }) => cells(sum(scenarios)))),
  ];
}

function fail(message) {
  console.error(`conformance.mjs: error: ${message}`);
  process.exit(2);
}
