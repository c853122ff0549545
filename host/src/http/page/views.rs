//! The views of the page: parts of this server at URLs of their own, with the tools that are there.

use clap::ValueEnum as _;

use super::super::App;
use super::tools;
use super::visitor::Visitor;
use crate::clients::setup::{Target, Way};
use crate::clients::{Client, SERVER_NAME};
use crate::config::Config;
use crate::plugins::catalog::Catalog;
use crate::principal::Access;
use crate::view::View;

/// One view.
pub(super) struct ViewView {
    pub(super) name: String,
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) url: String,
    /// The names of its tools, as clients see them.
    pub(super) tools: Vec<String>,
    /// The scopes that every request there needs.
    pub(super) scopes: Vec<String>,
    /// The names of clients, and the commands that connect them.
    pub(super) commands: Vec<(String, String)>,
}

/// The views that a visitor may use, by name.
pub(super) fn views(app: &App, config: &Config, catalog: &Catalog, visitor: &Visitor) -> Vec<ViewView> {
    let principal = visitor.person().map(|person| person.principal());
    let is_possible = |scopes| principal.is_none_or(|principal| principal.access(scopes) != Access::Never);
    let own = |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let all = config.view.iter().filter(|(_, view)| is_possible(&view.scopes));
    let shown = all.map(|(name, view)| ViewView {
        title: own(&view.title),
        description: own(&view.description),
        url: format!("{}{}", app.server.base_url.as_str(), View::named(name.as_str())),
        tools: catalog.view(name.as_str()).map(|catalog| tools::names(catalog, visitor)).unwrap_or_default(),
        scopes: view.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        commands: commands(name.as_str()),
        name: name.as_str().to_owned(),
    });
    shown.collect()
}

/// The commands of clients that take a URL.
fn commands(view: &str) -> Vec<(String, String)> {
    let target = Target { name: SERVER_NAME.to_owned(), way: Way::Http(String::new()) };
    let command = |client: &Client| {
        client.setup().snippet(&target, true)?;
        let word = client.to_possible_value()?;
        Some((client.setup().title.clone(), format!("tinymcp connect {} --view {view}", word.get_name())))
    };
    Client::value_variants().iter().filter_map(command).collect()
}
