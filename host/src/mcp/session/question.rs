//! Ids of questions to a client that several servers ask: each has numbers of its own, of which the first part is a random
//! one. So no two servers ask by the same id, and each knows its own.
//!
//! They are whole numbers up to 2^53, which every client keeps as they are.

use rmcp::model::RequestId;

/// Bits for the number of a question.
const NUMBER_BITS: u32 = 20;

/// The id for the client of a question that rmcp counts by this number.
pub(super) fn id(instance: u32, number: u64) -> u64 {
    (u64::from(instance) << NUMBER_BITS) | (number & ((1 << NUMBER_BITS) - 1))
}

/// The session's instance, and rmcp's number; none for an id that no server has given.
pub(super) fn parts(id: u64) -> Option<(u32, u64)> {
    let instance = u32::try_from(id >> NUMBER_BITS).ok().filter(|instance| *instance > 0)?;
    Some((instance, id & ((1 << NUMBER_BITS) - 1)))
}

/// The number of an id. Some clients send a number back as a text.
pub(super) fn number(id: &RequestId) -> Option<u64> {
    match id {
        RequestId::Number(number) => u64::try_from(*number).ok(),
        RequestId::String(text) => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_one_server_and_whole_numbers_of_javascript() {
        for instance in [1, 77, u32::MAX] {
            for asked in [0, 1, 1_000_000] {
                let id = id(instance, asked);
                assert!(id < 1 << 53);
                assert_eq!(parts(id), Some((instance, asked)));
            }
        }
        assert_eq!([0, 1, (1 << 20) - 1, u64::MAX].map(parts), [None; 4]);
        assert_eq!(number(&RequestId::String("17".into())), Some(17));
        assert_eq!(number(&RequestId::Number(-1)), None);
    }
}
