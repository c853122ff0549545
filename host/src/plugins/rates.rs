//! The calls that each person may make in a span of time: of a plugin, and of one of its tools (`rate`).
//!
//! A [`Bucket`] counts by the generic cell rate algorithm (ITU-T I.371): a person may make all calls of a span at once, and
//! has them back one by one. It outlives reloads of its plugin and changes of its rate, as the gate does.
//!
//! Servers that share a store count together ([`shared`]).
//!
//! Invariant: what was counted counts until its time is over. Nobody is forgotten before, for want of room either.

pub mod shared;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::names::FunctionName;
use super::sandbox::gate::Person;
use crate::config::names::snake;
use crate::config::units::{Period, Rate};

/// People whose calls one bucket counts at a time, in some 6 MiB. Those beyond share the calls of one person.
const MAX_PEOPLE: usize = 100_000;

/// People in a bucket before it looks for those who have all their calls back.
const FEW_PEOPLE: usize = 1_024;

/// Least time between two such looks at a bucket that is full.
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// The calls of each person.
pub(super) struct Bucket {
    /// The tool's function in snake case; empty for the whole plugin.
    function: String,
    calls: Mutex<Calls>,
}

struct Calls {
    rate: Rate,
    /// The moment at which each person has all calls back. `None` is for those for whom there is no room.
    back_at: HashMap<Person, Instant>,
    /// So many people are looked through for those who can be forgotten.
    forget_at: usize,
    forgot: Option<Instant>,
}

/// The refusal of a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("too many calls: {what} allows {rate} for each person, try again in {}", self.retry_after())]
pub struct TooMany {
    what: &'static str,
    rate: Rate,
    /// The time after which the same call is allowed.
    wait: Duration,
}

impl TooMany {
    /// Whole seconds, at least one.
    fn retry_after(&self) -> Period {
        let seconds = self.wait.as_secs() + u64::from(self.wait.subsec_nanos() > 0);
        Duration::from_secs(seconds.max(1)).into()
    }
}

/// The bounds of one plugin.
#[derive(Clone, Default)]
pub(super) struct Rates {
    plugin: Option<Arc<Bucket>>,
    /// By the name of the tool's function in snake case.
    tools: BTreeMap<String, Arc<Bucket>>,
}

impl Rates {
    /// Bounds of these rates, which count on from these ones.
    pub(super) fn replaced(&self, plugin: Option<Rate>, tools: impl IntoIterator<Item = (String, Rate)>) -> Self {
        self.replaced_at(plugin, tools, Instant::now())
    }

    fn replaced_at(&self, plugin: Option<Rate>, tools: impl IntoIterator<Item = (String, Rate)>, now: Instant) -> Self {
        let counting_on = |bucket: Option<&Arc<Bucket>>, function: &str, rate| match bucket {
            Some(bucket) => {
                bucket.set(rate, now);
                Arc::clone(bucket)
            }
            None => Arc::new(Bucket::new(function, rate)),
        };
        Self {
            plugin: plugin.map(|rate| counting_on(self.plugin.as_ref(), "", rate)),
            tools: tools
                .into_iter()
                .map(|(name, rate)| (name.clone(), counting_on(self.tools.get(&name), &name, rate)))
                .collect(),
        }
    }

    /// The bucket of a tool that has a rate of its own.
    pub(super) fn of_tool(&self, function: &FunctionName) -> Option<Arc<Bucket>> {
        if self.tools.is_empty() {
            return None;
        }
        self.tools.get(&snake(&function.function)).map(Arc::clone)
    }

    /// True if a call of the plugin, and of this tool of it, counts at all.
    pub(super) fn are_asked(&self, tool: Option<&Bucket>) -> bool {
        self.plugin.is_some() || tool.is_some()
    }

    /// Counts a call of a person, who may call both the plugin and this tool of it, or neither.
    ///
    /// # Errors
    /// [`TooMany`], and nothing is counted.
    pub(super) fn count(&self, tool: Option<&Bucket>, person: Person) -> Result<(), TooMany> {
        match self.are_asked(tool) {
            true => self.count_at(tool, person, Instant::now(), 1),
            false => Ok(()),
        }
    }

