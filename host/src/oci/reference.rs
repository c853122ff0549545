//! Names of plugins elsewhere: `oci://registry.example/org/weather:1.2`, and packages such as `acme:weather@1.2`.
//!
//! A reference has its registry, its repository and a tag or a digest written out: there is no registry and no tag that
//! somebody else chose as a default.

use std::fmt;
use std::str::FromStr;

use super::digest::Digest;

/// The beginning of a reference.
const SCHEME: &str = "oci://";

/// Bytes of a repository's name, with its registry (OCI Distribution Specification, Pulling manifests).
const MAX_REPOSITORY_BYTES: usize = 255;

/// Bytes of a tag.
const MAX_TAG_BYTES: usize = 128;

/// The origin of a plugin, as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// An artifact in a registry.
    Reference(Reference),
    /// A package, whose namespace is that of a registry.
    Package(Package),
}

/// An artifact in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) repository: Repository,
    pub(crate) version: Version,
}

/// A repository of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repository {
    /// The registry, in small letters, with its port if it has one of its own.
    pub(crate) host: String,
    /// The name there, without `/` at its ends.
    pub(crate) name: String,
}

/// The one of a repository's artifacts that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Version {
    /// Whatever has this tag at the moment.
    Tag(String),
    /// This one.
    Digest(Digest),
}

/// A package of WebAssembly, as `wkg` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// A version, or the beginning of one: `1.2` stands for the newest `1.2.…`.
    pub(crate) version: String,
}

/// A text that names no plugin elsewhere, with the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct InvalidSource(&'static str);

impl FromStr for Source {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        match text.starts_with(SCHEME) {
            true => text.parse().map(Self::Reference),
            false => text.parse().map(Self::Package),
        }
    }
}

impl FromStr for Reference {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let rest = text.strip_prefix(SCHEME).ok_or(InvalidSource("expected `oci://` in front"))?;
        if let Some((repository, digest)) = rest.split_once('@') {
            let digest = digest.parse().map_err(|_| {
                InvalidSource("behind `@` stands a digest: `sha256:` with 64 hexadecimal digits, or `sha512:` with 128")
            })?;
            return Ok(Self { repository: repository.parse()?, version: Version::Digest(digest) });
        }
        let (repository, tag) = rest
            .rsplit_once(':')
            .filter(|(before, tag)| before.contains('/') && !tag.contains('/'))
            .ok_or(InvalidSource("a tag or a digest is missing: write `:1.2` or `@sha256:…` behind the name"))?;
        Ok(Self { repository: repository.parse()?, version: Version::Tag(tag_of(tag)?) })
    }
}

impl FromStr for Repository {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let (host, name) = text.split_once('/').ok_or(InvalidSource(
            "expected a registry and a name in it, such as `oci://registry.example/org/weather:1.2`",
        ))?;
        if text.len() > MAX_REPOSITORY_BYTES {
            return Err(InvalidSource("the name of registry and repository is longer than the 255 bytes it may have"));
        }
        let host = host_of(host)?;
        if !name.split('/').all(is_component) {
            return Err(InvalidSource(
                "a repository's name is made of small letters and digits, with single `.`, `_` or `-` between them, in parts that `/` separates",
            ));
        }
        Ok(Self { host, name: name.to_owned() })
    }
}

impl FromStr for Package {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        const EXPECTED: InvalidSource = InvalidSource(
            "expected a reference such as `oci://registry.example/org/weather:1.2`, or a package such as `acme:weather@1.2`",
        );
        let (package, version) = text.split_once('@').ok_or(EXPECTED)?;
        let (namespace, name) = package.split_once(':').ok_or(EXPECTED)?;
        let is_version = version.starts_with(|char: char| char.is_ascii_digit())
            && version.len() <= MAX_TAG_BYTES
            && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
        if !is_name_part(namespace) || !is_name_part(name) || !is_version {
            return Err(EXPECTED);
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned(), version: version.to_owned() })
    }
}

