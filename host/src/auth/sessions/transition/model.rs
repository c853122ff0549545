//! The rules of a login, explored exhaustively: up to three requests under way at once on servers that share a store,
//! servers that crash before or after they have written, answers that are lost, and a store that loses any number of its
//! last writes when another server of it takes over.
//!
//! A request reads the row, decides, and replaces the row if it is still as it was read, on the server that it was read on;
//! otherwise it reads again. A client presents the newest token that it has, also a second time while the first is under
//! way; it does not use a token while a request with an earlier one is still under way.

use std::collections::{HashSet, VecDeque};

use super::{Redemption, Renewal, redemption, renewal};
use crate::auth::tokens::Lineage;
use crate::store::Primary;

/// Requests under way at once.
const ACTORS: usize = 3;

/// Rotations after which a run ends. With a thief there are many more runs.
const TOKENS_MAX: usize = 5;
const TOKENS_MAX_WITH_THIEF: usize = 3;

/// Times that another server takes over in one run.
const FAILOVERS: u64 = 2;

type Token = usize;

/// A rotation, and the server that has written it down.
type Origin = (u32, u64);

/// The current token, its generation, and the one before.
type Known = (Token, u32, Option<Token>);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Presented {
    Code,
    Refresh(Token),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Row {
    is_used: bool,
    refresh: Option<Known>,
}

/// A request, and the row that it has read: the number of the write, and the server.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Request {
    presented: Presented,
    is_thief: bool,
    read: Option<(usize, u64, Row)>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    /// The writes that the present server knows; the session is gone after one that removes it.
    writes: Vec<Option<Row>>,
    primary: u64,
    /// The lineage of each token: its generation and the server that wrote it down.
    tokens: Vec<Origin>,
    /// The newest token that the client has got.
    newest: Option<Token>,
    requests: Vec<Request>,
    /// Answers to the code.
    granted: usize,
    /// The successors that tokens have got: the token, the server, the successor.
    successors: Vec<(Token, u64, Token)>,
}

/// The rules, and what they are to keep.
#[derive(Clone, Copy)]
struct Rules {
    renewal: fn(Token, Origin, Option<Known>, u64) -> Renewal,
    redemption: fn(bool, u64) -> Redemption,
    has_thief: bool,
    tokens_max: usize,
}

/// The server that has written the session down.
const FIRST: u64 = 1;

fn lineage((generation, primary): Origin) -> Option<Lineage> {
    Lineage::of(generation, Primary::of_bytes(primary.to_be_bytes()))
}

fn primary(number: u64) -> Primary {
    Primary::of_bytes(number.to_be_bytes())
}

/// The rules that the server has.
const REAL: Rules = Rules {
    renewal: |token, of, refresh, on| {
        let refresh = refresh.as_ref();
        let known = refresh.map(|(current, generation, predecessor)| super::Known {
            current,
            generation: *generation,
            predecessor: predecessor.as_ref(),
        });
        renewal(&token, lineage(of), known.as_ref(), primary(on))
    },
    redemption: |is_used, on| redemption(lineage((0, FIRST)), is_used.then_some(0), primary(on)),
    has_thief: false,
    tokens_max: TOKENS_MAX,
};

impl World {
    fn begin() -> Self {
        let writes = vec![Some(Row { is_used: false, refresh: None })];
        let (tokens, requests, successors) = (Vec::new(), Vec::new(), Vec::new());
        Self { writes, primary: FIRST, tokens, newest: None, requests, granted: 0, successors }
    }

    fn row(&self) -> Option<Row> {
        self.writes.last().copied().flatten()
    }

    /// Everything that may happen next.
    fn next(&self, rules: &Rules) -> Result<Vec<Self>, String> {
        let mut next = Vec::new();
        let mut with = |change: &dyn Fn(&mut Self)| {
            let mut world = self.clone();
            change(&mut world);
            next.push(world);
        };
        if self.requests.len() < ACTORS && self.tokens.len() < rules.tokens_max {
            let presented = self.newest.map_or(Presented::Code, Presented::Refresh);
            let own = || self.requests.iter().filter(|request| !request.is_thief);
            if own().all(|request| request.presented == presented) && own().count() < 2 {
                with(&|world| world.requests.push(Request { presented, is_thief: false, read: None }));
            }
            if rules.has_thief && self.requests.iter().all(|request| !request.is_thief) {
                let stolen = (0..self.tokens.len()).map(Presented::Refresh).chain([Presented::Code]);
                for presented in stolen {
                    with(&|world| world.requests.push(Request { presented, is_thief: true, read: None }));
                }
            }
        }
        if self.primary < FIRST + FAILOVERS {
            for kept in 1..=self.writes.len() {
                with(&|world| {
                    world.writes.truncate(kept);
                    world.primary += 1;
                });
            }
        }
        for number in 0..self.requests.len() {
            // Its server crashes, or its client gives up.
            with(&|world| world.give_up(number));
            if self.requests[number].read.is_none() {
                with(&|world| world.read(number));
            }
        }
        for number in 0..self.requests.len() {
            if self.requests[number].read.is_some() {
                for is_lost in [false, true] {
                    let mut world = self.clone();
                    world.decide(number, is_lost, rules)?;
                    next.push(world);
                }
            }
        }
        Ok(next)
    }