    /// Counts on this server, which is one of so many that each give their share.
    fn count_at(&self, tool: Option<&Bucket>, person: Person, now: Instant, servers: u32) -> Result<(), TooMany> {
        let mut plugin = self.plugin.as_deref().map(Bucket::calls);
        let mut tool = tool.map(Bucket::calls);
        let plugin_asked = plugin.as_mut().map(|calls| calls.ask("this plugin", person, now, servers));
        let tool_asked = tool.as_mut().map(|calls| calls.ask("this tool", person, now, servers));
        let refusals = [&plugin_asked, &tool_asked].into_iter().flatten().filter_map(|asked| asked.as_ref().err());
        if let Some(longest) = refusals.max_by_key(|refusal| refusal.wait) {
            return Err(longest.clone());
        }
        for (calls, asked) in [(plugin, plugin_asked), (tool, tool_asked)] {
            if let (Some(mut calls), Some(Ok((person, back_at)))) = (calls, asked) {
                calls.back_at.insert(person, back_at);
            }
        }
        Ok(())
    }

    /// True if these are the same buckets.
    pub(super) fn are_like(&self, other: &Self) -> bool {
        let is_same = |one: &Arc<Bucket>, other: &Arc<Bucket>| Arc::ptr_eq(one, other);
        let plugins = match (&self.plugin, &other.plugin) {
            (Some(one), Some(other)) => is_same(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let mut tools = self.tools.iter().zip(&other.tools);
        plugins
            && self.tools.len() == other.tools.len()
            && tools.all(|(one, other)| one.0 == other.0 && is_same(one.1, other.1))
    }
}

impl Bucket {
    fn new(function: &str, rate: Rate) -> Self {
        let calls = Calls { rate, back_at: HashMap::new(), forget_at: FEW_PEOPLE, forgot: None };
        Self { function: function.to_owned(), calls: Mutex::new(calls) }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rate(&self) -> Rate {
        self.calls().rate
    }

    /// The time after which a person has all calls back, as far as this server knows.
    fn left(&self, person: Person, now: Instant) -> Duration {
        self.calls().back_at.get(&person).map_or(Duration::ZERO, |back_at| back_at.saturating_duration_since(now))
    }

    /// Notes that time as others count it.
    fn note(&self, person: Person, now: Instant, left: Duration) {
        let mut calls = self.calls();
        let person = calls.with_room(person, now);
        if person.is_some() {
            let back_at = calls.back_at.entry(person).or_insert(now);
            *back_at = (*back_at).max(now + left);
        }
    }

    /// Changes the rate. Calls that were counted stay counted, as so many calls of the new rate.
    fn set(&self, rate: Rate, now: Instant) {
        let mut calls = self.calls();
        let before = std::mem::replace(&mut calls.rate, rate);
        if before == rate {
            return;
        }
        let used = |back_at: Instant| {
            let left = back_at.saturating_duration_since(now);
            (left.as_secs_f64() / interval(before).as_secs_f64()).min(rate.calls().into())
        };
        calls.back_at.values_mut().for_each(|back_at| *back_at = now + interval(rate).mul_f64(used(*back_at)));
    }
}

impl Calls {
    /// The person in whose name a call counts, and the moment at which they have all calls back after it.
    /// One of several servers that each count alone gives its share, and at least one call: a call counts as one of
    /// each.
    fn ask(
        &mut self,
        what: &'static str,
        person: Person,
        now: Instant,
        servers: u32,
    ) -> Result<(Person, Instant), TooMany> {
        let person = self.with_room(person, now);
        let share = (self.rate.calls() / servers.max(1)).max(1);
        let interval = self.rate.span() / share;
        let free_at = self.back_at.get(&person).map_or(now, |back_at| (*back_at).max(now));
        let back_at = free_at + interval;
        let wait = back_at.saturating_duration_since(now + interval * share);
        if wait.is_zero() { Ok((person, back_at)) } else { Err(TooMany { what, rate: self.rate, wait }) }
    }

    /// The person, or the one in whose name those call for whom there is no room.
    fn with_room(&mut self, person: Person, now: Instant) -> Person {
        if self.back_at.len() < self.forget_at || self.back_at.contains_key(&person) {
            return person;
        }
        let is_full = self.back_at.len() >= MAX_PEOPLE;
        if !is_full || self.forgot.is_none_or(|forgot| now.saturating_duration_since(forgot) >= FORGET_EVERY) {
            self.forgot = Some(now);
            self.back_at.retain(|_, back_at| *back_at > now);
            self.forget_at = (2 * self.back_at.len()).clamp(FEW_PEOPLE, MAX_PEOPLE);
            self.back_at.shrink_to(self.forget_at);
        }
        if self.back_at.len() < MAX_PEOPLE { person } else { None }
    }
}

/// The time after which one call is back.
fn interval(rate: Rate) -> Duration {
    rate.span() / rate.calls()
}

#[cfg(test)]
mod tests;
