// The functions that `wit/world.wit` promises. What they throw is why there is no result: a failure, or a question.
import { answerTo } from "tinymcp:plugin/input@0.1.0";

// One flat object, as a person sees it.
const SCHEMA = {
  type: "object",
  properties: { name: { type: "string", title: "Your name" } },
  required: ["name"],
};

// Ends with a question, and is called again with the answer: it does nothing that cannot be done twice before.
export function METHOD(greeting) {
  const answer = answerTo("who");
  if (answer == null) {
    const form = { message: "Whom to greet?", schema: JSON.stringify(SCHEMA) };
    throw { tag: "input-required", val: { questions: [["who", { tag: "form", val: form }]], state: new Uint8Array() } };
  }
  if (answer.tag !== "person" || answer.val.tag !== "accepted") {
    throw { tag: "failed", val: "the person did not say who they are" };
  }
  // Answers come from the client unchecked.
  const [, name] = answer.val.val.find(([field]) => field === "name") ?? [];
  if (name?.tag !== "text") throw { tag: "failed", val: "the form came back without a name" };
  return `${greeting}, ${name.val}!`;
}
