//! `wasi:filesystem`: the folders that a plugin was granted.
//!
//! Types and functions are those of `wasmtime-wasi`; what is behind them is `crate::folders`. A descriptor is checked at
//! every use by the grants of its call and those of now. What is asked of a descriptor runs on one of the plugin's
//! threads, and the guest hears at once if its folder is withdrawn meanwhile.

mod convert;
mod preopen;
mod streams;

use std::io;
use std::sync::Arc;

use tokio::sync::Mutex;
use wasmtime::component::{HasSelf, Linker, Resource};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, Advice, Descriptor, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, DirectoryEntryStream,
    ErrorCode, Filesize, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use self::convert::{code, leads_out};
use self::preopen::Preopen;
use self::streams::{Reader, Writer};
use super::guest::Guest;
use crate::folders::{self, Directory, OpenFile, Opening};
use crate::grants::DirGrant;
use crate::log_limiter::LogLimiter;

/// The interface by which a guest finds its folders. The linker takes any 0.2 for it.
const PREOPENS: &str = "wasi:filesystem/preopens@0.2.12";

/// Every call finds such a folder again.
static NOT_SEEN: LogLimiter = LogLimiter::new("folders that plugins do not see");

/// Puts it into the linker, in place of the one that has no folders.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    types::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    // By hand, since opening a folder may take a while, and `wasmtime-wasi` would have it done at once.
    linker.instance(PREOPENS)?.func_wrap_async("get-directories", |mut store, ()| {
        Box::new(async move { Ok((store.data_mut().directories().await?,)) })
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

/// An open file or folder, as it lies in the table of resources.
#[derive(Clone)]
struct Node {
    preopen: Arc<Preopen>,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Directory(Arc<Directory>),
    File(Arc<OpenFile>),
}

impl Node {
    fn new(preopen: Arc<Preopen>, node: folders::Node) -> Self {
        let kind = match node {
            folders::Node::Directory(directory) => Kind::Directory(Arc::new(directory)),
            folders::Node::File(file) => Kind::File(Arc::new(file)),
        };
        Self { preopen, kind }
    }

    fn metadata(&self) -> io::Result<cap_primitives::fs::Metadata> {
        match &self.kind {
            Kind::Directory(directory) => directory.metadata(),
            Kind::File(file) => file.metadata(),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        changes: bool,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> FsResult<T> {
        let done = self.preopen.run(changes, work).await;
        done.map_err(|error| {
            if leads_out(&error) {
                self.preopen.log_way_out();
            }
            code(&error).into()
        })
    }

    /// Does something with a folder.
    async fn directory<T: Send + 'static>(
        &self,
        changes: bool,
        work: impl FnOnce(&Directory) -> io::Result<T> + Send + 'static,
    ) -> FsResult<T> {
        let Kind::Directory(directory) = &self.kind else { return Err(ErrorCode::NotDirectory.into()) };
        let directory = Arc::clone(directory);
        self.run(changes, move || work(&directory)).await
    }

    /// Does something with a file.
    async fn file<T: Send + 'static>(
        &self,
        changes: bool,
        work: impl FnOnce(&OpenFile) -> io::Result<T> + Send + 'static,
    ) -> FsResult<T> {
        let Kind::File(file) = &self.kind else { return Err(ErrorCode::IsDirectory.into()) };
        let file = Arc::clone(file);
        self.run(changes, move || work(&file)).await
    }
}

/// A folder that is being listed, and the entries that were read ahead.
struct Listing {
    preopen: Arc<Preopen>,
    entries: Arc<Mutex<folders::Listing>>,
    ahead: std::vec::IntoIter<folders::Entry>,
}

impl Guest {
    /// Opens every folder that is granted. One that cannot be opened is not seen.
    async fn directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let granted: Vec<DirGrant> = self.grants.began().dirs().cloned().collect();
        let mut directories = Vec::with_capacity(granted.len());
        for grant in granted {
            let folders = self.services.folders.of(&self.plugin);
            let guest = grant.guest.clone();
            let preopen = Arc::new(Preopen { grant, grants: self.grants.clone(), folders });
            match preopen.open().await {
                Ok(directory) => {
                    let node = Node::new(preopen, folders::Node::Directory(directory));
                    directories.push((self.push_node(node)?, guest));
                }
                Err(error) => {
                    let (plugin, folder) = (&self.plugin, preopen.grant.host.display());
                    NOT_SEEN.log_of(
                        plugin,
                        || tracing::warn!(%plugin, "plugin `{plugin}` does not see `{folder}`: {error}"),
                    );
                }
            }
        }
        Ok(directories)
    }

    /// A descriptor is a number to the guest, behind which lies a node of ours.
    fn push_node(&mut self, node: Node) -> wasmtime::Result<Resource<Descriptor>> {
        Ok(Resource::new_own(self.resources.push(node)?.rep()))
    }

    fn node(&self, descriptor: &Resource<Descriptor>) -> FsResult<Node> {
        let node = self.resources.get(&Resource::<Node>::new_borrow(descriptor.rep()))?.clone();
        if self.conversation.notes.is_some() {
            self.decided("dirs", Some(&node.preopen.grant.guest), node.preopen.is_granted());
        }
        Ok(node)
    }

    fn open_file(&self, descriptor: &Resource<Descriptor>) -> FsResult<(Arc<Preopen>, Arc<OpenFile>)> {
        match self.node(descriptor)? {
            Node { preopen, kind: Kind::File(file) } => Ok((preopen, file)),
            Node { kind: Kind::Directory(_), .. } => Err(ErrorCode::IsDirectory.into()),
        }
    }

    fn writer(&mut self, descriptor: &Resource<Descriptor>, at: Option<u64>) -> FsResult<Resource<DynOutputStream>> {
        let (preopen, file) = self.open_file(descriptor)?;
        preopen.expect_writable()?;
        if !file.is_writable() {
            return Err(ErrorCode::BadDescriptor.into());
        }
        let stream: DynOutputStream = Box::new(Writer::new(preopen, file, at));
        Ok(self.resources.push(stream)?)
    }
}

impl types::Host for Guest {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(self.resources.get(&error)?.downcast_ref::<io::Error>().map(code))
    }
}

