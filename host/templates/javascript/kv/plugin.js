// The functions that `wit/world.wit` promises. What they throw is the tool's error, which a model reads.
import { increment } from "tinymcp:plugin/kv@0.1.0";

export function METHOD(name) {
  let times;
  try {
    // Also of two calls at once each is counted.
    times = increment(`greeted/${name}`, 1);
  } catch (error) {
    throw `nothing can be counted here: ${error.payload?.tag ?? error.message}`;
  }
  return `Hello, ${name}! That was number ${times}.`;
}
