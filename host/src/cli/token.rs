//! `tinymcp token`: makes, lists and revokes tokens for callers without a browser, through the running server, or in its
//! store while none runs.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::operator::not_opened;
use super::recording::recorded;
use super::{ConfigArguments, Failure, logging, output, runtime, shared};
use crate::auth::machines::operator::{Answer, MadeToken, OperatorTokens, Request, TokenError, TokenState};
use crate::clock::now_s;
use crate::config::machines::MachineName;
use crate::config::names::Scope;
use crate::config::provider::NONE;
use crate::config::units::Period;
use crate::config::{Config, Environment, Purpose};
use crate::control::Act;
use crate::control::client::{Client, ClientError};
use crate::state::{Secrets, StateDir};
use crate::store::Store;

/// The view that every server has: the endpoint `/mcp` itself.
const MAIN_VIEW: &str = "mcp";

/// The longest life of a token: ten years.
const LIFE_MAX_S: u64 = 3650 * 24 * 3600;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Make a token, and print it once
    #[command(
        after_help = "Example:\n  tinymcp token new ci --scopes weather:read,notes:read --expires 90d\n  tinymcp token new nightly --scopes '' --expires 12h --view ops --json"
    )]
    New {
        /// Its name
        name: MachineName,
        /// The scopes that it holds, with commas between them, such as `weather:read,notes:read`; "" for none
        #[arg(long, value_name = "SCOPES")]
        scopes: String,
        /// The time after which it ends, such as 90d; ten years (3650d) at most
        #[arg(long, value_name = "TIME")]
        expires: Period,
        /// The view that it is for; needed where there is another than `mcp`, the main endpoint
        #[arg(long, value_name = "NAME")]
        view: Option<String>,
    },
    /// List all tokens, with their last use
    #[command(after_help = "Example:\n  tinymcp token list --json")]
    List,
    /// End a token at once
    #[command(after_help = "Example:\n  tinymcp token revoke ci")]
    Revoke {
        /// Its name
        name: MachineName,
    },
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start_quiet();
    let Arguments { config, json, what } = arguments;
    let invocation = config.invocation(Purpose::Look, Vec::new());
    let environment = Environment::read(invocation.directory());
    let setup = Config::load(&invocation, &environment).map_err(Failure::start)?;
    let config = setup.config;
    if config.auth.provider.as_str() == NONE {
        if matches!(what, What::List) {
            show(Answer::Tokens(Vec::new()), json);
            return Ok(());
        }
        return Err(Failure::start("with `auth.provider = \"none\"` everybody may call, and a token means nothing"));
    }
    let request = request(&config, what)?;
    let answer = runtime()?.block_on(ask(&config, &setup.secrets, request))?;
    show(answer, json);
    Ok(())
}

/// What is asked of the tokens, after what can be checked here.
fn request(config: &Config, what: What) -> Result<Request, Failure> {
    match what {
        What::List => Ok(Request::List),
        What::Revoke { name } => Ok(Request::Revoke { name: name.to_string() }),
        What::New { name, scopes, expires, view } => {
            let life_s = expires.duration().as_secs();
            if life_s > LIFE_MAX_S {
                return Err(Failure::start(
                    "`--expires` is ten years at most (`3650d`): whoever finds a token may use it for as long",
                ));
            }
            if life_s == 0 {
                return Err(Failure::start("`--expires` must be a second or more, such as `90d`"));
            }
            let scopes = scopes_of(&scopes)?;
            let unknown = scopes.iter().filter(|scope| !known_scopes(config).contains(scope.as_str()));
            for scope in unknown {
                output::note(&format!("no plugin needs the scope `{scope}` at the moment"));
            }
            Ok(Request::New { name: name.to_string(), scopes, view: view_of(config, view)?, life_s })
        }
    }
}

fn scopes_of(text: &str) -> Result<BTreeSet<String>, Failure> {
    let names = text.split([',', ' ']).filter(|name| !name.is_empty());
    let parse = |name: &str| {
        let scope = name.parse::<Scope>().map_err(|error| Failure::start(format!("scope `{name}`: {error}")))?;
        Ok(scope.to_string())
    };
    names.map(parse).collect()
}

/// Every scope that means something here.
fn known_scopes(config: &Config) -> BTreeSet<&str> {
    let of_plugins = config.plugin.values().flat_map(|plugin| &plugin.scopes);
    let of_tools = config.plugin.values().flat_map(|plugin| plugin.tool.values()).flat_map(|tool| &tool.scopes);
    let of_views = config.view.values().flat_map(|view| &view.scopes);
    of_plugins.chain(of_tools).chain(of_views).chain(config.auth.scopes.keys()).map(Scope::as_str).collect()
}

/// The view that a token is for. Nobody has to choose where there is one only.
fn view_of(config: &Config, view: Option<String>) -> Result<String, Failure> {
    let views = views(config);
    let listed = || views.iter().map(|view| format!("`{view}`")).collect::<Vec<_>>().join(", ");
    match view {
        Some(view) if views.contains(&view) => Ok(view),
        Some(view) => Err(Failure::start(format!("there is no view `{view}`; there are: {}", listed()))),
        None if views.len() == 1 => Ok(MAIN_VIEW.to_owned()),
        None => Err(Failure::start(format!("say which view the token is for, with `--view`; there are: {}", listed()))),
    }
}

