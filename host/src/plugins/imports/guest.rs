//! The host's side of a guest: the data behind its imports.
//!
//! Invariant: a [`Guest`] is made for one call and dropped with it, unless the plugin is kept warm: then for one person's
//! calls. It holds no arguments, and of values, variables, folders, sockets and the network what is granted.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi_http::WasiHttpCtx;

use super::allowance::Allowance;
use super::http::call::{HttpLimits, Requests};
use super::progress::throttle::Throttle;
use super::sockets::call::Sockets;
use super::stdio::Prints;
use crate::config::Limits;
use crate::grants;
use crate::grants::in_force::CallGrants;
use crate::plugins::announcements::Announcements;
use crate::plugins::conversation::Conversation;
use crate::plugins::digest::Digest;
use crate::plugins::sandbox::limiter::Limiter;
use crate::plugins::services::Services;

/// Resources (streams, pollables, fields) that a guest may hold at once. Real guests hold a few dozen.
const MAX_RESOURCES: usize = 4096;

/// Bytes of headers that one resource may hold. Servers take 8 KiB; the engine counts its own structures too.
const MAX_FIELDS_BYTES: usize = 16 * 1024;

/// A plugin's settings, by name.
pub(in crate::plugins) type Settings = BTreeMap<String, String>;

/// The facts that are the same for all calls of a plugin.
#[derive(Clone)]
pub(in crate::plugins) struct Surroundings {
    /// The plugin's name.
    pub(in crate::plugins) plugin: Arc<str>,
    /// The digest of its file.
    pub(in crate::plugins) digest: Digest,
    /// Its operator's settings for it.
    pub(in crate::plugins) settings: Arc<Settings>,
    pub(in crate::plugins) announcements: Announcements,
    /// What it may touch.
    pub(in crate::plugins) grants: CallGrants,
    /// What does it.
    pub(in crate::plugins) services: Arc<Services>,
}

/// The host's side of one call.
pub(in crate::plugins) struct Guest {
    pub(in crate::plugins) limiter: Limiter,
    pub(super) plugin: Arc<str>,
    pub(super) digest: Digest,
    pub(super) settings: Arc<Settings>,
    pub(super) announcements: Announcements,
    pub(super) grants: CallGrants,
    pub(super) services: Arc<Services>,
    pub(super) allowance: Allowance,
    pub(super) sockets: Sockets,
    pub(super) conversation: Conversation,
    pub(super) progress: Throttle,
    pub(super) prints: Prints,
    pub(super) resources: ResourceTable,
    /// Made when the guest first asks: it seeds random number generators, and most guests never look.
    pub(super) wasi: Option<WasiCtx>,
    pub(super) http: WasiHttpCtx,
    pub(super) http_limits: HttpLimits,
    /// Made when the guest first touches `wasi:http`; most guests never do.
    pub(super) requests: Option<Box<Requests>>,
    /// What was refused beside requests and sockets, a line each.
    refused: Vec<String>,
}

impl Guest {
    pub(in crate::plugins) fn new(surroundings: Surroundings, limits: &Limits, conversation: Conversation) -> Self {
        let Surroundings { plugin, digest, settings, announcements, grants, services } = surroundings;
        let prints = Prints::new(Arc::clone(&plugin), conversation.caller.clone(), limits.log.bytes());
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(MAX_RESOURCES);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_FIELDS_BYTES);
        Self {
            limiter: Limiter::new(limits.memory.bytes()),
            plugin,
            digest,
            settings,
            announcements,
            grants,
            services,
            allowance: Allowance::new(limits),
            sockets: Sockets::default(),
            conversation,
            progress: Throttle::default(),
            prints,
            resources,
            wasi: None,
            http,
            http_limits: HttpLimits::of(limits),
            requests: None,
            refused: Vec::new(),
        }
    }

    /// Notes that something granted was used, or something that is not granted was wanted.
    pub(super) fn decided(&self, kind: &'static str, to: Option<&str>, is_allowed: bool) {
        if let Some(notes) = &self.conversation.notes {
            notes.decided(kind, to, is_allowed);
        }
    }

    /// Notes for the caller that something is not granted.
    pub(super) fn refused(&mut self, what: &str) {
        let line = grants::outward(what);
        if !self.refused.contains(&line) {
            self.refused.push(line);
        }
    }

    /// Makes a guest that is kept ready for its person's next call. Its memory stays, and with it what that takes of
    /// the limit.
    pub(in crate::plugins) fn begin(&mut self, limits: &Limits, conversation: Conversation) {
        self.limiter.begin();
        self.prints.begin(conversation.caller.clone(), limits.log.bytes());
        self.progress = Throttle::default();
        self.http_limits = HttpLimits::of(limits);
        self.conversation = conversation;
    }

    /// Lets go of all that was for one call.
    pub(in crate::plugins) fn end(&mut self) {
        // Before anything that they hold: what ends with its call is cut, and not complete.
        self.requests = None;
        self.prints.finish();
        self.sockets.end();
        self.conversation = Conversation::default();
    }

    /// What the guest was refused, for its caller: a line each.
    pub(in crate::plugins) fn take_refusals(&mut self) -> Vec<String> {
        let of_requests = self.requests.as_mut().map(|requests| requests.take_refusals()).unwrap_or_default();
        of_requests.into_iter().chain(self.sockets.take_refusals()).chain(std::mem::take(&mut self.refused)).collect()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Before the resources, for their bodies end with them: what ends with its call is cut, and not complete.
        self.requests = None;
        self.prints.finish();
    }
}
