//! Lists of names, a page at a time, with the cursors by which the next one begins.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::limits::PAGE;
use super::request::{KvError, Outcome};
use super::seal::{SealedSpace, Sealer};

/// Names that are read for a page: one more tells whether there is another page.
pub(super) const READ: usize = PAGE + 1;

/// The name after which a page begins. A cursor is of one space and one prefix; where there is no space, it is of none.
///
/// # Errors
/// [`KvError::Cursor`].
pub(super) fn begin(
    sealer: &Sealer,
    space: Option<&SealedSpace>,
    prefix: &str,
    cursor: Option<&str>,
) -> Result<Option<Vec<u8>>, KvError> {
    let Some(cursor) = cursor else { return Ok(None) };
    let opened = || {
        let sealed = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        sealer.open_cursor(space?, prefix, &sealed)
    };
    opened().map(Some).ok_or(KvError::Cursor)
}

/// A page of the names that were read, [`READ`] at most.
///
/// # Errors
/// A name is not what was written.
pub(super) fn of_names(
    sealer: &Sealer,
    space: &SealedSpace,
    prefix: &str,
    mut names: Vec<Vec<u8>>,
) -> Result<Outcome, KvError> {
    let has_more = names.len() > PAGE;
    names.truncate(PAGE);
    let last = names.last().filter(|_| has_more);
    let cursor = last.map(|last| URL_SAFE_NO_PAD.encode(sealer.seal_cursor(space, prefix, last)));
    Ok(Outcome::Names(names.into_iter().map(text).collect::<Result<_, _>>()?, cursor))
}

/// The same for names with their turns.
///
/// # Errors
/// A name is not what was written.
pub(super) fn of_turns(mut found: Vec<(Vec<u8>, u64)>) -> Result<Outcome, KvError> {
    let has_more = found.len() > PAGE;
    found.truncate(PAGE);
    let cursor = found.last().map(|(_, turn)| *turn).filter(|_| has_more);
    Ok(Outcome::NamesInTurn(found.into_iter().map(|(name, _)| text(name)).collect::<Result<_, _>>()?, cursor))
}

/// The first name after all that begin with this; none if there is no such. No text ends with the highest byte.
pub(super) fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let (last, rest) = prefix.split_last()?;
    Some([rest, &[last.saturating_add(1)]].concat())
}

/// Names are written as texts.
fn text(name: Vec<u8>) -> Result<String, KvError> {
    String::from_utf8(name).map_err(|_| KvError::Damaged)
}
