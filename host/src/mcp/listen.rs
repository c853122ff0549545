//! `subscriptions/listen` without rmcp, which would keep a service with two tasks and their channels for each client
//! that does nothing but wait: some 70 KiB instead of two.
//!
//! The parameters are read here for every form of the request, since their bounds hold for all; a form that is not the
//! plainest is left to rmcp, which refuses it or serves it in its own way.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, stream};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use rmcp::model::{
    Implementation, NotificationMetaObject, RequestId, ServerJsonRpcMessage, ServerNotification, ServerResult,
    SubscriptionFilter, SubscriptionsAcknowledgedNotification, SubscriptionsAcknowledgedNotificationParams,
    SubscriptionsListenResult,
};
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::answer::{self, Code};
use super::introduction::Introductions;
use super::listeners::{Listener, Listeners};
use super::message::Message;
use super::plain_call;
use super::subscriptions::{MAX_SUBSCRIPTION_BYTES, MAX_SUBSCRIPTIONS, TooMany};
use crate::budget::{Budgets, Held, Part};
use crate::principal::Principal;

/// Time between two comments on a stream without messages, so that proxies keep it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// The longest message: its URIs, and as much again around them. rmcp would keep whatever it reads.
const MAX_MESSAGE_BYTES: usize = 2 * MAX_SUBSCRIPTION_BYTES;

/// Memory of a listener beside its subscriptions.
const LISTENER_BYTES: usize = 1024;

/// Memory of a subscription beside its URI, which is there twice: in the filter, and where updates are told.
const SUBSCRIPTION_BYTES: usize = 256;

/// Serves listeners.
pub(super) struct Listening {
    listeners: Arc<Listeners>,
    budgets: Budgets,
    introductions: Arc<Introductions>,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    params: Params,
}

#[derive(Deserialize)]
struct Params {
    notifications: Filter,
}

/// [`SubscriptionFilter`], with no more of it than a listener may have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    tools_list_changed: Option<bool>,
    #[serde(default)]
    prompts_list_changed: Option<bool>,
    #[serde(default)]
    resources_list_changed: Option<bool>,
    #[serde(default)]
    resource_subscriptions: Option<Uris>,
}

/// URIs, unless there are too many.
struct Uris(Result<Vec<String>, TooMany>);

impl Listening {
    pub(super) fn new(listeners: Arc<Listeners>, budgets: Budgets, introductions: Arc<Introductions>) -> Self {
        Self { listeners, budgets, introductions }
    }

    /// Answers a modern message that asks to listen, in its plainest form; and one that asks for too much, in any.
    pub(super) fn serve(
        &self,
        message: &Message<'_>,
        body: &[u8],
        principal: &Arc<Principal>,
        headers: &HeaderMap,
    ) -> Option<Response> {
        if !message.era.is_modern() || message.method != "subscriptions/listen" {
            return None;
        }
        let id = message.id.as_ref()?;
        let refuse = |status, text: String| {
            Some(answer::rpc_error(status, Code::InvalidParams, &text, Some(&id.clone().into_json_value())))
        };
        if body.len() > MAX_MESSAGE_BYTES {
            return refuse(StatusCode::OK, TooMany.to_string());
        }
        let Request { jsonrpc, params } = serde_json::from_slice(body).ok()?;
        let filter = match params.notifications.accepted() {
            Ok(filter) => filter,
            Err(too_many) => return refuse(StatusCode::OK, too_many.to_string()),
        };
        if jsonrpc != "2.0" || !plain_call::fits(message, None, headers) {
            return None;
        }
        let uris = filter.resource_subscriptions.iter().flatten();
        let bytes = LISTENER_BYTES + uris.map(|uri| 2 * uri.len() + SUBSCRIPTION_BYTES).sum::<usize>();
        let held = match self.budgets.account(principal.person()).try_hold(Part::Kept, bytes) {
            Ok(held) => held,
            Err(overdrawn) => return refuse(StatusCode::TOO_MANY_REQUESTS, overdrawn.to_string()),
        };
        let place = match self.listeners.enter(principal) {
            Ok(place) => place,
            Err(no_place) => return refuse(StatusCode::TOO_MANY_REQUESTS, no_place.to_string()),
        };
        let listener = self.listeners.listen(filter, principal, place);
        let server = self.introductions.of(principal.view()).server.clone();
        Some(event_response(events(listener, id.clone(), server, held)))
    }
}

