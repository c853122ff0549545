//! Options of a socket, where `wasi:sockets` has them otherwise than the system.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;
use wasmtime_wasi::p2::SocketResult;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;

use super::socket::Family;

/// The longest time between two probes, in seconds, and the most of them: what Linux takes.
const MAX_PROBE_SECONDS: u64 = i16::MAX as u64;
const MAX_PROBES: u32 = i8::MAX as u32;

/// A value that must not be 0.
pub(super) fn positive<T: PartialEq + Default>(value: T) -> SocketResult<T> {
    if value == T::default() { Err(ErrorCode::InvalidArgument.into()) } else { Ok(value) }
}

/// The time between two probes, from nanoseconds.
pub(super) fn probe_time(nanoseconds: u64) -> SocketResult<Duration> {
    let bounds = (Duration::from_secs(1), Duration::from_secs(MAX_PROBE_SECONDS));
    positive(nanoseconds).map(|time| Duration::from_nanos(time).clamp(bounds.0, bounds.1))
}

/// The number of probes.
pub(super) fn probes(count: u32) -> SocketResult<u32> {
    positive(count).map(|count| count.min(MAX_PROBES))
}

/// A duration as `wasi:clocks` has it.
pub(super) fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos().try_into().unwrap_or(u64::MAX)
}

pub(super) fn hop_limit(fd: BorrowedFd<'_>, family: Family) -> SocketResult<u8> {
    match family {
        Family::V4 => u8::try_from(sockopt::ip_ttl(fd)?).map_err(|_| ErrorCode::NotSupported.into()),
        Family::V6 => Ok(sockopt::ipv6_unicast_hops(fd)?),
    }
}

pub(super) fn set_hop_limit(fd: BorrowedFd<'_>, family: Family, limit: u8) -> SocketResult<()> {
    let limit = positive(limit)?;
    match family {
        Family::V4 => sockopt::set_ip_ttl(fd, limit.into())?,
        Family::V6 => sockopt::set_ipv6_unicast_hops(fd, Some(limit))?,
    }
    Ok(())
}

/// The size of a buffer. Linux gives twice what was asked for.
pub(super) fn buffer_size(size: usize) -> u64 {
    let size = if cfg!(target_os = "linux") { size / 2 } else { size };
    size as u64
}

/// Sets the size of a buffer with `set`. It is a wish: a system that cannot have it so large has another.
pub(super) fn set_buffer_size(size: u64, set: impl FnOnce(usize) -> Result<(), Errno>) -> SocketResult<()> {
    let size = positive(size)?.min(i32::MAX as u64);
    match set(usize::try_from(size).unwrap_or(usize::MAX)) {
        Ok(()) | Err(Errno::NOBUFS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
