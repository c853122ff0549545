//! From files of the system to the types of `wasi:filesystem`, and back.

use std::fs::FileTimes;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cap_primitives::fs::{FileType, FileTypeExt, Metadata, MetadataExt, SystemTimeSpec};
use rustix::io::Errno;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};

use crate::folders::{Opening, Times};

/// True for the error of a path that leads out of its folder, which is none of the system's.
pub(super) fn leads_out(error: &io::Error) -> bool {
    error.raw_os_error().is_none() && error.kind() == io::ErrorKind::PermissionDenied
}

/// An error as the guest hears it.
pub(super) fn code(error: &io::Error) -> ErrorCode {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::DQUOT) => ErrorCode::Quota,
        Some(Errno::ROFS) => ErrorCode::ReadOnly,
        Some(Errno::XDEV) => ErrorCode::CrossDevice,
        Some(Errno::AGAIN) => ErrorCode::WouldBlock,
        Some(Errno::TXTBSY) => ErrorCode::TextFileBusy,
        // The interface has no word for too many descriptors.
        Some(Errno::MFILE | Errno::NFILE) => ErrorCode::InsufficientMemory,
        _ => ErrorCode::from(error),
    }
}

pub(super) fn opening(path: PathFlags, open: OpenFlags, flags: DescriptorFlags) -> Opening {
    Opening {
        follow: path.contains(PathFlags::SYMLINK_FOLLOW),
        create: open.contains(OpenFlags::CREATE),
        exclusive: open.contains(OpenFlags::EXCLUSIVE),
        directory: open.contains(OpenFlags::DIRECTORY),
        truncate: open.contains(OpenFlags::TRUNCATE),
        read: flags.contains(DescriptorFlags::READ),
        write: flags.contains(DescriptorFlags::WRITE),
    }
}

pub(super) fn kind(kind: FileType) -> DescriptorType {
    match kind {
        kind if kind.is_dir() => DescriptorType::Directory,
        kind if kind.is_symlink() => DescriptorType::SymbolicLink,
        kind if kind.is_file() => DescriptorType::RegularFile,
        kind if kind.is_fifo() => DescriptorType::Fifo,
        kind if kind.is_socket() => DescriptorType::Socket,
        kind if kind.is_block_device() => DescriptorType::BlockDevice,
        kind if kind.is_char_device() => DescriptorType::CharacterDevice,
        _ => DescriptorType::Unknown,
    }
}

pub(super) fn stat(metadata: &Metadata) -> DescriptorStat {
    let time = |time: io::Result<cap_primitives::time::SystemTime>| {
        let since = time.ok()?.into_std().duration_since(UNIX_EPOCH).ok()?;
        Some(Datetime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() })
    };
    DescriptorStat {
        type_: kind(metadata.file_type()),
        link_count: metadata.nlink(),
        size: metadata.len(),
        data_access_timestamp: time(metadata.accessed()),
        data_modification_timestamp: time(metadata.modified()),
        status_change_timestamp: changed(metadata),
    }
}

fn changed(metadata: &Metadata) -> Option<Datetime> {
    let seconds = u64::try_from(metadata.ctime()).ok()?;
    Some(Datetime { seconds, nanoseconds: u32::try_from(metadata.ctime_nsec()).ok()? })
}

pub(super) fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// The same number for the same file, which says nothing else of it.
pub(super) fn hash(metadata: &Metadata) -> MetadataHashValue {
    let hash = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, identity(metadata)).hash(&mut hasher);
        hasher.finish()
    };
    MetadataHashValue { lower: hash(0), upper: hash(1) }
}

/// Times to set; those that are not among them stay.
pub(super) fn times(accessed: NewTimestamp, modified: NewTimestamp) -> FsResult<FileTimes> {
    let mut times = FileTimes::new();
    if let Some(time) = time(accessed)? {
        times = times.set_accessed(time);
    }
    if let Some(time) = time(modified)? {
        times = times.set_modified(time);
    }
    Ok(times)
}

pub(super) fn times_of_link(accessed: NewTimestamp, modified: NewTimestamp) -> FsResult<Times> {
    let spec = |time: SystemTime| SystemTimeSpec::Absolute(cap_primitives::time::SystemTime::from_std(time));
    Ok(Times { accessed: time(accessed)?.map(spec), modified: time(modified)?.map(spec) })
}

fn time(new: NewTimestamp) -> FsResult<Option<SystemTime>> {
    match new {
        NewTimestamp::NoChange => Ok(None),
        NewTimestamp::Now => Ok(Some(SystemTime::now())),
        NewTimestamp::Timestamp(Datetime { seconds, nanoseconds }) => {
            let since = Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanoseconds.into()));
            let time = since.and_then(|since| UNIX_EPOCH.checked_add(since));
            time.map(Some).ok_or_else(|| ErrorCode::Overflow.into())
        }
    }
}