impl Filter {
    fn accepted(self) -> Result<SubscriptionFilter, TooMany> {
        let mut filter = SubscriptionFilter::new();
        filter.tools_list_changed = self.tools_list_changed.filter(|wanted| *wanted);
        filter.prompts_list_changed = self.prompts_list_changed.filter(|wanted| *wanted);
        filter.resources_list_changed = self.resources_list_changed.filter(|wanted| *wanted);
        filter.resource_subscriptions = self.resource_subscriptions.map(|uris| uris.0).transpose()?;
        Ok(filter)
    }
}

impl<'de> Deserialize<'de> for Uris {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UriVisitor;
        impl<'de> Visitor<'de> for UriVisitor {
            type Value = Uris;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of URIs")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Uris, S::Error> {
                let (mut uris, mut bytes) = (Vec::<String>::new(), 0);
                while let Some(uri) = items.next_element::<Uri<'de>>()? {
                    bytes += uri.0.len();
                    if uris.len() >= MAX_SUBSCRIPTIONS || bytes > MAX_SUBSCRIPTION_BYTES {
                        while items.next_element::<IgnoredAny>()?.is_some() {}
                        return Ok(Uris(Err(TooMany)));
                    }
                    uris.push(uri.0.into_owned());
                }
                Ok(Uris(Ok(uris)))
            }
        }
        deserializer.deserialize_seq(UriVisitor)
    }
}

#[derive(Deserialize)]
struct Uri<'a>(#[serde(borrow)] Cow<'a, str>);

/// The messages of one listener as events: the acknowledgement, the changes, and at an end that is intended the result.
fn events(
    listener: Listener,
    id: RequestId,
    server: Implementation,
    held: Held,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    /// The next thing to send.
    enum Next {
        Acknowledgement,
        Changes,
        Nothing,
    }
    stream::unfold((Next::Acknowledgement, listener, held), move |(next, mut listener, held)| {
        let (id, server) = (id.clone(), server.clone());
        async move {
            let (event, next) = match next {
                Next::Acknowledgement => {
                    let params = SubscriptionsAcknowledgedNotificationParams::new(listener.accepted().clone());
                    let acknowledged = SubscriptionsAcknowledgedNotification::new(params);
                    let acknowledged = ServerNotification::SubscriptionsAcknowledgedNotification(acknowledged);
                    (notification(acknowledged, &id), Next::Changes)
                }
                Next::Changes => match tokio::time::timeout(KEEP_ALIVE, listener.next()).await {
                    Err(_) => (COMMENT, Next::Changes),
                    Ok(Some(changes)) => {
                        let events: Vec<Bytes> = changes.into_iter().map(|change| notification(change, &id)).collect();
                        (events.concat().into(), Next::Changes)
                    }
                    Ok(None) => {
                        let mut result = SubscriptionsListenResult::complete(id.clone());
                        result.meta.set_server_info(server);
                        let result = ServerResult::SubscriptionsListenResult(result);
                        (event(&ServerJsonRpcMessage::response(result, id)), Next::Nothing)
                    }
                },
                Next::Nothing => return None,
            };
            Some((Ok(event), (next, listener, held)))
        }
    })
}

/// A notification for the subscription of this request.
fn notification(mut notification: ServerNotification, id: &RequestId) -> Bytes {
    use rmcp::model::GetMeta as _;
    let mut meta = NotificationMetaObject::new();
    meta.set_subscription_id(id.clone());
    *notification.get_meta_mut() = meta;
    event(&ServerJsonRpcMessage::notification(notification))
}

fn event(message: &impl Serialize) -> Bytes {
    let mut event = b"data: ".to_vec();
    serde_json::to_writer(&mut event, message).expect("messages are JSON");
    event.extend_from_slice(b"\n\n");
    event.into()
}

fn event_response(events: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