/// The host of a registry in small letters, with a port if it is written.
///
/// # Errors
/// Why it is none.
pub(crate) fn host_of(text: &str) -> Result<String, InvalidSource> {
    const WRONG: InvalidSource = InvalidSource("expected the host of a registry, with a port if it needs one");
    let url = url::Url::parse(&format!("https://{text}/")).map_err(|_| WRONG)?;
    let is_host_alone = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
    let host = url.host_str().filter(|_| is_host_alone && url.path() == "/").ok_or(WRONG)?;
    // That of https may be written, and would be another text otherwise.
    let port = text.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.contains(']'));
    match port {
        None => Ok(host.to_owned()),
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port != 0 => Ok(format!("{host}:{port}")),
            _ => Err(WRONG),
        },
    }
}

/// True for the name of a namespace or of a package.
pub(crate) fn is_name_part(text: &str) -> bool {
    text.split('-').all(|word| {
        word.starts_with(|char: char| char.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    }) && text.len() <= 64
}

/// True for a part of a repository's name: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_component(text: &str) -> bool {
    let is_plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
    let ends_plain = text.starts_with(is_plain) && text.ends_with(is_plain);
    let mut between = text.split(is_plain).filter(|between| !between.is_empty());
    ends_plain && between.all(|between| matches!(between, "." | "_" | "__") || between.bytes().all(|byte| byte == b'-'))
}

fn tag_of(text: &str) -> Result<String, InvalidSource> {
    let is_first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_tag = (1..=MAX_TAG_BYTES).contains(&text.len())
        && text.bytes().all(|byte| is_first(byte) || matches!(byte, b'.' | b'-'))
        && text.bytes().next().is_some_and(is_first);
    if !is_tag {
        return Err(InvalidSource("a tag is made of letters, digits, `.`, `_` and `-`, 128 at most"));
    }
    if text.starts_with("sha256-") || text.starts_with("sha512-") {
        return Err(InvalidSource(
            "tags that begin with `sha256-` are those of signatures: name the tag of the plugin, or its digest behind `@`",
        ));
    }
    Ok(text.to_owned())
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(reference) => fmt::Display::fmt(reference, f),
            Self::Package(package) => fmt::Display::fmt(package, f),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Tag(tag) => write!(f, "{SCHEME}{}:{tag}", self.repository),
            Version::Digest(digest) => write!(f, "{SCHEME}{}@{digest}", self.repository),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.name)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => fmt::Display::fmt(digest, f),
        }
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}@{}", self.namespace, self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_comes_back() {
        let digest = Digest::of(b"");
        for text in [
            "oci://registry.example/weather:1.2",
            "oci://registry.example:5000/org/deep/my_tool__x:v1_0-rc.1",
            "oci://127.0.0.1:5000/a--b:latest",
            "oci://[::1]:5000/a:1",
            &format!("oci://registry.example/org/weather@{digest}"),
            "acme:weather@1.2",
            "acme-labs:my-tool2@1.2.3-rc.1",
        ] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        assert_eq!(
            "oci://Registry.Example:443/a:1".parse::<Source>().unwrap().to_string(),
            "oci://registry.example:443/a:1"
        );
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for wrong in [
            "",
            "weather",
            "registry.example/org/weather:1.2",
            "oci://weather:1.2",
            "oci://registry.example/weather",
            "oci://registry.example:5000/weather",
            "oci://registry.example/weather:",
            "oci://registry.example/Weather:1",
            "oci://registry.example/../weather:1",
            "oci://registry.example/a//b:1",
            "oci://registry.example/a/:1",
            "oci://registry.example/a..b:1",
            "oci://user@registry.example/a:1",
            "oci://user:pass@registry.example/a:1",
            "oci://registry.example?x/a:1",
            "oci://registry.example:0/a:1",
            "oci://registry.example:99999/a:1",
            "oci://registry.example/a:-1",
            "oci://registry.example/a:1 2",
            "oci://registry.example/a@md5:00",
            "oci://registry.example/a:1@sha256:00",
            "acme:weather",
            "acme/weather@1",
            "Acme:weather@1",
            "acme:weather@latest",
            "acme:weather@1/2",
        ] {
            assert!(wrong.parse::<Source>().is_err(), "{wrong}");
        }
        let long = format!("oci://registry.example/{}:1", "a".repeat(250));
        assert!(long.parse::<Source>().is_err());
    }

    #[test]
    fn tags_of_signatures_are_no_plugins() {
        let text = format!("oci://registry.example/a:{}.sig", Digest::of(b"").dashed());
        assert!(text.parse::<Source>().unwrap_err().to_string().contains("signatures"));
    }
}
