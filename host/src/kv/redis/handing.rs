//! A plugin's state is handed to another plugin: its spaces get other names, and so other places.
//!
//! A space is copied beside the place where it goes to, put there in one step, and removed where it was. From the beginning
//! on nobody writes it: its version says so. It keeps its id, so that its values open as before, and that it is recognised.
//!
//! Where this breaks off, some spaces are handed over, one may be in both places, unchanged, and the rest are where they
//! were. The two plugins are noted at the first place, so that the same command goes on instead of being refused.

use super::layout::{ALL, At, DUE, ENDS, ENTRIES, FROZEN, Head, NAMES, SPACE, TURNS, new_version, read_entry};
use super::outward::outward;
use super::shared::{Opened, Shared, Written, number};
use super::spaces::Found;
use crate::kv::operations::Part;
use crate::kv::request::{KvError, Space};
use crate::kv::seal::{SealedSpace, SpaceName};
use crate::redis::{Fault, Place, Step};

/// The place of the note.
const NOTES: Place = Place(0);

/// Entries and bytes of one step of a copy.
const PART_ENTRIES: usize = 500;
const PART_BYTES: usize = 1024 * 1024;

/// Life of a copy that nobody finishes.
const COPY_MS: u32 = 600_000;

/// Times that a space is looked at anew because somebody changed it.
const TRIES: usize = 100;

impl Shared {
    /// Hands all spaces of a plugin to another that has none with anything in it, and returns their number.
    pub(super) async fn hand_over(&self, from: &str, to: &str) -> Result<u64, KvError> {
        let opened = self.opened().await?;
        let note = self.redis.key(NOTES, "kv-handing", &opened.sealer.name_of_two(from, to));
        let is_begun = !self.redis.get(NOTES, note.clone()).await.map_err(outward)?.values.is_empty();
        let noted = Step::default().key(note);
        let (mut given, mut is_occupied) = (Vec::new(), false);
        for Found { at, entries, opened, .. } in self.all(&opened).await? {
            match opened {
                Some((plugin, _)) if plugin == to && entries > 0 => is_occupied = true,
                Some((plugin, sealed)) if plugin == from && from != to => given.push((at, sealed)),
                _ => {}
            }
        }
        if is_occupied && !is_begun {
            return Err(KvError::Occupied(to.to_owned()));
        }
        if !given.is_empty() {
            self.asked(&self.scripts.make_key, noted.clone().argument("1")).await?;
        }
        let mut moved = 0;
        for (source, sealed) in given {
            self.hand_space(&opened, source, &sealed, to).await?;
            moved += 1;
        }
        self.asked(&self.scripts.remove_key, noted).await?;
        Ok(moved)
    }

    pub(super) async fn asked(&self, script: &crate::redis::Script, step: Step) -> Result<Vec<Vec<u8>>, KvError> {
        Ok(self.redis.run_until_done(script, NOTES, step).await.map_err(outward)?.values)
    }

    async fn hand_space(&self, opened: &Opened, source: At, sealed: &SealedSpace, to: &str) -> Result<(), KvError> {
        let space = Space { plugin: to.to_owned(), owner: sealed.owner.clone() };
        let target = At { name: opened.sealer.name(&space) };
        let there = self.look(opened, target, &[], Part::Head, 0).await?.head;
        let there = there.and_then(|head| head.open(&opened.sealer, target).ok());
        // Else it was put there before, and only not yet removed here.
        if there.is_none_or(|there| !there.sealed.is(sealed)) {
            let Some(head) = self.freeze(opened, source).await? else { return Ok(()) };
            let installed = match self.copy(opened, source, target).await {
                Ok((copy, entries)) => {
                    let head = Head {
                        version: new_version(),
                        seal: opened.sealer.seal_named(&target.name, to, sealed),
                        ..head
                    };
                    self.install(opened, target, copy, &head, entries).await?
                }
                Err(error) => {
                    self.unfreeze(opened, source).await?;
                    return Err(error);
                }
            };
            if installed == Written::Conflict {
                self.unfreeze(opened, source).await?;
                return Err(KvError::Occupied(to.to_owned()));
            }
        }
        self.clear(opened, source).await.map(drop)
    }

