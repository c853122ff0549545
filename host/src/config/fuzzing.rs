//! The text of a configuration file.

use super::effective::REDACTED;
use super::{Config, ConfigError, Environment, Invocation, Provider, Purpose, Setup};
use crate::fuzzing::promises::assert_shown;

/// Bytes of a problem beside the value that it quotes.
const MAX_WORDS: usize = 8 << 10;

/// Any text in place of `tinymcp.toml`.
pub(crate) fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let setup = match parse(text) {
        Ok(setup) => setup,
        Err(ConfigError::Problems(problems)) => {
            assert!(!problems.is_empty());
            problems.iter().for_each(|problem| assert_shown(&problem.to_string(), MAX_WORDS + 8 * text.len()));
            return;
        }
        Err(error) => panic!("{error}"),
    };
    setup.warnings.iter().for_each(|warning| assert_shown(&warning.to_string(), MAX_WORDS + 8 * text.len()));
    let (same, waiting) = setup.config.reloaded(setup.config.clone());
    assert!(same == setup.config && waiting.is_empty(), "it differs from itself: {waiting:?}");
    let shown = setup.effective.to_string();
    assert_shown(&shown.replace('\n', " "), usize::MAX);
    if shown.contains(REDACTED) {
        return;
    }
    match parse(&shown) {
        Ok(again) => assert_eq!(again.config, setup.config, "shown as\n{shown}"),
        Err(error) => panic!("{error}, shown as\n{shown}"),
    }
}

/// The provider that a configuration chooses.
///
/// # Panics
/// When it has problems.
pub(crate) fn provider(text: &str) -> Provider {
    let setup = Config::parse(text, &Invocation::new(Purpose::Serve), &Environment::default());
    setup.ok().and_then(|setup| setup.provider).expect("it chooses a provider")
}

fn parse(text: &str) -> Result<Setup, ConfigError> {
    let variables = [("AUTH0_DOMAIN", "example.eu.auth0.com"), ("X", "y")];
    Config::parse(text, &Invocation::new(Purpose::Look), &Environment::from_iter(variables))
}
