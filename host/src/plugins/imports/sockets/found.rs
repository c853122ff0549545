//! The addresses that a call may connect to: those that its own look-ups gave, and those that an entry names.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::egress::Egress;
use crate::grants::Grants;
use crate::grants::address::AddressRefusal;
use crate::grants::host::Host;

/// Places that a call's look-ups gave and that are remembered. The oldest are forgotten: a guest connects to what it has
/// just looked up.
const MAX_PLACES: usize = 256;

/// The places that the look-ups of one call gave, with the name of each.
#[derive(Debug, Default)]
pub(super) struct Found(VecDeque<(Host, SocketAddr)>);

/// The answers of one look-up that was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answers {
    /// The name.
    pub(super) host: Host,
    /// For the guest.
    pub(super) addresses: Vec<IpAddr>,
    /// The same with the port of each entry for the name.
    pub(super) places: Vec<SocketAddr>,
}

impl Found {
    /// Remembers what a look-up gave.
    pub(super) fn remember(&mut self, answers: &Answers) {
        for place in &answers.places {
            if !self.0.iter().any(|(host, known)| known == place && *host == answers.host) {
                if self.0.len() == MAX_PLACES {
                    self.0.pop_front();
                }
                self.0.push_back((answers.host.clone(), *place));
            }
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The hosts by which a place may be reached: the names that were looked up, and its address itself.
    pub(super) fn hosts(&self, place: SocketAddr) -> impl Iterator<Item = Host> {
        let names = self.0.iter().filter(move |(_, known)| *known == place).map(|(host, _)| host.clone());
        names.chain(std::iter::once(Host::Address(place.ip())))
    }

    /// The name that a look-up gave this address for, whatever the port.
    pub(super) fn name_of(&self, address: IpAddr) -> Option<&Host> {
        self.0.iter().rev().find(|(_, known)| known.ip() == address).map(|(host, _)| host)
    }
}

/// Judges all answers for a name: for each entry of it by that entry's own terms, since one may be `private` and another
/// not.
///
/// # Errors
/// The reason of the last entry, if none leads anywhere.
pub(super) fn judge(
    grants: &Grants,
    egress: &Egress,
    host: &Host,
    answers: &[IpAddr],
) -> Result<Answers, AddressRefusal> {
    let (mut places, mut refusal) = (Vec::new(), AddressRefusal::None);
    for grant in grants.sockets(host) {
        match egress.admit(host, answers, grant.to.port(), grant.reach()) {
            Ok(admitted) => places.extend(admitted),
            Err(reason) => refusal = reason,
        }
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for place in &places {
        if !addresses.contains(&place.ip()) {
            addresses.push(place.ip());
        }
    }
    if places.is_empty() { Err(refusal) } else { Ok(Answers { host: host.clone(), addresses, places }) }
}

/// True if these grants lead by this host to this place.
pub(super) fn leads(grants: &Grants, egress: &Egress, host: &Host, place: SocketAddr) -> bool {
    judge(grants, egress, host, &[place.ip()]).is_ok_and(|answers| answers.places.contains(&place))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::egress::Settings;
    use crate::egress::resolver::System;
    use crate::grants::TcpGrant;
    use crate::grants::address::Surroundings;

    /// The way out of a server that listens at port 8000.
    fn egress() -> Egress {
        let surroundings = Surroundings { own: vec!["0.0.0.0:8000".parse().unwrap()], ..Surroundings::default() };
        Egress::new(Settings { surroundings, ..Settings::default() }, Arc::new(System))
    }

    fn granted(entries: &[&str]) -> Grants {
        let tcp = entries.iter().map(|entry| {
            let (is_private, entry) = entry.strip_prefix("private ").map_or((false, *entry), |entry| (true, entry));
            TcpGrant { to: entry.parse().unwrap(), is_private }
        });
        Grants { tcp: tcp.collect(), ..Grants::default() }
    }

    fn found(entries: &[&str], host: &str, answers: &[&str]) -> Result<Vec<String>, String> {
        let answers: Vec<IpAddr> = answers.iter().map(|answer| answer.parse().unwrap()).collect();
        judge(&granted(entries), &egress(), &Host::parse(host).unwrap(), &answers)
            .map(|answers| answers.places.iter().map(ToString::to_string).collect())
            .map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn an_answer_is_good_for_the_ports_of_the_name() {
        let entries = ["db.example.com:5432", "private db.example.com:6432", "other.example.com:80"];
        let public = found(&entries, "DB.example.com.", &["8.8.8.8"]);
        assert_eq!(public.unwrap(), ["8.8.8.8:5432", "8.8.8.8:6432"]);
        assert_eq!(found(&entries, "db.example.com", &["10.0.0.1"]).unwrap(), ["10.0.0.1:6432"]);
        let ten = ["8.8.8.1", "8.8.8.2", "8.8.8.3", "8.8.8.4", "8.8.8.5", "8.8.8.6", "8.8.8.7", "8.8.8.8", "8.8.8.9"];
        let spoilt: Vec<&str> = ten.iter().copied().chain(["169.254.169.254"]).collect();
        assert!(found(&entries, "db.example.com", &spoilt).is_err());
        assert!(found(&entries, "elsewhere.example.com", &["8.8.8.8"]).is_err());
        assert!(found(&["8.8.8.8:53"], "dns.example.com", &["8.8.8.8"]).is_err());
        assert_eq!(found(&["8.8.8.8:53"], "8.8.8.8", &["8.8.8.8"]).unwrap(), ["8.8.8.8:53"]);
        assert_eq!(
            found(&["localhost:8000"], "localhost", &["127.0.0.1"]).unwrap_err(),
            "it leads to this server or its proxy"
        );
        assert_eq!(found(&["localhost:6379"], "localhost", &["127.0.0.1", "::1"]).unwrap().len(), 2);
    }

    #[test]
    fn a_place_is_reached_by_the_name_that_gave_it() {
        let (grants, egress) = (granted(&["a.example.com:1", "b.example.com:2"]), egress());
        let (a, b) = (Host::parse("a.example.com").unwrap(), Host::parse("b.example.com").unwrap());
        let mut found = Found::default();
        let look_up = |host: &Host, address: &str| judge(&grants, &egress, host, &[address.parse().unwrap()]).unwrap();
        found.remember(&look_up(&a, "8.8.8.1"));
        found.remember(&look_up(&b, "8.8.8.2"));
        let may = |found: &Found, place: &str| {
            let place: SocketAddr = place.parse().unwrap();
            found.hosts(place).any(|host| leads(&grants, &egress, &host, place))
        };
        assert!(may(&found, "8.8.8.1:1") && may(&found, "8.8.8.2:2"));
        for other in ["8.8.8.1:2", "8.8.8.2:1", "8.8.8.3:1", "10.0.0.1:1"] {
            assert!(!may(&found, other), "{other}");
        }
        // A name that answers otherwise the next time leads to both, and to nothing that may not be dialled.
        found.remember(&look_up(&a, "8.8.8.3"));
        assert!(may(&found, "8.8.8.1:1") && may(&found, "8.8.8.3:1"));
        assert!(judge(&grants, &egress, &a, &["127.0.0.1".parse().unwrap()]).is_err());
        assert!(!may(&found, "127.0.0.1:1"));
        found.clear();
        assert!(!may(&found, "8.8.8.1:1"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut found = Found::default();
        let host = Host::parse("a.example.com").unwrap();
        for number in 0..2000_u32 {
            let place = SocketAddr::from((number.to_be_bytes(), 1));
            let answers = Answers { host: host.clone(), addresses: vec![place.ip()], places: vec![place] };
            found.remember(&answers);
            found.remember(&answers);
        }
        assert_eq!(found.0.len(), MAX_PLACES);
        assert_eq!(found.hosts(SocketAddr::from((1999_u32.to_be_bytes(), 1))).next(), Some(host));
    }
}
