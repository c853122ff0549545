//! The way out for plugins, made of the configuration and of the places that this server has.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::Config;
use crate::egress::Egress;
use crate::egress::resolver::System;
use crate::grants::address::Surroundings;
use crate::grants::host::Host;

/// A way out that leads to none of the places where this server listens.
pub(super) fn egress(config: &Config, listeners: Vec<SocketAddr>) -> Egress {
    let base_url = &config.server.base_url;
    let host = base_url.host_str().and_then(|host| Host::parse(host).ok());
    let surroundings = Surroundings {
        nat64: config.egress.nat64.clone(),
        own: listeners,
        machine: Vec::new(),
        base_url: host.zip(base_url.port_or_known_default()),
    };
    Egress::new(surroundings, Arc::new(System::default()))
}