impl types::HostDescriptor for Guest {
    fn read_via_stream(&mut self, fd: Resource<Descriptor>, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        let (preopen, file) = self.open_file(&fd)?;
        if !file.is_readable() {
            return Err(ErrorCode::BadDescriptor.into());
        }
        let stream: DynInputStream = Box::new(Reader::new(preopen, file, offset));
        Ok(self.resources.push(stream)?)
    }

    fn write_via_stream(&mut self, fd: Resource<Descriptor>, offset: Filesize) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&fd, Some(offset))
    }

    fn append_via_stream(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&fd, None)
    }

    async fn advise(&mut self, fd: Resource<Descriptor>, _: Filesize, _: Filesize, _: Advice) -> FsResult<()> {
        // Advice may be ignored.
        match self.node(&fd)?.kind {
            Kind::File(_) => Ok(()),
            Kind::Directory(_) => Err(ErrorCode::BadDescriptor.into()),
        }
    }

    async fn sync_data(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        let node = self.node(&fd)?;
        match &node.kind {
            Kind::Directory(_) => node.directory(false, Directory::sync).await,
            Kind::File(_) => node.file(false, |file| file.sync(false)).await,
        }
    }

    async fn sync(&mut self, fd: Resource<Descriptor>) -> FsResult<()> {
        let node = self.node(&fd)?;
        match &node.kind {
            Kind::Directory(_) => node.directory(false, Directory::sync).await,
            Kind::File(_) => node.file(false, |file| file.sync(true)).await,
        }
    }

    async fn get_flags(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        let node = self.node(&fd)?;
        Ok(match &node.kind {
            Kind::Directory(_) if node.preopen.grant.is_writable => {
                DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY
            }
            Kind::Directory(_) => DescriptorFlags::READ,
            Kind::File(file) => {
                let flag = |is_set: bool, flag| if is_set { flag } else { DescriptorFlags::empty() };
                flag(file.is_readable(), DescriptorFlags::READ) | flag(file.is_writable(), DescriptorFlags::WRITE)
            }
        })
    }

    async fn get_type(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorType> {
        Ok(match self.node(&fd)?.kind {
            Kind::Directory(_) => DescriptorType::Directory,
            Kind::File(_) => DescriptorType::RegularFile,
        })
    }

    async fn set_size(&mut self, fd: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        self.node(&fd)?.file(true, move |file| file.set_len(size)).await
    }

    async fn set_times(&mut self, fd: Resource<Descriptor>, atim: NewTimestamp, mtim: NewTimestamp) -> FsResult<()> {
        let node = self.node(&fd)?;
        let times = convert::times(atim, mtim)?;
        match &node.kind {
            Kind::Directory(_) => node.directory(true, move |directory| directory.set_times(times)).await,
            Kind::File(_) => node.file(true, move |file| file.set_times(times)).await,
        }
    }

    async fn read(&mut self, fd: Resource<Descriptor>, len: Filesize, offset: Filesize) -> FsResult<(Vec<u8>, bool)> {
        let bytes = usize::try_from(len).unwrap_or(usize::MAX);
        let read = self.node(&fd)?.file(false, move |file| file.read_at(bytes, offset)).await?;
        let is_end = read.is_empty();
        Ok((read, is_end))
    }

    async fn write(&mut self, fd: Resource<Descriptor>, buffer: Vec<u8>, offset: Filesize) -> FsResult<Filesize> {
        let written = buffer.len() as u64;
        self.node(&fd)?.file(true, move |file| file.write_at(&buffer, offset)).await?;
        Ok(written)
    }

    async fn read_directory(&mut self, fd: Resource<Descriptor>) -> FsResult<Resource<DirectoryEntryStream>> {
        let node = self.node(&fd)?;
        let entries = node.directory(false, Directory::list).await?;
        let entries = Arc::new(Mutex::new(entries));
        let listing = Listing { preopen: node.preopen, entries, ahead: Vec::new().into_iter() };
        Ok(Resource::new_own(self.resources.push(listing)?.rep()))
    }

    async fn create_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.node(&fd)?.directory(true, move |directory| directory.create_directory(&path)).await
    }

    async fn stat(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        let node = self.node(&fd)?;
        let looked = node.clone();
        Ok(convert::stat(&node.run(false, move || looked.metadata()).await?))
    }

    async fn stat_at(&mut self, fd: Resource<Descriptor>, flags: PathFlags, path: String) -> FsResult<DescriptorStat> {
        let follow = flags.contains(PathFlags::SYMLINK_FOLLOW);
        let look = move |directory: &Directory| directory.metadata_at(&path, follow);
        Ok(convert::stat(&self.node(&fd)?.directory(false, look).await?))
    }

    async fn set_times_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
        atim: NewTimestamp,
        mtim: NewTimestamp,
    ) -> FsResult<()> {
        let follow = flags.contains(PathFlags::SYMLINK_FOLLOW);
        let (times, of_link) = (convert::times(atim, mtim)?, convert::times_of_link(atim, mtim)?);
        let set = move |directory: &Directory| directory.set_times_at(&path, follow, times, of_link);
        self.node(&fd)?.directory(true, set).await
    }

    async fn link_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
        new_fd: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        if flags.contains(PathFlags::SYMLINK_FOLLOW) {
            return Err(ErrorCode::Invalid.into());
        }
        let Kind::Directory(other) = self.node(&new_fd)?.kind else { return Err(ErrorCode::NotDirectory.into()) };
        self.node(&fd)?.directory(true, move |directory| directory.link(&path, &other, &new_path)).await
    }

    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let sync = DescriptorFlags::FILE_INTEGRITY_SYNC
            | DescriptorFlags::DATA_INTEGRITY_SYNC
            | DescriptorFlags::REQUESTED_WRITE_SYNC;
        if flags.intersects(sync) {
            return Err(ErrorCode::Unsupported.into());
        }
        let opening = convert::opening(path_flags, open_flags, flags);
        if opening.directory && (opening.create || opening.exclusive || opening.truncate) {
            return Err(ErrorCode::Invalid.into());
        }
        let node = self.node(&fd)?;
        let Opening { create, truncate, write, .. } = opening;
        let opened = node.directory(create || truncate || write, move |directory| directory.open(&path, opening));
        let opened = Node::new(Arc::clone(&node.preopen), opened.await?);
        self.push_node(opened).map_err(FsError::trap)
    }

    async fn readlink_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<String> {
        let target = self.node(&fd)?.directory(false, move |directory| directory.read_link(&path)).await?;
        target.into_os_string().into_string().map_err(|_| ErrorCode::IllegalByteSequence.into())
    }

    async fn remove_directory_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.node(&fd)?.directory(true, move |directory| directory.remove_directory(&path)).await
    }

    async fn rename_at(
        &mut self,
        fd: Resource<Descriptor>,
        path: String,
        new_fd: Resource<Descriptor>,
        new_path: String,
    ) -> FsResult<()> {
        let Kind::Directory(other) = self.node(&new_fd)?.kind else { return Err(ErrorCode::NotDirectory.into()) };
        self.node(&fd)?.directory(true, move |directory| directory.rename(&path, &other, &new_path)).await
    }

    async fn symlink_at(&mut self, fd: Resource<Descriptor>, target: String, path: String) -> FsResult<()> {
        self.node(&fd)?.directory(true, move |directory| directory.symlink(&target, &path)).await
    }

    async fn unlink_file_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<()> {
        self.node(&fd)?.directory(true, move |directory| directory.remove_file(&path)).await
    }

    async fn is_same_object(&mut self, a: Resource<Descriptor>, b: Resource<Descriptor>) -> wasmtime::Result<bool> {
        let (Ok(a), Ok(b)) = (self.node(&a), self.node(&b)) else { return Ok(false) };
        let looked = a.clone();
        let both = move || Ok((looked.metadata()?, b.metadata()?));
        Ok(a.run(false, both).await.is_ok_and(|(a, b)| convert::identity(&a) == convert::identity(&b)))
    }

    async fn metadata_hash(&mut self, fd: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        let node = self.node(&fd)?;
        let looked = node.clone();
        Ok(convert::hash(&node.run(false, move || looked.metadata()).await?))
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        let follow = flags.contains(PathFlags::SYMLINK_FOLLOW);
        let look = move |directory: &Directory| directory.metadata_at(&path, follow);
        Ok(convert::hash(&self.node(&fd)?.directory(false, look).await?))
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.resources.delete(Resource::<Node>::new_own(fd.rep()))?;
        Ok(())
    }
}

impl types::HostDirectoryEntryStream for Guest {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        let listing = self.resources.get_mut(&Resource::<Listing>::new_borrow(stream.rep()))?;
        if listing.ahead.as_slice().is_empty() {
            let entries = Arc::clone(&listing.entries);
            let ahead = listing.preopen.run(false, move || entries.blocking_lock().read()).await;
            listing.ahead = ahead.map_err(|error| code(&error))?.into_iter();
        }
        let entry = listing.ahead.next();
        Ok(entry.map(|entry| DirectoryEntry { type_: convert::kind(entry.kind), name: entry.name }))
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.resources.delete(Resource::<Listing>::new_own(stream.rep()))?;
        Ok(())
    }
}
