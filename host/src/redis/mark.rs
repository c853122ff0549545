//! The mark of a store: a random id at each place, which every script looks for first.
//!
//! A store that lost what it had also lost its mark, and is an error from then on; nobody takes it for one in which nobody
//! is logged in. Only a store in which nothing is there gets a mark.
//!
//! Beside the mark of the first place stand the format that is agreed on for what is stored ([`super::format`]), and a check
//! value, which only the right root key opens.

use super::fault::Fault;
use super::format::FIRST;
use super::link::Link;
use super::place::Place;

/// The word in the key of what stands beside the mark.
const ABOUT: &str = "store";

/// The id of a store.
#[derive(Clone, PartialEq, Eq)]
pub struct Mark(pub(super) Vec<u8>);

impl Mark {
    fn new() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()).into_bytes())
    }

    /// As a text, to remember it by.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// Reads that text.
    pub(crate) fn of_text(text: String) -> Self {
        Self(text.into_bytes())
    }
}

/// What is found at the places of a store's mark.
pub(super) enum Found {
    /// The mark is there.
    Sound { mark: Mark, format: u32, check: Vec<u8> },
    /// What is stored has a format that is not read here.
    Newer { format: u32 },
    /// It is not there, and other things are.
    Lost,
    /// It is another one than this server knows, or gone with everything else.
    Another,
    /// Nothing is there, and nothing was to be made.
    Nothing,
}

/// The key of what stands beside the mark, which begins with the format.
pub(super) fn about(prefix: &str) -> Vec<u8> {
    Place(0).key(prefix, ABOUT, b"")
}

/// Reads the format at the beginning of what stands there.
pub(super) fn format_of(about: &[u8]) -> Option<u32> {
    about.first_chunk().map(|format| u32::from_be_bytes(*format))
}

/// Finds the mark, or sets it where nothing of a store is there and `fresh` gives a check value. Of servers that start at
/// once one chooses it, and all set it. A store of a later format than `latest` is left alone.
///
/// A server that used a store before knows its mark: for it neither an empty Redis nor one with another mark is new.
///
/// The first place gets its mark first and its description last. A mark elsewhere without one there is therefore what is
/// left of a store; a mark there without a description is a store that a server began to make.
pub(super) async fn find_or_set(
    link: &Link,
    prefix: &str,
    latest: u8,
    known: Option<&Mark>,
    fresh: Option<impl Fn() -> Vec<u8>>,
) -> Result<Found, Fault> {
    let keys: Vec<Vec<u8>> = Place::all().map(|place| place.key(prefix, "mark", b"")).collect();
    let [first_key, others @ ..] = keys.as_slice() else { return Err(Fault::Unexpected("no places")) };
    let about = about(prefix);
    loop {
        let described = link.get(&about).await?;
        let marks = link.get_each(&keys).await?;
        let first = marks.first().cloned().flatten();
        match described {
            Some(described) => {
                let Some((format, check)) = read(&described) else { return Ok(Found::Lost) };
                if format > u32::from(latest) {
                    return Ok(Found::Newer { format });
                }
                let is_whole = first.is_some() && marks.iter().all(|mark| *mark == first);
                return Ok(match first.filter(|_| is_whole).map(Mark) {
                    Some(mark) if known.is_some_and(|known| *known != mark) => Found::Another,
                    Some(mark) => Found::Sound { mark, format, check },
                    None => Found::Lost,
                });
            }
            None if first.is_none() && marks.iter().any(Option::is_some) => {
                // Another server may be making the store: then the first is there by now.
                if link.get(first_key).await?.is_none() {
                    return Ok(Found::Lost);
                }
                continue;
            }
            // A server that knows the store has seen it whole.
            None if known.is_some() => {
                return Ok(if first.is_some() { Found::Lost } else { Found::Another });
            }
            None => {}
        }
        let Some(fresh) = &fresh else { return Ok(Found::Nothing) };
        link.set_if_absent(first_key, &Mark::new().0).await?;
        // Whoever came first has chosen.
        let chosen = link.get(first_key).await?.ok_or(Fault::Lost)?;
        for key in others {
            link.set_if_absent(key, &chosen).await?;
        }
        link.set_if_absent(&about, &described_as(&fresh())).await?;
    }
}

fn described_as(check: &[u8]) -> Vec<u8> {
    [u32::from(FIRST).to_be_bytes().as_slice(), check].concat()
}

fn read(described: &[u8]) -> Option<(u32, Vec<u8>)> {
    let (format, check) = described.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*format), check.to_vec()))
}
