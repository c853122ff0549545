// What a module does with `fetch`, for the shim of `tinymcp build`.

export async function ask(url, method, body) {
  const response = await fetch(url, { method, body, headers: { "X-From": "js-fetch" } }).catch(said);
  const parts = [response.status, await response.text().catch(said)];
  if (response.redirected) parts.push("redirected");
  if (response.headers.has("X-A")) parts.push(response.headers.get("x-a"), response.headers.getSetCookie().join("|"));
  return parts.join(" ");
}

export async function both(url) {
  const responses = await Promise.all([fetch(url), fetch(url)]);
  let bytes = 0;
  for (const response of responses) for await (const piece of response.body) bytes += piece.length;
  return bytes;
}

function said(error) {
  throw `${error.name}: ${error.message}`;
}
