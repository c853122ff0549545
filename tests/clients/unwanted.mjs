// Posts bodies that the server does not want, and prints the statuses that it reads.
//
//     node unwanted.mjs BASE '[{"path": "/token", "bytes": 5000000, "headers": {…}}, …]'
//
// Every other request goes through `fetch`, where it can set the headers; the rest through `http.request`.

import http from "node:http";

const [base, requests] = [process.argv[2], JSON.parse(process.argv[3])];

function posted({ path, bytes, headers }) {
  return new Promise((resolve, reject) => {
    const body = Buffer.alloc(bytes, "x");
    const request = http.request(
      base + path,
      { method: "POST", headers: { "content-length": bytes, ...headers } },
      (response) => {
        response.resume();
        // At the end of the answer the body may still be on its way, and of one address the server reads only a few of those.
        request.on("close", () => resolve(response.statusCode));
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

async function fetched({ path, bytes, headers }) {
  const response = await fetch(base + path, { method: "POST", headers, body: Buffer.alloc(bytes, "x") });
  await response.text();
  return response.status;
}

const statuses = [];
for (const [at, request] of requests.entries()) {
  const isForFetch = at % 2 === 1 && !request.headers.host;
  statuses.push(await (isForFetch ? fetched : posted)(request).catch((error) => String(error.cause ?? error)));
}
console.log(JSON.stringify(statuses));
process.exit(0);
