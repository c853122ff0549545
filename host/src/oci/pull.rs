//! Pulling: from a name to bytes whose digest was checked while they arrived.

use std::io::Write;

use bytes::Bytes;

use super::client::{Action, Ask, Client, unreachable};
use super::digest::{Digest, Hasher};
use super::error::OciError;
use super::manifest::{self, Artifact, Descriptor, Document, MANIFEST_TYPES, MAX_MANIFEST_BYTES};
use super::packages;
use super::reference::{Repository, Source, Version};

/// The artifact that a name means at the moment.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    pub(crate) repository: Repository,
    /// The digest of the index that the name leads to, if it is none of a manifest.
    pub(crate) index: Option<Digest>,
    /// The digest of the manifest, which names all the rest.
    pub(crate) digest: Digest,
    pub(crate) manifest: Bytes,
    pub(crate) artifact: Artifact,
}

impl Client {
    /// Finds the artifact that a name means at the moment.
    ///
    /// # Errors
    /// [`OciError`].
    pub(crate) async fn resolve(&self, source: &Source) -> Result<Resolved, OciError> {
        let reference = match source {
            Source::Reference(reference) => reference.clone(),
            Source::Package(package) => packages::find(self, package).await?,
        };
        let bytes = self.manifest(&reference.repository, &reference.version).await?;
        let digest = match &reference.version {
            Version::Digest(digest) => digest.clone(),
            Version::Tag(_) => Digest::of(&bytes),
        };
        self.artifact(reference.repository, digest, bytes, &source.to_string()).await
    }

    /// Pulls the manifest of this digest.
    ///
    /// # Errors
    /// [`OciError`].
    pub(crate) async fn resolve_digest(&self, repository: &Repository, digest: &Digest) -> Result<Resolved, OciError> {
        let bytes = self.manifest(repository, &Version::Digest(digest.clone())).await?;
        self.artifact(repository.clone(), digest.clone(), bytes, &repository.to_string()).await
    }

    async fn artifact(
        &self,
        repository: Repository,
        digest: Digest,
        bytes: Bytes,
        name: &str,
    ) -> Result<Resolved, OciError> {
        let entry = match manifest::read(&bytes, name)? {
            Document::Artifact(artifact) => {
                return Ok(Resolved { repository, index: None, digest, manifest: bytes, artifact });
            }
            Document::Index(entry) => entry,
        };
        let bytes = self.manifest(&repository, &Version::Digest(entry.digest.clone())).await?;
        match manifest::read(&bytes, name)? {
            Document::Artifact(artifact) => {
                Ok(Resolved { repository, index: Some(digest), digest: entry.digest, manifest: bytes, artifact })
            }
            Document::Index(_) => Err(OciError::Manifest(format!("`{name}` is an index of indexes"))),
        }
    }

    /// Pulls the index of this digest.
    ///
    /// # Errors
    /// [`OciError`].
    pub(crate) async fn index(&self, repository: &Repository, digest: &Digest) -> Result<Bytes, OciError> {
        self.manifest(repository, &Version::Digest(digest.clone())).await
    }

    /// A manifest, whose digest is checked if it is asked for by that.
    pub(super) async fn manifest(&self, repository: &Repository, version: &Version) -> Result<Bytes, OciError> {
        let ask = Ask::get(format!("manifests/{version}"), &MANIFEST_TYPES);
        let mut last = None;
        for host in self.registries.places(&repository.host) {
            match self.manifest_at(host, repository, version, &ask).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| OciError::Manifest(format!("`{repository}` is nowhere"))))
    }

    async fn manifest_at(
        &self,
        host: &str,
        repository: &Repository,
        version: &Version,
        ask: &Ask<'_>,
    ) -> Result<Bytes, OciError> {
        let answer = self.ask(host, repository, Action::Pull, ask).await?;
        let bytes = self.whole(host, answer, MAX_MANIFEST_BYTES).await?;
        match version {
            Version::Digest(digest) if !digest.is_of(&bytes) => {
                Err(OciError::Digest { host: host.to_owned(), expected: digest.clone(), found: Digest::of(&bytes) })
            }
            _ => Ok(bytes),
        }
    }

    /// Pulls what a descriptor names, while its size and its digest are checked. What `sink` got before an error is worth
    /// nothing.
    ///
    /// # Errors
    /// [`OciError`]: [`OciError::TooLarge`] before anything is asked for.
    pub(crate) async fn blob(
        &self,
        repository: &Repository,
        of: &Descriptor,
        limit: u64,
        sink: &mut (impl Sink + Send),
    ) -> Result<(), OciError> {
        if of.size > limit {
            return Err(OciError::TooLarge { size: of.size, limit });
        }
        let ask = Ask::get(format!("blobs/{}", of.digest), &["*/*"]);
        let mut last = None;
        for host in self.registries.places(&repository.host) {
            sink.begin_anew()?;
            match self.blob_at(host, repository, of, &ask, sink).await {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| OciError::Manifest(format!("`{repository}` is nowhere"))))
    }

    async fn blob_at(
        &self,
        host: &str,
        repository: &Repository,
        of: &Descriptor,
        ask: &Ask<'_>,
        sink: &mut (impl Sink + Send),
    ) -> Result<(), OciError> {
        let wrong_size =
            |found| OciError::Size { host: host.to_owned(), digest: of.digest.clone(), expected: of.size, found };
        let mut answer = self.ask(host, repository, Action::Pull, ask).await?;
        let mut hasher = Hasher::new(of.digest.algorithm());
        let mut count: u64 = 0;
        while let Some(chunk) = answer.chunk().await.map_err(|source| unreachable(host, source))? {
            count += chunk.len() as u64;
            if count > of.size {
                return Err(wrong_size("longer"));
            }
            hasher.update(&chunk);
            sink.write_all(&chunk)?;
        }
        if count < of.size {
            return Err(wrong_size("shorter"));
        }
        let found = hasher.finish();
        if found != of.digest {
            return Err(OciError::Digest { host: host.to_owned(), expected: of.digest.clone(), found });
        }
        Ok(())
    }

    /// The same in memory.
    ///
    /// # Errors
    /// As for [`Self::blob`].
    pub(crate) async fn small_blob(
        &self,
        repository: &Repository,
        of: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, OciError> {
        let mut bytes = Vec::new();
        self.blob(repository, of, limit, &mut bytes).await?;
        Ok(bytes)
    }
}

/// What takes the bytes of a blob, and can forget those that it has.
pub(crate) trait Sink: Write {
    fn begin_anew(&mut self) -> std::io::Result<()>;
}

impl Sink for Vec<u8> {
    fn begin_anew(&mut self) -> std::io::Result<()> {
        self.clear();
        Ok(())
    }
}

impl Sink for std::fs::File {
    fn begin_anew(&mut self) -> std::io::Result<()> {
        use std::io::Seek;
        self.set_len(0)?;
        self.rewind()
    }
}
