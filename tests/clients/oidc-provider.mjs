// A certified OpenID provider (npm oidc-provider) for the login tests, on loopback.
//
//   node oidc-provider.mjs audience|plain CALLBACK
//
// CALLBACK is the redirect URI of its only client, whose id and secret are below. It prints one line of JSON when it listens:
//   {"issuer": …, "client_id": …, "client_secret": …}
// and one line for each token request: {"grant": …, "error": …}, and for each logout that it has told: {"backchannel": …}.
//
//   audience  as Auth0 does it: an issuer with a slash, and JWT access tokens for the `audience` that was asked for
//   plain     nothing but the specifications: access tokens of two seconds, refresh tokens that rotate and whose reuse ends the grant,
//             personal claims at the userinfo endpoint only; a line on standard input rotates its signing keys
//
// Whoever gives a name is logged in, and consents.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const require = createRequire(new URL("../.tools/node/", import.meta.url));
const { Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));

const CLIENT_ID = "tinymcp";
const CLIENT_SECRET = "a secret of the certified provider's/client+1";

const [configuration, callback] = process.argv.slice(2);
if (!["audience", "plain"].includes(configuration) || !callback) {
  console.error("usage: oidc-provider.mjs audience|plain CALLBACK");
  process.exit(2);
}
const isPlain = configuration === "plain";

const say = (line) => console.log(JSON.stringify(line));

let keyNumber = 0;
function newKey() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  keyNumber += 1;
  return { ...privateKey.export({ format: "jwk" }), kid: `key-${keyNumber}`, use: "sig", alg: "RS256" };
}

/** The newest key signs. */
let keys = [newKey()];

/** What resource an audience is (RFC 8707): the access token for it is a JWT, as at Auth0. */
const resource = (audience) => ({
  scope: "read:all",
  audience,
  accessTokenFormat: "jwt",
  accessTokenTTL: 3600,
  jwt: { sign: { alg: "RS256" } },
});

function makeProvider(issuer) {
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT_ID,
        client_secret: CLIENT_SECRET,
        redirect_uris: [callback],
        backchannel_logout_uri: new URL("/auth/backchannel-logout", callback).href,
        backchannel_logout_session_required: true,
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        token_endpoint_auth_method: isPlain ? "client_secret_basic" : "client_secret_post",
      },
    ],
    jwks: { keys },
    cookies: { keys: ["not for production"] },
    // Its own way out does not lead to loopback, where the tests' servers are.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    pkce: { required: () => true },
    scopes: ["openid", "profile", "email", "offline_access"],
    claims: { openid: ["sub"], profile: ["name"], email: ["email", "email_verified"] },
    conformIdTokenClaims: isPlain,
    extraParams: isPlain ? [] : ["audience"],
    findAccount: (ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, name: id, email: `${id}@example.com`, email_verified: true }),
    }),
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: isPlain
        ? { enabled: false }
        : {
            enabled: true,
            defaultResource: (ctx) => ctx.oidc.params?.audience,
            getResourceServerInfo: (ctx, audience) => resource(audience),
            useGrantedResource: () => true,
          },
    },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    // Clients cannot ask for `offline_access` without a prompt for consent, which providers of everyday life do not want.
    issueRefreshToken: (ctx, client) => client.grantTypeAllowed("refresh_token"),
    rotateRefreshToken: true,
    ttl: { AccessToken: isPlain ? 2 : 3600, AuthorizationCode: 60, IdToken: 300, RefreshToken: 86400, Grant: 86400, Session: 3600, Interaction: 600 },
  });
  provider.on("grant.success", (ctx) => say({ grant: ctx.oidc.params.grant_type }));
  provider.on("grant.error", (ctx, error) => say({ grant: ctx.oidc.params?.grant_type, error: error.error, detail: error.error_detail ?? error.error_description }));
  provider.on("backchannel.success", () => say({ backchannel: "taken" }));
  provider.on("backchannel.error", (ctx, error) => say({ backchannel: "refused", error: String(error) }));
  for (const event of ["authorization.error", "server_error", "userinfo.error", "revocation.error"]) {
    provider.on(event, (ctx, error) => say({ event, error: error.error ?? String(error), detail: error.error_description }));
  }
  return provider;
}

const escape = (text) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);

/** The person's part: a name is asked for once, consent is given without a question. */
async function interact(provider, request, response) {
  const { uid, prompt, params, session } = await provider.interactionDetails(request, response);
  if (prompt.name === "login" && request.method === "GET") {
    response.setHeader("content-type", "text/html; charset=utf-8");
    response.end(
      `<!doctype html><title>Sign in</title><body><form method="post" action="/interaction/${escape(uid)}">` +
        `<input name="login" type="text"><button name="action" value="login">Sign in</button></form>`,
    );
    return;
  }
  if (prompt.name === "login") {
    let body = "";
    for await (const chunk of request) body += chunk;
    const accountId = new URLSearchParams(body).get("login");
    await provider.interactionFinished(request, response, { login: { accountId } }, { mergeWithLastSubmission: false });
    return;
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope("openid profile email offline_access");
  if (params.audience) grant.addResourceScope(params.audience, "read:all");
  const consent = { grantId: await grant.save() };
  await provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true });
}

let provider;
const server = createServer((request, response) => {
  const answer = request.url.startsWith("/interaction/") ? interact(provider, request, response) : provider.callback()(request, response);
  Promise.resolve(answer).catch((error) => {
    say({ event: "interaction", error: String(error) });
    response.statusCode = 500;
    response.end(String(error));
  });
});

server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}${isPlain ? "" : "/"}`;
  provider = makeProvider(issuer);
  say({ issuer, client_id: CLIENT_ID, client_secret: CLIENT_SECRET });
});

// What is stored is stored for the process, so that another provider object goes on where the first one was.
createInterface({ input: process.stdin })
  .on("line", () => {
    keys = [newKey()];
    provider = makeProvider(provider.issuer);
    say({ rotated: keys[0].kid });
  })
  .on("close", () => process.exit(0));
