// What the scripts of this folder that drive a client have in common: checks, each printed as one line of JSON on stdout, and a
// deadline for the whole run.
//
//   {"check": "add", "ok": true, "detail": …}

/** The whole run, however busy the machine is. */
const DEADLINE_MS = 180_000;

let failed = false;

/** Runs one check and prints what came of it; what it throws is its failure. */
export async function check(name, run) {
  let ok = true;
  let detail;
  try {
    detail = await run();
  } catch (error) {
    ok = false;
    detail = String(error?.stack ?? error);
  }
  failed ||= !ok;
  console.log(JSON.stringify({ check: name, ok, detail }));
  return ok;
}

export function expect(condition, got) {
  if (!condition) throw new Error(`unexpected: ${JSON.stringify(got)}`);
}

/** Ends the process: with 0 when all checks are ok. */
export function end() {
  process.exit(failed ? 1 : 0);
}

setTimeout(() => {
  console.log(JSON.stringify({ check: "deadline", ok: false, detail: `not done within ${DEADLINE_MS} ms` }));
  process.exit(1);
}, DEADLINE_MS).unref();
