//! Amounts, in all and by address.

use std::collections::HashMap;
use std::net::IpAddr;

/// Amounts that count against addresses. An address with nothing takes no room.
#[derive(Default)]
pub(super) struct Tally {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Tally {
    pub(super) fn total(&self) -> usize {
        self.total
    }

    pub(super) fn of(&self, address: IpAddr) -> usize {
        self.by_address.get(&address).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, address: IpAddr, amount: usize) {
        self.total += amount;
        *self.by_address.entry(address).or_default() += amount;
    }

    pub(super) fn subtract(&mut self, address: IpAddr, amount: usize) {
        self.total -= amount;
        if let Some(of_address) = self.by_address.get_mut(&address) {
            *of_address -= amount;
            if *of_address == 0 {
                self.by_address.remove(&address);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn addresses(&self) -> usize {
        self.by_address.len()
    }
}
