//! What operators ask about their tokens, and what they are told: the same in the process and through the control socket.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::store::StoreError;

/// Something to do with tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Make one.
    New {
        /// Its name.
        name: String,
        /// The scopes that it holds.
        scopes: BTreeSet<String>,
        /// The view that it is for; `mcp` for the main endpoint.
        view: String,
        /// Its life in seconds.
        life_s: u64,
    },
    /// List them.
    List,
    /// End one.
    Revoke {
        /// Its name.
        name: String,
    },
}

/// The result.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// This one was made.
    Made(MadeToken),
    /// All of them, in order of their names.
    Tokens(Vec<TokenState>),
    /// It is over.
    Revoked,
}

/// A token that was just made. There is no `Debug`: nobody but the operator sees the token, and only now.
#[derive(Clone, Serialize, Deserialize)]
pub struct MadeToken {
    /// The token itself.
    pub token: String,
    /// The rest.
    pub state: TokenState,
}

/// A token as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenState {
    /// Its name.
    pub name: String,
    /// The scopes that it holds.
    pub scopes: BTreeSet<String>,
    /// The view that it is for.
    pub view: String,
    /// When it was made, in seconds since 1970.
    pub created_s: u64,
    /// When it ends.
    pub expires_s: u64,
    /// When it was last used.
    pub last_used_s: Option<u64>,
}

/// The reason that nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum TokenError {
    /// There is one of this name.
    #[error("there is a token `{0}` already: revoke it first, or choose another name")]
    Taken(String),
    /// There is none of this name.
    #[error("there is no token `{0}`: `tinymcp token list` lists them")]
    Unknown(String),
    /// There are as many as there may be.
    #[error("there are {0} tokens already: revoke some")]
    TooMany(usize),
    /// Its end is beyond what a clock can show.
    #[error("the token would live too long")]
    TooLong,
    /// The store cannot be used.
    #[error("the store of tokens cannot be used: {0}")]
    Unavailable(String),
}

impl From<StoreError> for TokenError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
