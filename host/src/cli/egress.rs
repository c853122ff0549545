//! The way out for plugins: from the configuration to an [`Egress`].

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::otlp::OtlpEndpoint;
use crate::config::{self, Config};
use crate::egress::resolver::System;
use crate::egress::{Direct, Egress, Proxy, Settings};
use crate::grants::address::Surroundings;
use crate::grants::host::Host;

/// The way out of a server that listens on these addresses, or of a command that listens on none.
pub(super) fn start(config: &Config, egress: &config::Egress, listeners: &[SocketAddr]) -> Egress {
    let base_url = &config.server.base_url;
    let host = base_url.host_str().and_then(|host| Host::parse(host).ok());
    let surroundings = Surroundings {
        nat64: config.egress.nat64.clone(),
        own: listeners.to_vec(),
        machine: Vec::new(),
        base_url: host.zip(base_url.port_or_known_default()),
    };
    let proxy = egress.proxy.as_ref().map(|url| Proxy {
        url: url.reveal().clone(),
        resolves: config.egress.proxy_resolves,
        direct: Direct::parse(egress.no_proxy.as_deref().unwrap_or_default()),
    });
    let telemetry = config.telemetry.otlp.as_ref().and_then(OtlpEndpoint::place);
    let telemetry = telemetry.and_then(|(host, port)| Some((Host::parse(host).ok()?, port)));
    let authorities = egress.authorities.clone();
    let settings = Settings { surroundings, proxy, authorities, kept_apart: telemetry.into_iter().collect() };
    Egress::new(settings, Arc::new(System))
}
