//! What becomes of a refresh token or a code that is presented: the rules alone, without store, clock and network.
//!
//! A store of several servers may lose what it has acknowledged: then another server writes there ([`Primary`]), and rows
//! are as they were before. A token says under its MAC which rotation it came with and which server wrote it down
//! ([`Lineage`]), so that one whose row was lost is told from one that is old. `model` explores the rules over every order
//! of requests, crashes and losses.

#[cfg(test)]
mod model;

use crate::auth::tokens::Lineage;
use crate::store::Primary;

/// The refresh tokens that a row knows.
pub(super) struct Known<'a, H> {
    pub(super) current: &'a H,
    /// The rotation that the current one came with.
    pub(super) generation: u32,
    /// The one before it.
    pub(super) predecessor: Option<&'a H>,
}

/// What becomes of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    /// The next pair is given out, of this generation.
    Next { generation: u32 },
    /// It is the one before: its answer was lost on the way, and is repeated for a while.
    Again,
    /// Anything older was used before, by its client or by a thief: the session ends (RFC 9700 §4.14.2).
    Theft,
    /// The session has no refresh token yet.
    Unknown,
}

/// What becomes of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Redemption {
    /// Its session begins.
    Grants,
    /// It was used before, at this time.
    Used { at_ms: u64 },
    /// Its use may be among what was lost.
    Doubtful,
}

/// Judges a refresh token by the row as it was read from `primary`.
///
/// A genuine one that is no older than the row, and was written down on another server, is one whose row was lost. It is
/// taken as the current one, once: its use makes the row the newer of the two.
pub(super) fn renewal<H: PartialEq>(
    presented: &H,
    lineage: Option<Lineage>,
    known: Option<&Known<'_, H>>,
    primary: Primary,
) -> Renewal {
    let lost = lineage.filter(|lineage| lineage.primary != primary);
    let Some(&Known { current, generation, predecessor }) = known else {
        // The redemption of its code was lost.
        return lost.map_or(Renewal::Unknown, |lost| Renewal::Next { generation: lost.generation.saturating_add(1) });
    };
    if presented == current {
        return Renewal::Next { generation: generation.saturating_add(1) };
    }
    if let Some(lost) = lost.filter(|lost| lost.generation >= generation) {
        return Renewal::Next { generation: lost.generation.saturating_add(1) };
    }
    if predecessor == Some(presented) { Renewal::Again } else { Renewal::Theft }
}

/// Judges a code by the row as it was read from `primary`.
pub(super) fn redemption(lineage: Option<Lineage>, used_ms: Option<u64>, primary: Primary) -> Redemption {
    if lineage.is_some_and(|lineage| lineage.primary != primary) {
        return Redemption::Doubtful;
    }
    used_ms.map_or(Redemption::Grants, |at_ms| Redemption::Used { at_ms })
}
