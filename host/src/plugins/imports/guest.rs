//! What stands behind a guest's imports during one call: limits, a WASI with nothing in it, and `tinymcp:plugin`.
//!
//! Invariant: a [`Guest`] is made for one call and dropped with it, unless the plugin is kept warm: then for one person's
//! calls. It holds no arguments, no environment, no files, no sockets and no way to reach the network; all of WASI 0.2
//! and `wasi:http` is linked all the same, since language runtimes import much that they never use, and what was not
//! granted fails when it is called.
//!
//! Each interface of `tinymcp:plugin` is a module of the same shape: `link` puts it into the linker, and the rest is
//! what it does. A new one is a module, and a line in [`CAPABILITIES`].

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error as HttpError, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use super::stdio::Prints;
use super::{caller, changes, input, log, progress, settings};
use crate::config::Limits;
use crate::plugins::announcements::Announcements;
use crate::plugins::conversation::Conversation;
use crate::plugins::sandbox::limiter::Limiter;

/// Resources (streams, pollables, fields) that a guest may hold at once. Real guests hold a few dozen.
const MAX_RESOURCES: usize = 4096;

/// Bytes of headers that one resource may hold. Servers take 8 KiB; the engine counts its own structures too.
const MAX_FIELDS_BYTES: usize = 16 * 1024;

/// What the host keeps of a request's body before it is sent: two such chunks for each body. Together with
/// [`MAX_RESOURCES`] it bounds what a guest can make the host hold, beyond its own memory, to some dozen megabytes.
const BODY_CHUNK_BYTES: usize = 8 * 1024;

/// Puts an interface into the linker.
type Link = fn(&mut Linker<Guest>) -> wasmtime::Result<()>;

/// What a plugin may import of `tinymcp:plugin`, beside its types.
const CAPABILITIES: [Link; 6] = [progress::link, log::link, caller::link, settings::link, changes::link, input::link];

/// A plugin's settings, by name.
pub(in crate::plugins) type Settings = BTreeMap<String, String>;

/// What is the same for all calls of a plugin.
#[derive(Clone)]
pub(in crate::plugins) struct Surroundings {
    /// The plugin's name.
    pub(in crate::plugins) plugin: Arc<str>,
    /// What its operator has written for it.
    pub(in crate::plugins) settings: Arc<Settings>,
    pub(in crate::plugins) announcements: Announcements,
}

/// The host's side of one call.
pub(in crate::plugins) struct Guest {
    pub(in crate::plugins) limiter: Limiter,
    pub(super) plugin: Arc<str>,
    pub(super) settings: Arc<Settings>,
    pub(super) announcements: Announcements,
    pub(super) conversation: Conversation,
    pub(super) reported: progress::Reported,
    pub(super) prints: Prints,
    resources: ResourceTable,
    /// Made when the guest first asks: it seeds random number generators, and most guests never look.
    wasi: Option<WasiCtx>,
    http: WasiHttpCtx,
    network: NoNetwork,
}

impl Guest {
    pub(in crate::plugins) fn new(surroundings: Surroundings, limits: &Limits, conversation: Conversation) -> Self {
        let Surroundings { plugin, settings, announcements } = surroundings;
        let prints = Prints::new(Arc::clone(&plugin), conversation.caller.clone(), limits.log.bytes());
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(MAX_RESOURCES);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_FIELDS_BYTES);
        Self {
            limiter: Limiter::new(limits.memory.bytes()),
            plugin,
            settings,
            announcements,
            conversation,
            reported: progress::Reported::default(),
            prints,
            resources,
            wasi: None,
            http,
            network: NoNetwork,
        }
    }
}

impl Guest {
    /// Makes a guest that is kept ready for its person's next call. Its memory stays, and with it what that takes of
    /// the limit.
    pub(in crate::plugins) fn begin(&mut self, limits: &Limits, conversation: Conversation) {
        self.limiter.begin();
        self.prints.begin(conversation.caller.clone(), limits.log.bytes());
        self.reported = progress::Reported::default();
        self.conversation = conversation;
    }

    /// Lets go of all that was for one call.
    pub(in crate::plugins) fn end(&mut self) {
        self.prints.finish();
        self.conversation = Conversation::default();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.prints.finish();
    }
}

/// Links everything that a guest may import.
///
/// # Errors
/// When two interfaces claim one name, which a test would have met.
pub(in crate::plugins) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    CAPABILITIES.iter().try_for_each(|link| link(&mut linker))?;
    Ok(linker)
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let prints = &self.prints;
        let ctx =
            self.wasi.get_or_insert_with(|| WasiCtx::builder().stdout(prints.stdout()).stderr(prints.stderr()).build());
        WasiCtxView { ctx, table: &mut self.resources }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.network, table: &mut self.resources, ctx: &mut self.http }
    }
}

/// The network of a guest that was granted none: every request is denied, before a name is resolved.
struct NoNetwork;

type Sending<T> = Box<dyn Future<Output = Result<T, HttpError>> + Send>;

impl WasiHttpHooks for NoNetwork {
    fn send_request(
        &mut self,
        _request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _body_sent: Sending<()>,
    ) -> Sending<(http::Response<WasiBody>, Sending<()>)> {
        Box::new(std::future::ready(Err(HttpError::HttpRequestDenied)))
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }
}
