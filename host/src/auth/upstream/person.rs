//! Makes an [`Identity`] out of the claims that a provider has sent.
//!
//! It asks nobody anything: [`super::inquiry`] has fetched the claims before.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::claims::{find, text, texts, words};
use crate::auth::identity::{Identity, Membership};
use crate::config::Provider;

/// The most organizations and scopes of one person that are kept. A longer list of organizations is known to be
/// incomplete.
const LISTED_MAX: usize = 2_000;

/// The provider's claims about one person and their tokens.
#[derive(Default)]
pub(super) struct Evidence {
    /// The claims about the person.
    pub(super) person: Map<String, Value>,
    /// The claims of each token.
    pub(super) tokens: Vec<Map<String, Value>>,
    /// The scopes that a header of an answer lists.
    pub(super) header_scopes: Vec<String>,
}

/// True for a token that was given to this client: by `azp` or `client_id`, by `cid` as Okta has it, or else
/// by its audience.
pub(super) fn names_client(claims: &Map<String, Value>, client_id: &str) -> bool {
    for name in ["azp", "client_id", "cid"] {
        if let Some(client) = claims.get(name) {
            return client.as_str() == Some(client_id);
        }
    }
    texts(claims, "aud").iter().any(|audience| audience == client_id)
}

/// The claims of the `id_token`, and what userinfo has beyond them. An address and whether it was verified are taken
/// from the same place.
pub(super) fn combined(
    id_claims: Map<String, Value>,
    userinfo: Map<String, Value>,
    email: &str,
    email_verified: &str,
) -> Map<String, Value> {
    let has_email = !find(&id_claims, email).is_empty();
    let belongs_to_email = |name: &str| [email, email_verified].iter().any(|path| path.split('.').next() == Some(name));
    let mut claims = userinfo;
    if has_email {
        claims.retain(|name, _| !belongs_to_email(name));
    }
    claims.extend(id_claims.into_iter().filter(|(name, _)| has_email || !belongs_to_email(name)));
    claims
}

/// Takes an identity out of the evidence.
pub(super) fn identity(
    provider: &Provider,
    issuer: String,
    granted: &[String],
    evidence: &Evidence,
) -> Result<Identity, String> {
    let names = &provider.claims;
    let subject = text(&evidence.person, &provider.verify.subject_path)
        .ok_or_else(|| format!("nobody is named: no `{}`", provider.verify.subject_path))?;
    let (email, email_verified) = match &names.emails {
        Some(path) => primary_email(&evidence.person, path),
        None => (text(&evidence.person, &names.email), is_verified(provider, &evidence.person)),
    };
    let (organizations, membership) = organizations(provider, &evidence.person);
    let mut scopes = Vec::new();
    let claimed = evidence
        .tokens
        .iter()
        .flat_map(|claims| provider.verify.scope_claims.iter().flat_map(|path| words(claims, path)));
    let all = granted.iter().cloned().chain(claimed).chain(evidence.header_scopes.iter().cloned());
    add_new(&mut scopes, all.map(|scope| local_name(provider, scope)));
    scopes.truncate(LISTED_MAX);
    Ok(Identity {
        issuer,
        subject,
        email_verified: email.is_some() && email_verified,
        email,
        name: names.name.iter().find_map(|path| text(&evidence.person, path)),
        organizations,
        membership,
        further_emails: names.emails.as_ref().map(|path| all_emails(&evidence.person, path)).unwrap_or_default(),
        scopes,
        sid: None,
    })
}

/// The organizations of the person, and the completeness of the list.
fn organizations(provider: &Provider, person: &Map<String, Value>) -> (Vec<String>, Membership) {
    let names = &provider.claims;
    let mut organizations = Vec::new();
    for path in &names.organizations {
        add_new(&mut organizations, texts(person, path));
    }
    let telling = if names.memberships.is_empty() { &names.organizations } else { &names.memberships };
    let is_told = telling.iter().any(|path| find(person, path).into_iter().any(|value| !value.is_null()));
    let is_cut = organizations.len() > LISTED_MAX || !left_out(provider, person).is_empty();
    organizations.truncate(LISTED_MAX);
    let membership = match (is_cut, is_told) {
        (true, _) => Membership::Overflowed,
        (false, true) => Membership::Whole,
        (false, false) => Membership::Unknown,
    };
    (organizations, membership)
}

/// The claims of organizations that are too long for the provider to list: it names them in `_claim_names`, with a
/// place where they could be fetched (OpenID Connect Core 1.0 §5.6.2). Nothing is ever fetched from such a place.
fn left_out<'p>(provider: &'p Provider, person: &Map<String, Value>) -> Vec<&'p str> {
    let named = person.get("_claim_names").and_then(Value::as_object);
    let has_groups = person.get("hasgroups").is_some_and(|value| *value == Value::Bool(true) || value == "true");
    let is_left_out = |path: &&String| {
        let first = path.split('.').next().unwrap_or(path);
        let is_named = named.is_some_and(|named| named.contains_key(path.as_str()) || named.contains_key(first));
        is_named || (has_groups && first == "groups")
    };
    provider.claims.organizations.iter().filter(is_left_out).map(String::as_str).collect()
}

pub(super) fn overage(provider: &Provider, person: &Map<String, Value>) -> String {
    let name = provider.display_name();
    match left_out(provider, person) {
        claims if claims.is_empty() => {
            format!("a person belongs to more than {LISTED_MAX} organizations; the others are not known here")
        }
        claims => format!(
            "{name} leaves `{}` of a person out, who is in too many (`_claim_names`); let it send only those that are assigned to the application",
            claims.join("`, `")
        ),
    }
}

/// Every address of a list, whatever is said of it.
fn all_emails(person: &Map<String, Value>, path: &str) -> Vec<String> {
    let entries = find(person, path).into_iter().filter_map(Value::as_array).flatten();
    entries.filter_map(|entry| entry.get("email")?.as_str()).take(100).map(str::to_owned).collect()
}

fn add_new(list: &mut Vec<String>, items: impl IntoIterator<Item = String>) {
    let mut known: HashSet<String> = list.iter().cloned().collect();
    list.extend(items.into_iter().filter(|item| known.insert(item.clone())));
}

/// True for a verified address: by the boolean `true`, and by a string only where the provider is known to write one.
fn is_verified(provider: &Provider, person: &Map<String, Value>) -> bool {
    if provider.claims.trust_email {
        return true;
    }
    find(person, &provider.claims.email_verified).into_iter().any(|value| match value {
        Value::Bool(verified) => *verified,
        Value::String(text) => provider.claims.email_verified_as_text && text == "true",
        _ => false,
    })
}

/// The primary one of a list of addresses, and whether it was verified.
fn primary_email(person: &Map<String, Value>, path: &str) -> (Option<String>, bool) {
    let is = |entry: &Value, name: &str| entry.get(name) == Some(&Value::Bool(true));
    let lists = find(person, path).into_iter().filter_map(Value::as_array);
    let Some(primary) = lists.flatten().find(|entry| is(entry, "primary")) else { return (None, false) };
    let email = primary.get("email").and_then(Value::as_str).map(str::to_owned);
    (email, is(primary, "verified"))
}

/// The name of a provider's scope here.
fn local_name(provider: &Provider, scope: String) -> String {
    if let Some(name) = provider.scope_aliases.get(&scope) {
        return name.clone();
    }
    let prefix = provider.scope_prefix.as_deref().unwrap_or_default();
    match scope.strip_prefix(prefix) {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => scope,
    }
}

#[cfg(test)]
mod tests;