/// The views of a server: the main endpoint, and those of the configuration.
fn views(config: &Config) -> Vec<String> {
    let of_configuration = config.view.keys().map(ToString::to_string);
    std::iter::once(MAIN_VIEW.to_owned()).chain(of_configuration).collect()
}

/// Asks the running server, or the store where none is running.
async fn ask(config: &Config, secrets: &Secrets, request: Request) -> Result<Answer, Failure> {
    let outcome = match Client::find(&config.state).await {
        Ok(client) => {
            let arguments = serde_json::to_value(request).map_err(Failure::failed)?;
            let answer = client.ask("token", arguments).await.map_err(Failure::failed)?;
            serde_json::from_value::<Result<Answer, TokenError>>(answer).map_err(Failure::failed)?
        }
        Err(ClientError::NoServer) => ask_store(config, secrets, request).await?,
        Err(error) => return Err(Failure::failed(error)),
    };
    outcome.map_err(Failure::failed)
}

/// Asks the store, under its lock: no server begins meanwhile.
async fn ask_store(
    config: &Config,
    secrets: &Secrets,
    request: Request,
) -> Result<Result<Answer, TokenError>, Failure> {
    let directory = &config.state.dir;
    let existing = StateDir::open_existing(directory, secrets).map_err(Failure::start)?;
    // Where no token was ever made, looking makes nothing.
    let has_store = config.state.url.is_some() || existing.as_ref().is_some_and(Store::is_there);
    if !has_store && matches!(request, Request::List) {
        return Ok(Ok(Answer::Tokens(Vec::new())));
    }
    if existing.is_some_and(|state| !state.is_mine()) {
        let message = "belongs to another user: run this as the user that the server runs as";
        return Err(Failure::start(format!("state directory `{}` {message}", directory.display())));
    }
    let state = StateDir::open(directory, secrets).map_err(Failure::at_start)?;
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let shared = shared::find_to_change(&config.state, &state).await.map_err(Failure::at_start)?;
    let switches = shared::switches(shared.as_ref().map(|(redis, _)| redis), &state).await.map_err(Failure::start)?;
    let store = match shared {
        Some((redis, replicas)) => Store::shared(redis, &replicas, &state, Duration::ZERO),
        None => {
            let store = Store::open(&state, &tracker, stop.clone());
            store.map_err(|error| not_opened(error, &config.state))?
        }
    };
    let tokens = OperatorTokens::of(store, &state, config.server.base_url.as_str().to_owned(), switches);
    let outcome = recorded(&config.audit, &state, Act::of_token(&request), tokens.ask(request)).await;
    drop(tokens);
    stop.cancel();
    tracker.close();
    tracker.wait().await;
    outcome
}

fn show(answer: Answer, json: bool) {
    match answer {
        Answer::Made(MadeToken { token, state }) if json => {
            let mut shown = in_json(&state);
            shown["token"] = token.into();
            output::json(&shown);
        }
        Answer::Made(MadeToken { token, state }) => {
            output::note(&format!(
                "token `{}` for `{}` with {}, until {}. It is shown this once:",
                state.name,
                state.view,
                scopes_shown(&state.scopes),
                time(state.expires_s),
            ));
            output::result(&token);
        }
        Answer::Tokens(tokens) if json => output::json(&json!(tokens.iter().map(in_json).collect::<Vec<_>>())),
        Answer::Tokens(tokens) => {
            if tokens.is_empty() {
                output::note("there are no tokens: `tinymcp token new` makes one");
            }
            let now_s = now_s();
            for state in tokens {
                let end = if state.expires_s <= now_s { "expired" } else { "until" };
                let used = state
                    .last_used_s
                    .map_or_else(|| "never used".to_owned(), |used| format!("last used {}", time(used)));
                output::line(&format!(
                    "{}  {}, {}, {end} {}, {used}",
                    output::bold(&state.name),
                    state.view,
                    scopes_shown(&state.scopes),
                    time(state.expires_s),
                ));
            }
        }
        Answer::Revoked if json => output::json(&json!({ "revoked": true })),
        Answer::Revoked => output::note("revoked"),
    }
}

fn in_json(state: &TokenState) -> Value {
    json!({
        "name": state.name,
        "scopes": state.scopes,
        "view": state.view,
        "created": time(state.created_s),
        "expires": time(state.expires_s),
        "lastUsed": state.last_used_s.map(time),
        "expired": state.expires_s <= now_s(),
    })
}

fn scopes_shown(scopes: &BTreeSet<String>) -> String {
    let names: Vec<String> = scopes.iter().map(|scope| format!("`{scope}`")).collect();
    if names.is_empty() { "no scopes".to_owned() } else { names.join(", ") }
}

/// A time of day, in UTC (RFC 3339).
fn time(seconds: u64) -> String {
    const DAY_S: u64 = 24 * 3600;
    let (days, second) = (seconds / DAY_S, seconds % DAY_S);
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// The date of a day since 1970 (Howard Hinnant's `civil_from_days`).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            assert_eq!(time(seconds), expected);
        }
    }

    #[test]
    fn scopes_are_read_with_commas_or_spaces() {
        let read = |text| scopes_of(text).ok().map(|scopes| scopes.into_iter().collect::<Vec<_>>());
        assert_eq!(read("b, a"), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(read(""), Some(Vec::new()));
        assert_eq!(read("a\"b"), None);
    }
}
