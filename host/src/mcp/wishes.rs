//! What the servers of one store keep of a session of the older era: its client's wishes, and that it has ended.
//!
//! The row is what counts. Each server takes it over for a session that it has in memory, when it begins it and when
//! another one says that the row has changed.

use std::time::{Duration, SystemTime};

use rmcp::model::ErrorData;
use serde::{Deserialize, Serialize};

use super::preferences::{Preferences, Wish};
use super::shelf::{Change, Kind, Person, Place, Shelf, ShelfError, in_time, name_of, person_hex};
use super::subscriptions::{TooMany, require_room};
use crate::clock;
use crate::plugins::wit::log::Level;
use crate::replicas::ClientHint;

/// Time for which wishes are kept after they were stated, or after a server has begun the session again.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The levels by their number in a row. Never changed.
const LEVELS: [Level; 8] = [
    Level::Debug,
    Level::Info,
    Level::Notice,
    Level::Warning,
    Level::Error,
    Level::Critical,
    Level::Alert,
    Level::Emergency,
];

/// The row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptSession {
    #[serde(default)]
    pub(super) has_ended: bool,
    /// Grows with each change.
    #[serde(default)]
    changes: u64,
    #[serde(default)]
    level: Option<u8>,
    #[serde(default)]
    uris: Vec<String>,
}

/// The reason that a wish is not one of all servers.
#[derive(Debug, thiserror::Error)]
pub(super) enum WishError {
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error("the wish could not be noted for all servers, and counts on none: {0}")]
    Shelf(#[from] ShelfError),
    #[error("the session has ended")]
    Ended,
}

impl From<WishError> for ErrorData {
    fn from(error: WishError) -> Self {
        match error {
            WishError::TooMany(_) => Self::invalid_params(error.to_string(), None),
            WishError::Shelf(_) | WishError::Ended => Self::internal_error(error.to_string(), None),
        }
    }
}

impl KeptSession {
    fn read(value: Option<&[u8]>) -> Self {
        value.and_then(|value| serde_json::from_slice(value).ok()).unwrap_or_default()
    }

    fn write(&self, until: SystemTime) -> Change {
        Change::Put(serde_json::to_vec(self).expect("a session is JSON"), until)
    }

    /// Notes a wish; false if it changes nothing.
    fn wish(&mut self, wish: &Wish) -> Result<bool, TooMany> {
        let before = (self.level, self.uris.len());
        match wish {
            Wish::Level(level) => {
                self.level = LEVELS.iter().position(|known| known == level).and_then(|at| u8::try_from(at).ok());
            }
            Wish::Subscribe(uri) if self.uris.contains(uri) => {}
            Wish::Subscribe(uri) => {
                require_room(self.uris.len(), self.uris.iter().map(String::len).sum(), uri)?;
                self.uris.push(uri.clone());
            }
            Wish::Unsubscribe(uri) => self.uris.retain(|own| own != uri),
        }
        Ok(before != (self.level, self.uris.len()))
    }

    /// True if its client has stated any.
    pub(super) fn has_wishes(&self) -> bool {
        self.level.is_some() || !self.uris.is_empty()
    }

    /// Gives a session in memory these wishes, unless it has later ones.
    pub(super) fn apply(&self, preferences: &Preferences) {
        let level = self.level.and_then(|number| LEVELS.get(usize::from(number)).copied());
        preferences.take_over(self.changes, level, &self.uris);
    }
}

fn place<'a>(person: &'a Person, name: &'a str) -> Place<'a> {
    Place { person, kind: Kind::Session, name }
}

fn changed(person: &Person, session: &str) -> ClientHint {
    ClientHint::Session { person: person_hex(person), session: session.to_owned() }
}

/// What is kept of a session; the default if nothing is.
///
/// # Errors
/// The store's.
pub(super) async fn of(shelf: &Shelf, person: &Person, session: &str) -> Result<KeptSession, ShelfError> {
    let name = name_of(session);
    Ok(KeptSession::read(shelf.get(place(person, &name)).await?.as_deref()))
}

/// Notes a wish for all servers, and gives it to the session in memory here.
///
/// # Errors
/// [`WishError`]; then nothing has changed.
pub(super) async fn change(
    shelf: &Shelf,
    person: &Person,
    session: &str,
    preferences: &Preferences,
    wish: &Wish,
) -> Result<(), WishError> {
    let name = name_of(session);
    let mut kept = KeptSession::default();
    shelf
        .change(place(person, &name), |found| {
            kept = KeptSession::read(found);
            if kept.has_ended {
                return Err(WishError::Ended);
            }
            if !kept.wish(wish)? {
                return Ok(Change::Keep);
            }
            // By the time, so that they grow beyond those of a row that is gone.
            kept.changes = clock::now_ms().max(kept.changes + 1);
            Ok(kept.write(in_time(KEPT)))
        })
        .await?;
    kept.apply(preferences);
    Ok(shelf.tell(changed(person, session)).await?)
}

/// Lets wishes live on, of a session that a server begins again.
///
/// # Errors
/// The store's.
pub(super) async fn renew(shelf: &Shelf, person: &Person, session: &str) -> Result<(), ShelfError> {
    let name = name_of(session);
    let renewed = shelf.change(place(person, &name), |found| {
        let kept = KeptSession::read(found);
        let has_any = found.is_some() && !kept.has_ended;
        Ok::<_, ShelfError>(if has_any { kept.write(in_time(KEPT)) } else { Change::Keep })
    });
    renewed.await
}

/// Notes for all servers that a session has ended, until its id is too old.
///
/// # Errors
/// The store's.
pub(super) async fn end(shelf: &Shelf, person: &Person, session: &str, until: SystemTime) -> Result<(), ShelfError> {
    let name = name_of(session);
    let ended = KeptSession { has_ended: true, ..KeptSession::default() };
    shelf.change(place(person, &name), |_| Ok::<_, ShelfError>(ended.write(until))).await?;
    shelf.tell(changed(person, session)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_bounded_and_of_two_states_the_later_one_counts() {
        let mut kept = KeptSession::default();
        assert_eq!(kept.wish(&Wish::Level(Level::Error)), Ok(true));
        assert_eq!(kept.wish(&Wish::Level(Level::Error)), Ok(false));
        assert_eq!(kept.wish(&Wish::Subscribe("x:1".to_owned())), Ok(true));
        assert_eq!(kept.wish(&Wish::Subscribe("x:1".to_owned())), Ok(false));
        kept.changes = 2;
        let preferences = Preferences::default();
        kept.apply(&preferences);
        assert_eq!(preferences.least_level(), Level::Error);
        let earlier = KeptSession { changes: 1, ..KeptSession::default() };
        earlier.apply(&preferences);
        assert_eq!(preferences.least_level(), Level::Error);
        assert_eq!(kept.wish(&Wish::Unsubscribe("x:1".to_owned())), Ok(true));
        assert_eq!(kept.wish(&Wish::Subscribe("y".repeat(70_000))), Err(TooMany));
        for number in 0..1000 {
            kept.wish(&Wish::Subscribe(format!("x:{number}"))).unwrap();
        }
        assert_eq!(kept.wish(&Wish::Subscribe("x:more".to_owned())), Err(TooMany));
        let Change::Put(value, _) = kept.write(in_time(KEPT)) else { panic!("nothing is written") };
        assert_eq!(KeptSession::read(Some(&value)), kept);
    }
}
