//! Registries of plugins, as clients of them see one: the OCI Distribution Specification, version 1.1.
//!
//! [`mod@reference`] has the names, [`digest`] what they are held to, [`manifest`] what a registry says of an artifact.
//! [`client`] sends requests, with the credentials that [`credentials`] finds and under the rules of [`registries`];
//! [`challenge`] is what a registry asks for. [`pull`] and [`push`] are what is done with one, [`packages`] finds the registry of
//! a package name. `signatures` fetches signatures; [`cosign`] verifies those by a key, and [`keyless`] those under a certificate.
//! [`cache`] keeps what was pulled, and [`lock`] is the file that says what runs.
//!
//! This room knows nothing of WebAssembly, of routes and of the protocol.
//!
//! Invariants: nothing that a registry says is believed before its digest was checked, and nothing is read beyond the size
//! that was announced and the limit of the operator. No title, and no other text of a registry, becomes a path or a URL, but for
//! the place of an upload and the target of a redirect, which are checked. Credentials go to the registry itself and to realms
//! that [`registries`] allows, by https or on loopback, and to nobody else.
//!
//! It does not use the `oci-client` crate: that one sends credentials to whatever realm a registry names, fetches `urls` of
//! descriptors, follows redirects to plain http, and writes the answers of token services into the log. What would be left of
//! it are the paths of a few requests.

pub(crate) mod cache;
pub(crate) mod challenge;
pub(crate) mod client;
pub(crate) mod cosign;
pub(crate) mod credentials;
pub(crate) mod digest;
pub(crate) mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub(crate) mod keyless;
pub(crate) mod lock;
pub(crate) mod manifest;
pub(crate) mod packages;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod reference;
pub(crate) mod registries;
mod signatures;
