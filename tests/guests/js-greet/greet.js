// Two typed functions in JavaScript, made a component by jco.

export function greet(name) {
  return `Hello from JavaScript, ${name}!`;
}

// What is thrown is the error of the tool.
export function welcome({ name, title, visits }) {
  if (!name) throw "a guest needs a name";
  return { text: `Welcome, ${title ? `${title} ${name}` : name}!`, first: visits === 0 };
}
