// The functions that `wit/world.wit` promises.

export function METHOD(name) {
  return `Hello, ${name}!`;
}
