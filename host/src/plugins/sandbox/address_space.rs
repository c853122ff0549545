//! Address space for calls: what the pool reserves, and what the system allows the process (`ulimit -v`, `LimitAS`).
//!
//! It is no memory: reserved addresses cost nothing until a guest writes there. Without them no call runs at all, so the
//! server says at its start what is missing.

use std::fmt;
use std::fs;

use rustix::process::{Resource, getrlimit};

/// Address space of one call: two memories of 4 GiB with their guard pages, tables and a stack.
const PER_SLOT: u64 = 8_600 << 20;

/// Address space for everything else: threads with their stacks and heaps, compiled code, the store.
const REST: u64 = 4 << 30;

/// The room for calls within the limit of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressSpace {
    wanted: u32,
    fits: u32,
    allowed: u64,
}

impl AddressSpace {
    /// Looks at the limit, for so many slots and warm instances.
    pub(in crate::plugins) fn of(wanted: u32) -> Self {
        match getrlimit(Resource::As).current {
            None => Self { wanted, fits: wanted, allowed: u64::MAX },
            Some(allowed) => Self::within(wanted, allowed, used()),
        }
    }

    fn within(wanted: u32, allowed: u64, used: u64) -> Self {
        let fits = allowed.saturating_sub(used).saturating_sub(REST) / PER_SLOT;
        Self { wanted, fits: u32::try_from(fits).unwrap_or(u32::MAX).min(wanted), allowed }
    }

    /// The slots that fit.
    pub(in crate::plugins) fn fits(self) -> u32 {
        self.fits
    }

    /// True if not all fit.
    pub fn is_short(self) -> bool {
        self.fits < self.wanted
    }

    /// True if no call can run.
    pub fn is_too_small(self) -> bool {
        self.fits == 0
    }
}

/// The sentence for whoever runs the server. It says what is missing if something is.
impl fmt::Display for AddressSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, fits, allowed } = *self;
        let gib = |bytes: u64| bytes.div_ceil(1 << 30);
        let needed = gib(PER_SLOT * u64::from(wanted) + REST);
        if !self.is_short() {
            return write!(f, "room for {wanted} calls at once");
        }
        write!(
            f,
            "{wanted} calls at once (`pool.slots` and `pool.warm`) need {needed} GiB of address space, and {} GiB are allowed (`ulimit -v`, `LimitAS`), enough for {fits}: ",
            allowed >> 30
        )?;
        match fits {
            0 => write!(f, "lift that limit; to limit memory, use `MemoryMax` of the service"),
            _ => write!(f, "lift that limit, or lower `pool.slots`"),
        }
    }
}

/// Address space that this process has by now; 0 where the system does not tell.
fn used() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_space_has_room_for_fewer_calls_and_says_so() {
        let of = |gib: u64| AddressSpace::within(256, gib << 30, 1 << 30);
        assert_eq!(of(4).fits(), 0);
        assert!(of(4).is_too_small() && of(4).to_string().contains("need 2154 GiB of address space, and 4 GiB are"));
        assert_eq!(of(64).fits(), 7);
        assert!(of(64).is_short() && !of(64).is_too_small());
        assert!(of(64).to_string().ends_with("lower `pool.slots`"), "{}", of(64));
        assert!(!of(4096).is_short());
    }
}
