//! Every key of `[auth.providers.NAME]` and of the built-in files, which are the same keys.

use std::collections::BTreeMap;

use super::values::{BasicEncoding, ClientAuth, DiscoveryUrl, Endpoint, Method, Presence, Revocation, Secret, Words};
use crate::config::table::table;
use crate::config::units::{Period, Positive};

table! {
    /// `[auth.providers.NAME]`: a provider of one's own, or changes to the built-in one of this name.
    pub struct ProviderKeys {
        /// Its name on pages; without one, the name of the table.
        display_name: Option<String>,
        /// The place of an application's callback URLs in its dashboard.
        callback_place: Option<String>,
        /// Its discovery document, its issuer, or its bare domain. Endpoints that are given below replace those in it.
        discovery: Option<DiscoveryUrl>,
        /// Its issuer, which a discovery document must name exactly.
        issuer: Option<String>,
        /// Further issuers that tokens may name.
        issuers: Vec<String> = [],
        /// An issuer in which `{tid}` stands for the claim `tid` of the token: the person's tenant.
        issuer_template: Option<String>,
        /// The endpoint where people log in.
        authorization_endpoint: Option<Endpoint>,
        /// The endpoint where codes become tokens.
        token_endpoint: Option<Endpoint>,
        /// The URL of its keys (JWKS).
        jwks_uri: Option<Endpoint>,
        /// The endpoint that tells a token's person.
        userinfo_endpoint: Option<Endpoint>,
        /// The endpoint that introspects tokens (RFC 7662).
        introspection_endpoint: Option<Endpoint>,
        /// The same without authentication, in Google's way.
        token_info_endpoint: Option<Endpoint>,
        /// The endpoint that revokes tokens (RFC 7009).
        revocation_endpoint: Option<Endpoint>,
        /// The extent of a revocation by one token: `grant` (everything of the person), `token`.
        revocation: Revocation = "grant",
        /// The id under which the provider knows this server.
        client_id: String,
        /// The secret that goes with it.
        client_secret: Option<Secret>,
        /// The way to send both: `auto`, `basic`, `post`, `none`.
        client_auth: ClientAuth = "auto",
        /// The encoding of both in a Basic header: `rfc6749`, `raw`.
        basic_encoding: BasicEncoding = "rfc6749",
        /// Sends a challenge (RFC 7636); `false` only for providers that refuse logins with one.
        pkce: bool = true,
        /// The nonce in an `id_token`: `required`, `optional`.
        nonce: Presence = "required",
        /// Sends the audience as `resource` (RFC 8707) too, which most providers refuse.
        send_resource: bool = false,
        /// The provider's name for the API that its access tokens are for.
        audience: Option<String>,
        /// The name of the parameter that says so.
        audience_param: String = "audience",
        /// The scopes to ask for: a list, or a string that separates them by spaces or commas.
        scopes: Words = [],
        /// Scopes to ask for if the discovery document lists them.
        optional_scopes: Words = [],
        /// The separator of scopes in a request.
        scope_separator: String = " ",
        /// The separator of scopes in an answer, beside spaces.
        answer_scope_separator: String = " ",
        /// Requests besides the login that name the scopes too: `token`, `refresh`.
        send_scope_on: Words = [],
        /// The prefix of one's own scopes in requests, such as `api://1234/`; the provider's tokens have them without.
        scope_prefix: Option<String>,
        /// Scopes that never have that prefix.
        scope_prefix_except: Words = ["openid", "profile", "email", "offline_access"],
        /// True if anybody can get an account there. Then `auth.allow` must say who may log in.
        open_signup: bool = false,
        /// The same, for discovery URLs that begin with one of these.
        open_signup_at: Vec<String> = [],
        /// Answers to a refresh after which the refresh token is dead, beside those of the standards: the error's code,
        /// or `code: words` with words of its description.
        refresh_ended_by: Vec<String> = [],
        /// The way to ask the provider for a refresh token.
        offline: Offline = {},
        /// The verification of identities and tokens.
        verify: Verify = {},
        /// The claims with the parts of the identity.
        claims: Claims = {},
        /// Further parameters of the login.
        authorize_params: BTreeMap<String, String> = {},
        /// Further parameters of every token request.
        token_params: BTreeMap<String, Secret> = {},
        /// Further headers of every token request.
        token_headers: BTreeMap<String, Secret> = {},
        /// The provider's own names for errors of the token endpoint, with their names in RFC 6749.
        token_errors: BTreeMap<String, String> = {},
        /// Other names of scopes in the provider's tokens, with their names here.
        scope_aliases: BTreeMap<String, String> = {},
        /// Documents about the person that are fetched with the access token, by the name of the claim that each becomes.
        documents: BTreeMap<String, Document> = {},
        /// The variables that the provider needs, and the place to find their values.
        variables: BTreeMap<String, String> = {},
        /// Explanations of the provider's errors, by any name.
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
        /// The source of the identity: `auto`, `userinfo`, `introspection`, `token_info`.
        method: Method = "auto",
        /// Refuses a login without a valid `id_token`, for which `openid` must be among the scopes.
        id_token: bool = false,
        /// Asks the introspection endpoint, if there is one, for the person of an access token.
        introspect: bool = false,
        /// The algorithms by which tokens may be signed.
        algorithms: Words = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"],
        /// The claims of a token that list its scopes, by names or paths.
        scope_claims: Words = ["scope", "permissions", "roles"],
        /// A header of the userinfo answer that lists them.
        scopes_header: Option<String>,
        /// The claim that names the person, or the path to it.
        subject_path: String = "sub",
        /// Values that must stand at paths: a token of another application has other ones there.
        check_paths: BTreeMap<String, String> = {},
        /// Interval between checks of tokens that are not refreshed.
        recheck: Option<Positive<Period>>,
        /// Allowed difference between clocks, a minute at most.
        leeway: Period = "60s",
    }
}

table! {
    /// `[auth.providers.NAME.claims]`: names of claims, or paths to them.
    pub struct Claims {
        /// The person's address.
        email: String = "email",
        /// The claim that says if it was verified.
        email_verified: String = "email_verified",
        /// True if the provider writes that as a string.
        email_verified_as_text: bool = false,
        /// True if every address counts as verified, since only the provider's administrators set them.
        trust_email: bool = false,
        /// A list of addresses with `primary` and `verified`, of which the primary one is taken.
        emails: Option<String>,
        /// The person's name: the first of these that is there.
        name: Vec<String> = ["name", "preferred_username", "nickname"],
        /// The claims that `org:…` is compared with: all of these that are there.
        organizations: Vec<String> = [],
        /// Claims of which one must be there before `auth.deny` takes somebody to be in no such organization; without
        /// this key, one of `organizations`.
        memberships: Vec<String> = [],
    }
}

table! {
    /// `[auth.providers.NAME.documents.CLAIM]`
    pub struct Document {
        /// Its URL.
        url: Endpoint,
        /// It is fetched only if this scope is asked for.
        for_scope: Option<String>,
    }
}

table! {
    /// `[auth.providers.NAME.hints.ANY]`: the meaning of a provider's error, and the operator's cure.
    ///
    /// Texts may name `{audience}`, `{client_id}`, `{scopes}`, `{callback}`, `{discovery}`, `{provider_host}`, and the
    /// setting of a key as `{audience_setting}`.
    pub struct Hint {
        /// A part of the error's text, in any case.
        when: String,
        /// The page's heading.
        title: String,
        /// An explanation of the error.
        happened: String,
        /// The cure, a sentence for each step.
        steps: Vec<String> = [],
    }
}
