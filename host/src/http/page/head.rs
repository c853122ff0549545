//! The small part of the page that belongs to one answer: its nonce, and who looks at it.

use askama::Template;

use super::super::App;
use super::assets;
use super::front;
use super::icon::Picture;
use super::kept::Front;
use super::policy::Nonce;
use super::visitor::Visitor;

#[derive(Template)]
#[template(path = "front/head.html")]
pub(super) struct Head<'a> {
    nonce: &'a str,
    style: String,
    script: String,
    title: String,
    /// The URL of the server's picture.
    picture: Option<String>,
    stamp: &'a str,
    /// Proves that a request comes from this page.
    token: Option<&'a str>,
    /// The page is told of changes.
    is_live: bool,
    shows_tools: bool,
    /// The person who has logged in.
    name: Option<String>,
    is_operator: bool,
    /// People can log in here.
    has_login: bool,
    /// The page by the name that logins are good for, if this is another one.
    home: Option<&'a str>,
}

impl<'a> Head<'a> {
    pub(super) fn new(
        app: &'a App,
        visitor: &'a Visitor,
        (front, picture): (&'a Front, Option<Picture>),
        nonce: &'a Nonce,
        is_at_home: bool,
    ) -> Self {
        let person = visitor.person();
        let shows_tools = front::shows_tools(app, visitor);
        Self {
            nonce: nonce.as_str(),
            style: assets::url("page.css"),
            script: assets::url("page.js"),
            title: app.about.borrow().server.title.clone().unwrap_or_else(|| "TinyMCP".to_owned()),
            picture: picture.map(|picture| picture.url),
            stamp: &front.stamp,
            token: person.map(|person| person.token()),
            is_live: shows_tools,
            shows_tools,
            name: person.and_then(|person| person.name()),
            is_operator: person.is_some_and(|person| person.is_operator()),
            has_login: app.auth.server().is_some(),
            home: (!is_at_home).then(|| app.server.base_url.as_str()),
        }
    }
}
