//! What is about many spaces. Each is at its place, and there is no step over several places: what is done to many is done
//! to one after the other, and may be begun anew where it broke off.

use std::collections::BTreeSet;

use futures::future::{FutureExt, try_join_all};

use super::layout::{ALL, At, ENTRIES, Head, SPACE};
use super::outward::outward;
use super::shared::{Opened, Shared, number};
use crate::kv::limits::SPACES;
use crate::kv::request::{KvError, Owner, OwnerState, Person, Space, SpaceState};
use crate::kv::seal::{SealedSpace, SpaceName};
use crate::redis::{Fault, PLACES, Place};

/// Places that are asked at once.
const AT_ONCE: usize = 32;

/// Bytes of a space's name that are in the cursor of a list of spaces. No two are alike in them.
const CURSOR_BYTES: usize = 8;

/// A space that was found.
pub(super) struct Found {
    pub(super) at: At,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// None if it is not what was written.
    pub(super) opened: Option<(String, SealedSpace)>,
}

impl Shared {
    /// Everybody who has state of a plugin. A space that is not what was written is left out.
    pub(super) async fn owners(&self, plugin: &str) -> Result<Vec<OwnerState>, KvError> {
        let opened = self.opened().await?;
        let owners = self.all(&opened).await?.into_iter().filter_map(|Found { entries, bytes, opened, .. }| {
            let (_, sealed) = opened.filter(|(of, _)| of == plugin)?;
            Some(OwnerState { owner: sealed.owner, entries, bytes })
        });
        let mut owners: Vec<OwnerState> = owners.collect();
        owners.sort_by_key(|state| matches!(state.owner, Owner::Person(_)));
        Ok(owners)
    }

    /// A page of all spaces. One that is not what was written is left out.
    pub(super) async fn page_of_spaces(&self, after: Option<i64>) -> Result<(Vec<SpaceState>, Option<i64>), KvError> {
        let opened = self.opened().await?;
        let after = after.map(|after| after.cast_unsigned().to_be_bytes());
        let first = after.map_or(0, |[place, ..]| usize::from(place));
        // After all names that begin so.
        let after = after.map(|beginning| {
            let mut name = [u8::MAX; 32];
            name.iter_mut().zip(beginning).for_each(|(byte, first)| *byte = first);
            SpaceName(name)
        });
        let mut found = Vec::new();
        for some in Place::all().skip(first).collect::<Vec<_>>().chunks(AT_ONCE) {
            let asked = some.iter().map(|place| {
                let after = after.filter(|after| At { name: *after }.place() == *place);
                self.part(&opened, *place, after, SPACES).boxed()
            });
            found.extend(try_join_all(asked).await?.into_iter().flatten());
            if found.len() >= SPACES {
                break;
            }
        }
        found.truncate(SPACES);
        let last = found.last().filter(|_| found.len() == SPACES);
        let next = last.and_then(|last| last.at.name.0.first_chunk::<CURSOR_BYTES>());
        let next = next.map(|beginning| u64::from_be_bytes(*beginning).cast_signed());
        let states = found.into_iter().filter_map(|Found { entries, bytes, opened, .. }| {
            let (plugin, sealed) = opened?;
            Some(SpaceState { space: Space { plugin, owner: sealed.owner }, entries, bytes })
        });
        Ok((states.collect(), next))
    }

    /// Removes everything of a person, and returns the number of entries. What broke off is done by doing it again.
    pub(super) async fn forget(&self, person: &Person) -> Result<u64, KvError> {
        let opened = self.opened().await?;
        let found = self.all(&opened).await?;
        let plugins: BTreeSet<String> = found.into_iter().filter_map(|found| Some(found.opened?.0)).collect();
        let mut removed = 0;
        // By name, so that one is removed too that is not what was written.
        for plugin in plugins {
            let space = Space { plugin, owner: Owner::Person(person.clone()) };
            removed += self.clear(&opened, At { name: opened.sealer.name(&space) }).await?;
        }
        Ok(removed)
    }

    /// Removes a space with all of its entries, and returns their number.
    pub(super) async fn clear(&self, opened: &Opened, at: At) -> Result<u64, KvError> {
        let step = self.marked(opened, at).argument(at.name.0);
        let values = self.run(&self.scripts.clear, at.place(), step).await?;
        number(values.into_iter().next()).ok_or_else(|| outward(Fault::Unexpected("no number of entries")))
    }

    /// All spaces there are.
    pub(super) async fn all(&self, opened: &Opened) -> Result<Vec<Found>, KvError> {
        let places: Vec<Place> = Place::all().collect();
        let mut all = Vec::with_capacity(PLACES);
        for some in places.chunks(AT_ONCE) {
            let asked = some.iter().map(|place| self.all_at(opened, *place).boxed());
            all.extend(try_join_all(asked).await?.into_iter().flatten());
        }
        Ok(all)
    }

    async fn all_at(&self, opened: &Opened, place: Place) -> Result<Vec<Found>, KvError> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let part = self.part(opened, place, after, SPACES).await?;
            let is_last = part.len() < SPACES;
            after = part.last().map(|last| last.at.name);
            found.extend(part);
            if is_last {
                return Ok(found);
            }
        }
    }

    /// Spaces of a place in the order of their names, after this one.
    async fn part(
        &self,
        opened: &Opened,
        place: Place,
        after: Option<SpaceName>,
        most: usize,
    ) -> Result<Vec<Found>, KvError> {
        let unexpected = || outward(Fault::Unexpected("no space"));
        let from = after.map_or_else(|| b"-".to_vec(), |after| [b"(", &after.0[..]].concat());
        let beginning = |kind: &str| self.redis.key(place, &format!("{kind}:"), b"");
        let step = self
            .step(opened, place)
            .key(self.redis.key(place, ALL, b""))
            .argument(beginning(SPACE))
            .argument(beginning(ENTRIES))
            .argument(from)
            .number(most);
        let values = self.run(&self.scripts.spaces, place, step).await?;
        let mut found = Vec::new();
        for part in values.chunks(3) {
            let [name, head, entries] = part else { return Err(unexpected()) };
            let name = name.as_slice().try_into().map(SpaceName).map_err(|_| unexpected())?;
            let entries = number(Some(entries.clone())).ok_or_else(unexpected)?;
            let head = Head::read(head).ok().flatten();
            let bytes = head.as_ref().map_or(0, |head| head.bytes);
            let sealed = match head.map(|head| opened.sealer.open_named(&name, &head.seal)) {
                // One of a later version is no damage, and is not passed over.
                Some(Err(later @ KvError::Unavailable(_))) => return Err(later),
                sealed => sealed.and_then(Result::ok),
            };
            found.push(Found { at: At { name }, entries, bytes, opened: sealed });
        }
        Ok(found)
    }
}
