//! The refusal of a body for which there is no room at the moment.

/// Strangers hold too much already. The body is dropped, and later there may be room.
#[derive(Debug, thiserror::Error)]
#[error("too much is being sent by those who have not logged in: try again in a moment")]
pub(crate) struct Overload;

impl Overload {
    /// Tells whether an error is this one, or was caused by it.
    pub(crate) fn is_cause_of(error: &(dyn std::error::Error + 'static)) -> bool {
        std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<Self>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_in_what_it_is_wrapped_in() {
        assert!(Overload::is_cause_of(&axum::Error::new(Overload)));
        assert!(!Overload::is_cause_of(&std::io::Error::other("full")));
    }
}
