// The functions that `wit/world.wit` promises. What they throw is the tool's error, which a model reads.

// The service, which `wit/world.wit` declares (`@needs`) and the operator grants.
const SERVICE = "https://api.example.com";

export async function METHOD(path) {
  let response;
  try {
    response = await fetch(`${SERVICE}/${path}`);
  } catch (error) {
    throw `${SERVICE} cannot be asked: ${error.message}`;
  }
  if (!response.ok) throw `${SERVICE} answers ${response.status}`;
  return response.text();
}
