//! Every key of `[auth.providers.NAME]` and of the built-in files, which are the same keys.

use std::collections::BTreeMap;

use super::values::{BasicEncoding, ClientAuth, DiscoveryUrl, Endpoint, Method, Presence, Revocation, Secret, Words};
use crate::config::table::table;
use crate::config::units::{Period, Positive};

table! {
    /// `[auth.providers.NAME]`: a provider of one's own, or what differs from the built-in one of this name.
    pub struct ProviderKeys {
        /// Its name on pages; without one, the name of the table.
        display_name: Option<String>,
        /// Where in its dashboard the callback URLs of an application are listed.
        callback_place: Option<String>,
        /// Its discovery document, its issuer, or its bare domain. Endpoints that are given below replace those in it.
        discovery: Option<DiscoveryUrl>,
        /// Its issuer, which a discovery document must name exactly.
        issuer: Option<String>,
        /// Further issuers that tokens may name.
        issuers: Vec<String> = [],
        /// An issuer in which `{tid}` stands for the claim `tid` of the token: the person's tenant.
        issuer_template: Option<String>,
        /// Where people log in.
        authorization_endpoint: Option<Endpoint>,
        /// Where codes become tokens.
        token_endpoint: Option<Endpoint>,
        /// Where its keys are.
        jwks_uri: Option<Endpoint>,
        /// Where it says who a token's person is.
        userinfo_endpoint: Option<Endpoint>,
        /// Where it says what a token is (RFC 7662).
        introspection_endpoint: Option<Endpoint>,
        /// The same without authentication, in Google's way.
        token_info_endpoint: Option<Endpoint>,
        /// Where tokens are revoked (RFC 7009).
        revocation_endpoint: Option<Endpoint>,
        /// How much it revokes of a person's when it is given one token: `grant` (all of it), `token`.
        revocation: Revocation = "grant",
        /// The id under which the provider knows this server.
        client_id: String,
        /// The secret that goes with it.
        client_secret: Option<Secret>,
        /// How both are sent: `auto`, `basic`, `post`, `none`.
        client_auth: ClientAuth = "auto",
        /// How both are written in a Basic header: `rfc6749`, `raw`.
        basic_encoding: BasicEncoding = "rfc6749",
        /// Whether to send a challenge (RFC 7636); only for providers that refuse logins with one.
        pkce: bool = true,
        /// Whether an `id_token` must carry the nonce: `required`, `optional`.
        nonce: Presence = "required",
        /// Whether to send the audience as `resource` (RFC 8707) too, which most providers refuse.
        send_resource: bool = false,
        /// What the provider calls the API that its access tokens are for.
        audience: Option<String>,
        /// The name of the parameter that says so.
        audience_param: String = "audience",
        /// The scopes to ask for: a list, or a string that separates them by spaces or commas.
        scopes: Words = [],
        /// Scopes to ask for if the discovery document lists them.
        optional_scopes: Words = [],
        /// What stands between scopes in a request.
        scope_separator: String = " ",
        /// What stands between scopes in an answer, beside spaces.
        answer_scope_separator: String = " ",
        /// Requests besides the login that name the scopes too: `token`, `refresh`.
        send_scope_on: Words = [],
        /// What the provider wants before scopes of one's own, such as `api://1234/`; its tokens have them without.
        scope_prefix: Option<String>,
        /// Scopes that never have that prefix.
        scope_prefix_except: Words = ["openid", "profile", "email", "offline_access"],
        /// Whether anybody can get an account there. Then `auth.allow` must say who may log in.
        open_signup: bool = false,
        /// The same for discovery URLs that begin with one of these.
        open_signup_at: Vec<String> = [],
        /// Answers to a refresh by which a refresh token is dead, beside those of the standards: the error's code, or
        /// `code: words` with something that its description contains.
        refresh_ended_by: Vec<String> = [],
        /// How the provider is asked for a refresh token.
        offline: Offline = {},
        /// How identities and tokens are verified.
        verify: Verify = {},
        /// Where the identity's parts are.
        claims: Claims = {},
        /// Further parameters of the login.
        authorize_params: BTreeMap<String, String> = {},
        /// Further parameters of every token request.
        token_params: BTreeMap<String, Secret> = {},
        /// Further headers of every token request.
        token_headers: BTreeMap<String, Secret> = {},
        /// Errors of the token endpoint that have names of their own, and those of RFC 6749 that they are.
        token_errors: BTreeMap<String, String> = {},
        /// Other names of scopes in the provider's tokens, and what they are called here.
        scope_aliases: BTreeMap<String, String> = {},
        /// Documents about the person that are fetched with the access token, by the name of the claim that each becomes.
        documents: BTreeMap<String, Document> = {},
        /// The variables that the provider needs, and where their values are found.
        variables: BTreeMap<String, String> = {},
        /// What the provider's errors mean, by any name.
        hints: BTreeMap<String, Hint> = {},
    }
}

