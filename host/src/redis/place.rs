//! Places: the part of a key by which a cluster finds its server. What is changed in one step has one place.

/// The number of places. A cluster spreads them over its servers; their share of the keys is equal.
pub(crate) const PLACES: usize = 256;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place(pub(crate) u8);

impl Place {
    /// All of them, in order.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self)
    }

    /// A key at this place: in braces is what a cluster goes by ("hash tag").
    pub(super) fn key(self, prefix: &str, kind: &str, id: &[u8]) -> Vec<u8> {
        let mut key = format!("{prefix}:{{{:02x}}}:{kind}", self.0).into_bytes();
        if !id.is_empty() {
            key.push(b':');
            key.extend_from_slice(id);
        }
        key
    }
}
