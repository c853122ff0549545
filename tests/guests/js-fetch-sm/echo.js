// The `fetch` of StarlingMonkey, as componentize-js builds it: no shim of ours.

export async function echo(url, body) {
  try {
    const response = await fetch(url, { method: "POST", body });
    return `${response.status} ${response.headers.get("x-kind")} ${await response.text()}`;
  } catch (error) {
    throw String(error);
  }
}
