//! The ways to a token beside a login in a browser, as far as the configuration turns them on.

use crate::config::Config;
use crate::config::machines::ClientGrant;

/// The grant type of clients that call for themselves (RFC 6749 §4.4).
pub(super) const CLIENT_CREDENTIALS: &str = "client_credentials";

/// The grant type by which a workload's token is exchanged (RFC 7523 §2.1).
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// The grant type of devices (RFC 8628 §3.4).
pub(super) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A way to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// `client_credentials`, for declared clients and for workloads that authenticate as clients.
    ClientCredentials,
    /// The JWT bearer grant, for workloads.
    Workloads,
    /// The device flow.
    DeviceFlow,
}

/// Every way, and its grant type.
const OFFERS: [(Offer, &str); 3] =
    [(Offer::ClientCredentials, CLIENT_CREDENTIALS), (Offer::Workloads, JWT_BEARER), (Offer::DeviceFlow, DEVICE_CODE)];

impl Offer {
    /// True if a configuration has somebody for whom it is.
    pub(super) fn is_in(self, config: &Config) -> bool {
        let auth = &config.auth;
        let any_may = |grant| auth.clients.values().any(|client| client.may(grant));
        match self {
            Self::ClientCredentials => any_may(ClientGrant::ClientCredentials) || !auth.workloads.is_empty(),
            Self::Workloads => !auth.workloads.is_empty(),
            Self::DeviceFlow => auth.device_flow && any_may(ClientGrant::DeviceCode),
        }
    }
}

/// The grant types that a server has, for its metadata (RFC 8414 §2).
pub(super) fn grant_types(config: &Config) -> Vec<&'static str> {
    let offered = OFFERS.into_iter().filter(|(offer, _)| offer.is_in(config)).map(|(_, name)| name);
    ["authorization_code", "refresh_token"].into_iter().chain(offered).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Invocation, Purpose};

    #[test]
    fn only_what_somebody_may_use_is_offered() {
        let login = ["authorization_code", "refresh_token"];
        let ci = "[auth.clients.ci]\nsecret = 'x'\n";
        let tv = "[auth.clients.tv]\ngrants = ['device_code']\n";
        let job = "[auth.workloads.job]\nissuer = 'https://id.example'\nclaims = { sub = 'a' }\n";
        for (text, expected) in [
            (String::new(), &[][..]),
            (format!("{ci}redirect_uris = ['http://localhost/']\n"), &[]),
            (format!("{ci}grants = ['client_credentials']\n"), &[CLIENT_CREDENTIALS]),
            (job.to_owned(), &[CLIENT_CREDENTIALS, JWT_BEARER]),
            (tv.to_owned(), &[]),
            (format!("[auth]\ndevice_flow = true\n{tv}"), &[DEVICE_CODE]),
        ] {
            let invocation = Invocation::new(Purpose::Look);
            let config = Config::parse(&text, &invocation, &Environment::default()).unwrap().config;
            assert_eq!(grant_types(&config), [&login[..], expected].concat(), "{text}");
        }
    }
}
