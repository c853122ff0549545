//! The clients of the page: what each needs to reach this server, with links that add it by themselves where a client
//! has one.

use clap::ValueEnum as _;

use crate::clients::setup::{Target, Way};
use crate::clients::{self, Client, SERVER_NAME};

/// One client.
pub(super) struct ClientView {
    /// A name for the page's own elements.
    pub(super) id: String,
    pub(super) name: String,
    /// The place of the text.
    pub(super) place: String,
    pub(super) text: String,
    /// The client's own command that does the same.
    pub(super) command: Option<String>,
    /// What else to know.
    pub(super) notes: Vec<String>,
    /// A link that adds the server.
    pub(super) link: Option<String>,
}

/// Every client whose configuration is known.
pub(super) fn clients(endpoint: &str, has_login: bool) -> Vec<ClientView> {
    let target = Target { name: SERVER_NAME.to_owned(), way: Way::Http(endpoint.to_owned()) };
    let view = |client: &Client| {
        let setup = client.setup();
        Some(ClientView {
            id: client.to_possible_value()?.get_name().to_owned(),
            name: setup.title.clone(),
            place: setup.place.clone(),
            text: setup.snippet(&target, has_login)?,
            command: setup.command(&target).filter(|_| !setup.shows_command()),
            notes: setup.notes(&target).map(str::to_owned).collect(),
            link: match client {
                Client::Cursor => Some(clients::cursor_link(endpoint)),
                Client::Vscode => Some(clients::vscode_link(endpoint)),
                _ => None,
            },
        })
    };
    Client::value_variants().iter().filter_map(view).collect()
}
