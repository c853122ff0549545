//! Sessions in memory, and ids of dead ones.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rmcp::transport::streamable_http_server::session::SessionId as RmcpId;

/// The most ended ids that are remembered. A forgotten one could be used again by its owner.
const MAX_ENDED: usize = 50_000;

/// Counts sessions per person.
pub(super) struct Roster {
    per_person: usize,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    /// By person: the id of each session and the time of its last use.
    in_memory: HashMap<[u8; 32], HashMap<RmcpId, Instant>>,
    ended: HashSet<blake3::Hash>,
    ended_order: VecDeque<blake3::Hash>,
}

impl Roster {
    pub(super) fn new(per_person: usize) -> Self {
        Self { per_person: per_person.max(1), entries: Mutex::default() }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a session. Returns those of the same person that have to make room, least recently used first.
    pub(super) fn add(&self, person: [u8; 32], id: &RmcpId) -> Vec<RmcpId> {
        let mut all = self.entries();
        let sessions = all.in_memory.entry(person).or_default();
        sessions.insert(id.clone(), Instant::now());
        let mut over = Vec::new();
        while sessions.len() > self.per_person {
            let oldest = sessions.iter().min_by_key(|(_, used)| **used).map(|(id, _)| id.clone());
            let Some(oldest) = oldest else { break };
            sessions.remove(&oldest);
            over.push(oldest);
        }
        over
    }

    /// The people who have any.
    pub(super) fn people(&self) -> Vec<[u8; 32]> {
        self.entries().in_memory.keys().copied().collect()
    }

    /// The sessions of a person.
    pub(super) fn of_person(&self, person: &[u8; 32]) -> Vec<RmcpId> {
        self.entries().in_memory.get(person).map(|sessions| sessions.keys().cloned().collect()).unwrap_or_default()
    }

    /// True for a session of this person.
    pub(super) fn has(&self, person: &[u8; 32], id: &str) -> bool {
        self.entries().in_memory.get(person).is_some_and(|sessions| sessions.contains_key(id))
    }

    /// Notes the use of a session by a request.
    pub(super) fn touch(&self, person: &[u8; 32], id: &str) {
        let mut all = self.entries();
        let used = all.in_memory.get_mut(person).and_then(|sessions| sessions.get_mut(id));
        if let Some(used) = used {
            *used = Instant::now();
        }
    }

    /// The sessions that no request has used for so long, each with its time.
    pub(super) fn unused_for(&self, least: Duration) -> Vec<(RmcpId, Duration)> {
        let all = self.entries();
        let unused = all.in_memory.values().flatten().map(|(id, used)| (id.clone(), used.elapsed()));
        unused.filter(|(_, unused)| *unused >= least).collect()
    }

    /// Forgets a session that is no longer in memory.
    pub(super) fn remove(&self, id: &RmcpId) {
        let mut all = self.entries();
        all.in_memory.retain(|_, sessions| {
            sessions.remove(id);
            !sessions.is_empty()
        });
    }

    /// Marks an id as dead.
    pub(super) fn end(&self, id: &str) {
        let hash = blake3::hash(id.as_bytes());
        let mut all = self.entries();
        if all.ended.insert(hash) {
            all.ended_order.push_back(hash);
        }
        while all.ended_order.len() > MAX_ENDED {
            let Some(oldest) = all.ended_order.pop_front() else { break };
            all.ended.remove(&oldest);
        }
    }

    pub(super) fn is_ended(&self, id: &str) -> bool {
        self.entries().ended.contains(&blake3::hash(id.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_session_of_the_same_person_makes_room() {
        let roster = Roster::new(2);
        let ids: Vec<RmcpId> = ["a", "b", "c", "d"].map(RmcpId::from).to_vec();
        assert!(roster.add([1; 32], &ids[0]).is_empty());
        assert!(roster.add([2; 32], &ids[3]).is_empty());
        assert!(roster.add([1; 32], &ids[1]).is_empty());
        assert_eq!(roster.add([1; 32], &ids[2]), [ids[0].clone()]);
        roster.remove(&ids[1]);
        assert!(roster.add([1; 32], &ids[0]).is_empty());
    }

    #[test]
    fn an_ended_id_stays_ended() {
        let roster = Roster::new(2);
        roster.end("a");
        roster.end("a");
        assert!(roster.is_ended("a") && !roster.is_ended("b"));
    }
}