    fn give_up(&mut self, number: usize) {
        self.requests.remove(number);
    }

    fn read(&mut self, number: usize) {
        match self.row() {
            Some(row) => self.requests[number].read = Some((self.writes.len(), self.primary, row)),
            // Nobody knows the session.
            None => self.give_up(number),
        }
    }

    /// Decides by what was read, and writes if it still stands; the answer may be lost.
    fn decide(&mut self, number: usize, is_lost: bool, rules: &Rules) -> Result<(), String> {
        let Request { presented, is_thief, read } = self.requests[number].clone();
        let Some((write, primary, row)) = read else { return Ok(()) };
        let stands = write == self.writes.len() && primary == self.primary && self.row() == Some(row);
        let (generation, before) = match presented {
            Presented::Code => match (rules.redemption)(row.is_used, primary) {
                Redemption::Grants => (0, None),
                Redemption::Used { .. } | Redemption::Doubtful => {
                    self.requests.remove(number);
                    return Ok(());
                }
            },
            Presented::Refresh(token) => match (rules.renewal)(token, self.tokens[token], row.refresh, primary) {
                Renewal::Next { generation } => (generation, Some(token)),
                Renewal::Again => {
                    self.requests.remove(number);
                    let current = row.refresh.map(|(current, ..)| current);
                    if !is_lost && !is_thief {
                        self.newest = current;
                    }
                    return Ok(());
                }
                verdict @ (Renewal::Theft | Renewal::Unknown) => {
                    if !rules.has_thief {
                        return Err(format!("an honest client is told {verdict:?}"));
                    }
                    self.requests.remove(number);
                    if verdict == Renewal::Theft {
                        self.writes.push(None);
                    }
                    return Ok(());
                }
            },
        };
        if !stands {
            self.requests[number].read = None;
            return Ok(());
        }
        let new = self.tokens.len();
        self.tokens.push((generation, primary));
        self.writes.push(Some(Row { is_used: true, refresh: Some((new, generation, before)) }));
        self.requests.remove(number);
        match before {
            Some(before) => self.successors.push((before, primary, new)),
            None if !is_lost => self.granted += 1,
            None => {}
        }
        if !is_lost && !is_thief {
            self.newest = Some(new);
        }
        Ok(())
    }

    /// What holds in every state.
    fn check(&self, rules: &Rules) -> Result<(), String> {
        if self.granted > 1 {
            return Err("two grants for one code".to_owned());
        }
        let forks = |(token, on, one): &(Token, u64, Token)| {
            self.successors.iter().any(|(other, where_, another)| other == token && where_ == on && another != one)
        };
        if self.successors.iter().any(forks) {
            return Err("two successors of one token on one server".to_owned());
        }
        // A client alone can always go on: whatever was lost, its newest token is taken.
        if let (false, Some(row), Some(newest)) = (rules.has_thief, self.row(), self.newest) {
            let verdict = (rules.renewal)(newest, self.tokens[newest], row.refresh, self.primary);
            if matches!(verdict, Renewal::Theft | Renewal::Unknown) {
                return Err(format!("the newest token of an honest client is {verdict:?}"));
            }
        }
        Ok(())
    }
}

/// Visits every state. Returns their number.
fn explore(rules: &Rules) -> Result<usize, String> {
    let (mut seen, mut waiting) = (HashSet::from([World::begin()]), VecDeque::from([World::begin()]));
    while let Some(world) = waiting.pop_front() {
        world.check(rules)?;
        for next in world.next(rules)? {
            if seen.insert(next.clone()) {
                waiting.push_back(next);
            }
        }
    }
    Ok(seen.len())
}

#[test]
fn an_honest_client_is_never_turned_away_and_no_code_gives_two_grants() {
    let states = explore(&REAL).unwrap();
    assert!(states > 10_000, "{states}");
}

#[test]
fn a_thief_gets_no_second_grant_and_no_second_successor() {
    let states = explore(&Rules { has_thief: true, tokens_max: TOKENS_MAX_WITH_THIEF, ..REAL }).unwrap();
    assert!(states > 10_000, "{states}");
}

/// Each rule is needed: without it there is a run in which a promise is broken.
#[test]
fn every_rule_keeps_a_promise() {
    let of_any_server =
        Rules { redemption: |is_used, _| redemption(None, is_used.then_some(0), primary(FIRST)), ..REAL };
    assert_eq!(explore(&of_any_server), Err("two grants for one code".to_owned()));
    let without_lineage = Rules {
        renewal: |token, (generation, _), refresh, on| (REAL.renewal)(token, (generation, on), refresh, on),
        ..REAL
    };
    assert!(explore(&without_lineage).is_err());
    let none_as_new_as_the_row = Rules {
        renewal: |token, of, refresh, on| match refresh {
            Some((current, generation, _)) if token != current && of.0 == generation => Renewal::Theft,
            _ => (REAL.renewal)(token, of, refresh, on),
        },
        ..REAL
    };
    assert!(explore(&none_as_new_as_the_row).is_err());
    let nothing_again = Rules {
        renewal: |token, of, refresh, on| match (REAL.renewal)(token, of, refresh, on) {
            Renewal::Again => Renewal::Theft,
            verdict => verdict,
        },
        ..REAL
    };
    assert!(explore(&nothing_again).is_err());
}
