//! Lists of the names of one space, a page at a time. What has expired is left out; where much has, a page takes several
//! steps.

use super::layout::{At, ENDS, Head, NAMES, SPACE, TURNS};
use super::outward::outward;
use super::shared::{Opened, Shared, number};
use crate::kv::operations::Part;
use crate::kv::pages;
use crate::kv::request::{KvError, Outcome};
use crate::redis::{Fault, Script, Step};

/// Names that one step goes through, alive or not.
const SCAN: usize = 2000;

/// A part of a list.
struct Page {
    head: Head,
    /// Where it ends, if there may be more.
    last: Option<Vec<u8>>,
    found: Vec<Vec<u8>>,
}

impl Shared {
    /// A page of names in their order.
    pub(super) async fn names(
        &self,
        opened: &Opened,
        at: At,
        prefix: &str,
        cursor: Option<&str>,
    ) -> Result<Outcome, KvError> {
        let Opened { sealer, .. } = opened;
        let mut before = None;
        if cursor.is_some() {
            // A cursor is opened by its space.
            let head = self.look(opened, at, &[], Part::Head, 0).await?.head;
            before = head.map(|head| head.open(sealer, at)).transpose()?.map(|held| held.sealed);
        }
        let mut after = pages::begin(sealer, before.as_ref(), prefix, cursor)?;
        let to = pages::end_of(prefix.as_bytes()).map_or_else(|| b"+".to_vec(), |end| [b"(", &end[..]].concat());
        let mut names = Vec::new();
        loop {
            let from = match &after {
                Some(after) => [b"(", &after[..]].concat(),
                None => [b"[", prefix.as_bytes()].concat(),
            };
            let mut step = self.step(opened, at.place());
            for kind in [SPACE, NAMES, ENDS] {
                step = step.key(at.key(&self.redis, kind));
            }
            let step = step.argument(from).argument(to.as_slice()).number(pages::READ - names.len()).number(SCAN);
            let Some(Page { head, last, mut found }) = self.page(&self.scripts.names, at, step).await? else {
                return if cursor.is_none() { Ok(Outcome::Names(Vec::new(), None)) } else { Err(KvError::Cursor) };
            };
            let sealed = head.open(sealer, at)?.sealed;
            if before.as_ref().is_some_and(|before| !before.is(&sealed)) {
                return Err(KvError::Cursor);
            }
            names.append(&mut found);
            match last {
                Some(last) if names.len() < pages::READ => (after, before) = (Some(last), Some(sealed)),
                _ => return pages::of_names(sealer, &sealed, prefix, names),
            }
        }
    }

    /// A page of names in the order in which they were made.
    pub(super) async fn names_in_turn(&self, opened: &Opened, at: At, mut after: u64) -> Result<Outcome, KvError> {
        let unexpected = || outward(Fault::Unexpected("no turn"));
        let mut names: Vec<(Vec<u8>, u64)> = Vec::new();
        loop {
            let mut step = self.step(opened, at.place());
            for kind in [SPACE, TURNS, ENDS] {
                step = step.key(at.key(&self.redis, kind));
            }
            let step = step.number(after).number(pages::READ - names.len()).number(SCAN);
            let Some(Page { head, last, found }) = self.page(&self.scripts.turns, at, step).await? else {
                return Ok(Outcome::NamesInTurn(Vec::new(), None));
            };
            head.open(&opened.sealer, at)?;
            for pair in found.chunks(2) {
                let [name, turn] = pair else { return Err(unexpected()) };
                names.push((name.clone(), number(Some(turn.clone())).ok_or_else(unexpected)?));
            }
            match last {
                Some(last) if names.len() < pages::READ => after = number(Some(last)).ok_or_else(unexpected)?,
                _ => return pages::of_turns(names),
            }
        }
    }

    /// Reads a part of a list; none if there is no space.
    async fn page(&self, script: &Script, at: At, step: Step) -> Result<Option<Page>, KvError> {
        let mut values = self.run(script, at.place(), step).await?.into_iter();
        let unexpected = || outward(Fault::Unexpected("no list"));
        let Some(head) = Head::read(&values.next().ok_or_else(unexpected)?)? else { return Ok(None) };
        let has_more = values.next().ok_or_else(unexpected)? == b"1";
        let last = values.next().ok_or_else(unexpected)?;
        Ok(Some(Page { head, last: has_more.then_some(last), found: values.collect() }))
    }
}
