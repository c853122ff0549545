//! Pages on which operators act: who is let in, and the checks of their forms.
//!
//! Whoever is no operator (`auth.operators`) learns nothing of what is on such a page, not even whether there is anything.
//! An act needs a login of the last ten minutes as well ([`super::recent`]); whoever has none gets a way to one, and comes
//! back to the page to decide there.

use std::net::IpAddr;
use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::header::HOST;
use http::{HeaderMap, StatusCode};

use super::{Browser, check_sender, forms, with_forms};
use crate::audit::Event;
use crate::audit::event::{Reason, Who};
use crate::auth::failures::Failure;
use crate::auth::resource;
use crate::auth::server::AuthorizationServer;
use crate::html::{self, see_other};

/// The way to a login, for somebody who has none, or an older one.
#[derive(Template)]
#[template(path = "login_needed.html")]
struct LoginNeededPage<'a> {
    server: &'a str,
    provider: &'a str,
    /// The page that comes after the login, as a path.
    to: &'a str,
    /// Something was sent, and not done.
    is_act: bool,
    is_logged_in: bool,
}

/// A request for a page of operators.
pub(crate) struct OperatorRequest<'a> {
    /// The server.
    pub(crate) server: &'a Arc<AuthorizationServer>,
    /// The headers.
    pub(crate) headers: &'a HeaderMap,
    /// Where it came from.
    pub(crate) address: IpAddr,
    /// The path of the page.
    pub(crate) path: &'a str,
}

impl OperatorRequest<'_> {
    /// Lets an operator in.
    ///
    /// # Errors
    /// The answer for everybody else.
    pub(crate) fn admit(&self, browser: Option<Browser>) -> Result<Browser, Box<Response>> {
        if resource::alias(self.server.base_url(), self.headers.get(HOST)).is_some() {
            // Cookies are the host's, and forms are taken from `base_url` alone.
            return Err(Box::new(see_other(&self.server.own_url(self.path))));
        }
        match browser.filter(Browser::is_logged_in) {
            None => Err(Box::new(self.login_needed(StatusCode::UNAUTHORIZED, false, false))),
            Some(browser) if browser.is_operator() => Ok(browser),
            Some(browser) => {
                let who = Some(Who::of(browser.principal()));
                let (reason, client, claimed) = (Reason::TurnedAway, None, None);
                self.server.audit.record(&Event::Refusal { reason, who, client, claimed, from: Some(self.address) });
                let failure = Failure::not_an_operator(&self.server.login_url());
                Err(Box::new(self.server.page(self.headers, failure)))
            }
        }
    }

    /// Reads one field of a form by which an operator acts. An operator's login is of the last ten minutes when this
    /// returns.
    ///
    /// # Errors
    /// The answer for everything else: nothing may be done.
    pub(crate) async fn act(
        &self,
        browser: Option<Browser>,
        body: Body,
        field: &str,
    ) -> Result<(Browser, String), Box<Response>> {
        // A form of another site comes without a cookie, and is one all the same.
        check_sender(self.server.base_url(), self.headers).map_err(|forged| {
            Box::new(self.server.refuse_forged(self.headers, (browser.as_ref(), self.address), forged))
        })?;
        if browser.is_none() {
            return Err(Box::new(self.login_needed(StatusCode::UNAUTHORIZED, true, false)));
        }
        let browser = self.admit(browser)?;
        let form = forms::read(self.server, self.headers, (&browser, self.address), body).await?;
        if !browser.recent() {
            return Err(Box::new(self.login_needed(StatusCode::FORBIDDEN, true, true)));
        }
        match form.one(field).ok().flatten() {
            Some(value) => Ok((browser, value.to_owned())),
            None => Err(Box::new(self.broken(&format!("it has no field `{field}`, or two")))),
        }
    }

    /// The answer to a form that says something which no form of this server does.
    pub(crate) fn broken(&self, why: &str) -> Response {
        self.server.page(self.headers, Failure::broken_own_form(StatusCode::BAD_REQUEST, why))
    }

    fn login_needed(&self, status: StatusCode, is_act: bool, is_logged_in: bool) -> Response {
        let base_url = self.server.base_url();
        let (server, provider, to) = (base_url.authority(), self.server.provider(), self.path);
        let page = LoginNeededPage { server, provider, to, is_act, is_logged_in };
        with_forms(html::answer(status, &page, base_url))
    }
}
