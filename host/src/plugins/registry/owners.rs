//! The owners of names, for one of several servers of a store.
//!
//! Invariant: the record decides, not what a server serves. A name is served from the file that it belongs to on record, or
//! not at all: a server that has not got that file serves nothing under the name rather than another program. A file gets
//! all of its names on record, or none; of two that ask at once, the one whose change the store takes first. When they
//! become free, [`super::vacancies`] says.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Registry;
use super::claims::{taken, taken_elsewhere};
use super::entry::Entry;
use super::pending_records::{About, Recorded};
use super::sharing::{Row, SharedRecords};
use crate::replicas::Lacks;

/// Time between two looks at names whose files are not here: other servers may have given them up.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The files that claims belong to.
type Owners = BTreeMap<String, String>;

impl Registry {
    /// The first of these claims that is another file's on record, and that file.
    pub(super) fn owned_by_another(&self, file: &str, claims: &[String]) -> Option<(String, String)> {
        // A command that looks at some files alone cannot tell what is missing.
        if self.sharing.records.is_none() || self.only.is_some() {
            return None;
        }
        let mut owned = claims.iter().filter_map(|claim| Some((claim, self.ledger.owner(claim)?)));
        owned.find(|(_, owner)| *owner != file).map(|(claim, owner)| (claim.clone(), owner.to_owned()))
    }

    /// The problem of a file one of whose claims is another's on record.
    pub(super) fn taken_on_record(&self, claim: &str, owner: &str) -> String {
        match self.keeps(claim, owner) {
            true => taken(claim, owner),
            false => taken_elsewhere(claim, owner),
        }
    }

    /// Writes down for all servers who holds which claims, says which files are not here, and frees the names of files
    /// that are gone.
    pub(super) fn remember_owners(&mut self, records: &SharedRecords) {
        let (now, lacks) = (Instant::now(), self.lacks());
        self.sharing.names_at = (!lacks.is_empty()).then(|| now + LOOK_AGAIN);
        let replicas = records.replicas();
        let others = replicas.others_lack();
        if replicas.lack(lacks.clone()) {
            self.sharing.under_way.spawn(async move {
                replicas.say_here().await;
                Recorded { about: About::Lacks, outcome: Ok(()) }
            });
        }
        if self.sharing.are_names_under_way {
            return;
        }
        self.give_way_to_owners();
        let free = self.sharing.vacancies.free(self.ledger.owners(), &lacks, others.as_ref(), now);
        let new = self.new_claims();
        if new.is_empty() && free.is_empty() {
            return;
        }
        self.sharing.are_names_under_way = true;
        let records = records.clone();
        self.sharing.under_way.spawn(async move {
            let change = |before: Result<Option<Owners>, String>| changed(before, &free, &new);
            Recorded { about: About::Names, outcome: records.change(&Row::Owners, change).await }
        });
    }

    /// What this server has not got of what is on record.
    fn lacks(&self) -> Lacks {
        let mut lacks = Lacks::default();
        for (claim, file) in self.ledger.owners() {
            if self.entries.get(file).is_none_or(Entry::is_disabled) {
                lacks.files.insert(file.clone());
            } else if !self.keeps(claim, file) {
                lacks.claims.insert((claim.clone(), file.clone()));
            }
        }
        lacks
    }

    /// True if a file is here, and makes this claim, or may make it once it is loaded.
    fn keeps(&self, claim: &str, file: &str) -> bool {
        let Some(entry) = self.entries.get(file).filter(|entry| !entry.is_disabled()) else { return false };
        entry.claims().map_or_else(|| entry.may_want(claim), |claims| claims.iter().any(|made| made == claim))
    }

    /// The files that make claims which are nobody's on record, with all claims of each.
    fn new_claims(&self) -> BTreeMap<String, Vec<String>> {
        let serving = self.entries.iter().filter_map(|(file, entry)| Some((file.clone(), entry.claims()?)));
        serving.filter(|(_, claims)| claims.iter().any(|claim| self.ledger.owner(claim).is_none())).collect()
    }

    /// Files that serve a name which is another's on record give way to that, also if it is not here.
    pub(super) fn give_way_to_owners(&mut self) {
        let lost = |(file, entry): (&String, &Entry)| {
            let (claim, owner) = self.owned_by_another(file, &entry.claims()?)?;
            Some((file.clone(), self.taken_on_record(&claim, &owner)))
        };
        let losers: Vec<(String, String)> = self.entries.iter().filter_map(lost).collect();
        for (file, problem) in losers {
            if let Some(entry) = self.entries.get_mut(&file) {
                entry.give_way(problem);
            }
            self.claims_became_free();
        }
    }
}

/// The record without claims that are free, and with those of files that can have all of theirs. None if that is as before.
fn changed(
    before: Result<Option<Owners>, String>,
    free: &Owners,
    new: &BTreeMap<String, Vec<String>>,
) -> Option<Owners> {
    let was_readable = before.is_ok();
    let before = before.ok().flatten().unwrap_or_default();
    let mut owners = before.clone();
    owners.retain(|claim, file| free.get(claim) != Some(file));
    for (file, claims) in new {
        if claims.iter().all(|claim| owners.get(claim).is_none_or(|owner| owner == file)) {
            owners.extend(claims.iter().map(|claim| (claim.clone(), file.clone())));
        }
    }
    (owners != before || !was_readable).then_some(owners)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(pairs: &[(&str, &str)]) -> Owners {
        pairs.iter().map(|(claim, file)| ((*claim).to_owned(), (*file).to_owned())).collect()
    }

    fn new(file: &str, claims: &[&str]) -> BTreeMap<String, Vec<String>> {
        [(file.to_owned(), claims.iter().map(|claim| (*claim).to_owned()).collect())].into()
    }

    #[test]
    fn a_file_gets_all_of_its_names_or_none() {
        let first = changed(Ok(None), &Owners::new(), &new("a", &["greet", "wait"])).unwrap();
        assert_eq!(first, owners(&[("greet", "a"), ("wait", "a")]));
        assert_eq!(changed(Ok(Some(first.clone())), &Owners::new(), &new("b", &["greet", "part"])), None);
        let more = changed(Ok(Some(first)), &Owners::new(), &new("a", &["greet", "part"])).unwrap();
        assert_eq!(more, owners(&[("greet", "a"), ("part", "a"), ("wait", "a")]));
    }

    #[test]
    fn a_name_is_freed_for_the_file_that_had_it_alone() {
        let now = owners(&[("greet", "b")]);
        let none = BTreeMap::new();
        assert_eq!(changed(Ok(Some(now.clone())), &owners(&[("greet", "a")]), &none), None);
        assert_eq!(changed(Ok(Some(now.clone())), &now, &none), Some(Owners::new()));
        assert_eq!(changed(Ok(Some(now.clone())), &now, &new("a", &["greet"])), Some(owners(&[("greet", "a")])));
    }

    #[test]
    fn a_record_that_cannot_be_read_is_written_anew() {
        let unreadable = || Err("damaged".to_owned());
        assert_eq!(changed(unreadable(), &Owners::new(), &new("a", &["greet"])), Some(owners(&[("greet", "a")])));
    }
}