table! {
    /// `[auth.providers.NAME.offline]`
    pub struct Offline {
        /// A scope.
        scope: Option<String>,
        /// Parameters of the login.
        params: BTreeMap<String, String> = {},
    }
}

table! {
    /// `[auth.providers.NAME.verify]`
    pub struct Verify {
        /// Where the identity comes from: `auto`, `userinfo`, `introspection`, `token_info`.
        method: Method = "auto",
        /// Whether a login without a valid `id_token` fails, for which `openid` must be among the scopes.
        id_token: bool = false,
        /// Whether to ask the introspection endpoint, if there is one, whose an access token is.
        introspect: bool = false,
        /// The algorithms by which tokens may be signed.
        algorithms: Words = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"],
        /// Where a token says its scopes: names of claims, or paths to them.
        scope_claims: Words = ["scope", "permissions", "roles"],
        /// A header of the userinfo answer that says them.
        scopes_header: Option<String>,
        /// The claim that names the person, or the path to it.
        subject_path: String = "sub",
        /// What must stand at a path: a token of another application has something else there.
        check_paths: BTreeMap<String, String> = {},
        /// How often to ask again whether a token is good, for tokens that are not refreshed.
        recheck: Option<Positive<Period>>,
        /// By how much clocks may differ, a minute at most.
        leeway: Period = "60s",
    }
}

table! {
    /// `[auth.providers.NAME.claims]`: names of claims, or paths to them.
    pub struct Claims {
        /// The person's address.
        email: String = "email",
        /// Whether it was verified.
        email_verified: String = "email_verified",
        /// Whether the provider writes that as a string.
        email_verified_as_text: bool = false,
        /// Whether every address counts as verified, since only the provider's administrators set them.
        trust_email: bool = false,
        /// A list of addresses with `primary` and `verified`, of which the primary one is taken.
        emails: Option<String>,
        /// The person's name: the first of these that is there.
        name: Vec<String> = ["name", "preferred_username", "nickname"],
        /// What `org:…` is compared with: all of these that are there.
        organizations: Vec<String> = [],
        /// Of these, one must be there for `auth.deny` to know that somebody is in no such organization; without this
        /// key, one of `organizations`.
        memberships: Vec<String> = [],
    }
}

table! {
    /// `[auth.providers.NAME.documents.CLAIM]`
    pub struct Document {
        /// Where it is.
        url: Endpoint,
        /// It is fetched only if this scope is asked for.
        for_scope: Option<String>,
    }
}

table! {
    /// `[auth.providers.NAME.hints.ANY]`: what an error of the provider means, and what the operator can do.
    ///
    /// Texts may name `{audience}`, `{client_id}`, `{scopes}`, `{callback}`, `{discovery}`, `{provider_host}`, and the
    /// setting of a key as `{audience_setting}`.
    pub struct Hint {
        /// What the error's text contains, in any case.
        when: String,
        /// The page's heading.
        title: String,
        /// What happened.
        happened: String,
        /// What to do, a sentence each.
        steps: Vec<String> = [],
    }
}
