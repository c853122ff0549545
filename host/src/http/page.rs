//! The page at `/`: what this server has, a form to try each tool, and the way to connect a client.
//!
//! It is complete in its HTML: the script of `host/assets` adds trying, copying and news to it. The large part is
//! rendered once for all who see the same ([`front`]); the person and the nonce are in its [`head`]. [`visitor`] finds
//! out who looks. [`trial`] takes a call from the page and hands it to the endpoint as a client's, with the answer made
//! fit to be shown by [`results`]; [`live()`] tells an open page that it shows something old.
//!
//! The page is under a policy of its own ([`policy`]): the pages of a login have no script at all.

mod assets;
mod connect;
mod front;
mod head;
mod icon;
pub(super) mod kept;
mod live;
mod operators;
mod policy;
mod results;
mod tools;
mod trial;
mod views;
mod visitor;
pub(super) mod watchers;

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};

pub(super) use self::assets::{asset, favicon};
use self::head::Head;
pub(super) use self::icon::icon;
pub(super) use self::live::live;
pub(super) use self::trial::try_tool;
use self::visitor::Visitor;
use super::App;
use super::active_request::ActiveRequest;
use crate::peer::Peer;

/// `GET /`
pub(super) async fn page(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(active): Extension<Arc<ActiveRequest>>,
    headers: HeaderMap,
) -> Response {
    let visitor = Visitor::of(&app, &peer, &headers).await;
    if let Some(person) = visitor.person() {
        active.identify(person.principal().person());
    }
    show(&app, &visitor, visitor::is_at_home(&headers, &app.server.base_url))
}

/// The page for somebody of whom nothing is known: `/mcp` in a browser, where no cookie counts.
pub(super) fn for_strangers(app: &App) -> Response {
    show(app, &Visitor::Stranger, true)
}

fn show(app: &App, visitor: &Visitor, is_at_home: bool) -> Response {
    let front = front::of(app, visitor);
    let nonce = policy::Nonce::new();
    let picture = icon::of(app);
    let source = picture.as_ref().and_then(|picture| picture.source.clone());
    let head = Head::new(app, visitor, (&front, picture), &nonce, is_at_home);
    let Ok(head) = head.render() else {
        tracing::error!("the page could not be rendered");
        return policy::answer(StatusCode::INTERNAL_SERVER_ERROR, Body::empty(), (&nonce, None), &app.server.base_url);
    };
    // The rendered part is shared: however many read it slowly, it takes the memory of one.
    let pieces = [bytes::Bytes::from(head), front.html.clone()].map(Ok::<_, std::convert::Infallible>);
    let body = Body::from_stream(futures::stream::iter(pieces));
    policy::answer(StatusCode::OK, body, (&nonce, source.as_deref()), &app.server.base_url)
}
