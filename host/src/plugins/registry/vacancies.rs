//! Names on the servers' record whose files are gone: when they become free.
//!
//! A name stays its file's as long as any server has that. When none has it any more, the server that gives it up last
//! frees the name at once, unless one that had it has just left, and may come back with it. Where nobody saw it go, the
//! name is free after [`BACK_WITHIN`].

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::replicas::{BACK_WITHIN, Lacks, OthersLack};

/// A claim, and the file that it belongs to.
type Claimed = (String, String);

/// What is known of names whose files are not here.
#[derive(Default)]
pub(super) struct Vacancies {
    /// Claims whose files this server has had.
    had: BTreeSet<Claimed>,
    /// Those whose files no server has, and since when.
    vacant: BTreeMap<Claimed, Instant>,
}

impl Vacancies {
    /// The claims on record that are free now, with the files that they belonged to. `others` is none as long as some may
    /// not have been heard.
    pub(super) fn free(
        &mut self,
        owners: &BTreeMap<String, String>,
        own: &Lacks,
        others: Option<&OthersLack>,
        now: Instant,
    ) -> BTreeMap<String, String> {
        self.had.retain(|(claim, file)| owners.get(claim) == Some(file));
        let mut vacant = BTreeMap::new();
        let mut free = BTreeMap::new();
        for (claim, file) in owners {
            let claimed = (claim.clone(), file.clone());
            if !own.has(claim, file) {
                self.had.insert(claimed);
                continue;
            }
            let Some(others) = others.filter(|others| others.nobody_has(claim, file)) else { continue };
            let since = self.vacant.get(&claimed).copied().unwrap_or(now);
            let is_given_up = self.had.contains(&claimed) && !others.may_come_back(claim, file);
            if is_given_up || now.duration_since(since) >= BACK_WITHIN {
                free.insert(claim.clone(), file.clone());
            }
            vacant.insert(claimed, since);
        }
        self.vacant = vacant;
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One name, as one server sees it.
    #[derive(Default)]
    struct Server {
        vacancies: Vacancies,
        now: Option<Instant>,
    }

    fn has() -> Option<Lacks> {
        Some(Lacks::default())
    }

    fn lacks() -> Option<Lacks> {
        Some(Lacks { files: ["b.wasm".to_owned()].into(), ..Lacks::default() })
    }

    impl Server {
        /// Whether the name is free, so many seconds after the last look.
        fn frees(&mut self, after: u64, own: Option<Lacks>, there: &[Option<Lacks>], left: &[Option<Lacks>]) -> bool {
            let others = OthersLack { there: there.to_vec(), left: left.to_vec() };
            self.looks(after, own, Some(&others))
        }

        fn looks(&mut self, after: u64, own: Option<Lacks>, others: Option<&OthersLack>) -> bool {
            let now = self.now.unwrap_or_else(Instant::now) + std::time::Duration::from_secs(after);
            self.now = Some(now);
            let owners = BTreeMap::from([("greet".to_owned(), "b.wasm".to_owned())]);
            let free = self.vacancies.free(&owners, &own.unwrap(), others, now);
            assert!(free.is_empty() || free == owners);
            !free.is_empty()
        }
    }

    #[test]
    fn a_file_that_is_gone_at_one_server_keeps_its_name() {
        let mut server = Server::default();
        assert!(!server.frees(0, has(), &[has(), has()], &[]));
        assert!(!server.frees(1, lacks(), &[has(), lacks()], &[]));
        assert!(!server.frees(3600, lacks(), &[has(), lacks()], &[]));
    }

    #[test]
    fn one_that_is_gone_everywhere_frees_it_at_once_where_it_was() {
        let (mut had_it, mut never_had_it) = (Server::default(), Server::default());
        assert!(!had_it.frees(0, has(), &[lacks()], &[]) && !never_had_it.frees(0, lacks(), &[has()], &[]));
        assert!(had_it.frees(1, lacks(), &[lacks()], &[]) && !never_had_it.frees(1, lacks(), &[lacks()], &[]));
        assert!(!never_had_it.frees(29, lacks(), &[lacks()], &[]) && never_had_it.frees(1, lacks(), &[lacks()], &[]));
    }

    #[test]
    fn a_server_that_left_with_it_has_time_to_come_back() {
        let mut server = Server::default();
        assert!(!server.frees(0, has(), &[has()], &[]));
        assert!(!server.frees(1, lacks(), &[has()], &[]));
        assert!(!server.frees(1, lacks(), &[], &[has()]));
        assert!(!server.frees(29, lacks(), &[], &[has()]));
        // It is back, and leaves again: the time begins anew.
        assert!(!server.frees(1, lacks(), &[has()], &[has()]));
        assert!(!server.frees(1, lacks(), &[], &[has(), has()]));
        assert!(!server.frees(29, lacks(), &[], &[has()]));
        assert!(server.frees(1, lacks(), &[], &[has()]));
        // One that left without it is not waited for.
        let mut server = Server::default();
        assert!(!server.frees(0, has(), &[lacks()], &[]) && server.frees(0, lacks(), &[], &[lacks()]));
    }

    #[test]
    fn whoever_says_nothing_may_have_it() {
        let mut server = Server::default();
        assert!(!server.frees(0, has(), &[], &[]));
        assert!(!server.frees(3600, lacks(), &[None], &[]));
        assert!(!server.looks(3600, lacks(), None));
        assert!(server.frees(0, lacks(), &[lacks()], &[]));
    }

    #[test]
    fn a_version_without_the_tool_lacks_that_claim_alone() {
        let without = Lacks { claims: [("greet".to_owned(), "b.wasm".to_owned())].into(), ..Lacks::default() };
        assert!(without.has("greet", "b.wasm") && !without.has("wait", "b.wasm") && !without.has("greet", "a.wasm"));
        let mut server = Server::default();
        assert!(!server.frees(0, has(), &[has()], &[]) && !server.frees(0, Some(without.clone()), &[has()], &[]));
        assert!(server.frees(0, Some(without.clone()), &[Some(without)], &[]));
    }
}