    /// Sees to it that nobody writes a space. None if it is gone.
    pub(super) async fn freeze(&self, opened: &Opened, at: At) -> Result<Option<Head>, KvError> {
        for _ in 0..TRIES {
            let Some(head) = self.look(opened, at, &[], Part::Head, 0).await?.head else { return Ok(None) };
            if head.version == FROZEN || self.turn_version(opened, at, head.version, FROZEN).await? == Written::Done {
                return Ok(Some(head));
            }
        }
        Err(KvError::Unavailable("it is written all the time: stop the plugin first".to_owned()))
    }

    async fn unfreeze(&self, opened: &Opened, at: At) -> Result<(), KvError> {
        self.turn_version(opened, at, FROZEN, new_version()).await.map(drop)
    }

    async fn turn_version(&self, opened: &Opened, at: At, is: [u8; 8], then: [u8; 8]) -> Result<Written, KvError> {
        let step = self.step(opened, at.place()).key(at.key(&self.redis, SPACE)).argument(is).argument(then);
        self.written(&self.scripts.turn_version, at.place(), step).await
    }

    /// Copies the entries of a space beside the place where it goes to, and returns the copy's name and their number.
    pub(super) async fn copy(&self, opened: &Opened, source: At, target: At) -> Result<(SpaceName, usize), KvError> {
        let unexpected = || outward(Fault::Unexpected("no entry"));
        let copy = SpaceName(rand::random());
        let (mut after, mut count) = (0_u64, 0);
        loop {
            let step = self
                .step(opened, source.place())
                .key(source.key(&self.redis, ENTRIES))
                .key(source.key(&self.redis, TURNS))
                .number(after)
                .number(PART_ENTRIES)
                .number(PART_BYTES);
            let values = self.run(&self.scripts.read_part, source.place(), step).await?;
            if values.is_empty() {
                return Ok((copy, count));
            }
            let mut step = self.step(opened, target.place());
            for kind in [ENTRIES, NAMES, TURNS, ENDS] {
                step = step.key(self.copy_key(target, copy, kind));
            }
            step = step.number(COPY_MS);
            for part in values.chunks(3) {
                let [turn, name, row] = part else { return Err(unexpected()) };
                let entry = read_entry(row)?.ok_or(KvError::Damaged)?;
                after = number(Some(turn.clone())).ok_or_else(unexpected)?;
                count += 1;
                step = step
                    .argument(name.as_slice())
                    .argument(turn.as_slice())
                    .argument(entry.expires_ms.map(|expires| expires.to_string()).unwrap_or_default())
                    .argument(row.as_slice());
            }
            self.written(&self.scripts.write_part, target.place(), step).await?;
        }
    }

    fn copy_key(&self, target: At, copy: SpaceName, kind: &str) -> Vec<u8> {
        self.redis.key(target.place(), &format!("{kind}-copy"), &copy.0)
    }

    /// Puts a copy in its place, if nothing is there.
    pub(super) async fn install(
        &self,
        opened: &Opened,
        target: At,
        copy: SpaceName,
        head: &Head,
        entries: usize,
    ) -> Result<Written, KvError> {
        let mut step = self.step(opened, target.place());
        for kind in [SPACE, ENTRIES, NAMES, TURNS, ENDS] {
            step = step.key(target.key(&self.redis, kind));
        }
        for kind in [ENTRIES, NAMES, TURNS, ENDS] {
            step = step.key(self.copy_key(target, copy, kind));
        }
        let place = target.place();
        step = step.key(self.redis.key(place, DUE, b"")).key(self.redis.key(place, ALL, b""));
        let step = step.argument(head.text()).argument(target.name.0).number(entries);
        match self.run(&self.scripts.install, place, step).await?.first().map(Vec::as_slice) {
            None => Ok(Written::Done),
            Some(b"gone") => Err(KvError::Unavailable("it took too long: do it again".to_owned())),
            Some(_) => Ok(Written::Conflict),
        }
    }
}
