//! User codes: short enough to be typed, with the letters of RFC 8628 §6.1, which form no words.

/// Consonants without those that look like others.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// Letters of a code: 34 bits, of which nobody gets more than a few tries.
const LENGTH: usize = 8;

/// A code as it is compared: letters alone.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct UserCode(String);

impl UserCode {
    pub(super) fn new() -> Self {
        let letter = |()| char::from(LETTERS[usize::from(rand::random_range(0..20_u8))]);
        Self([(); LENGTH].into_iter().map(letter).collect())
    }

    /// Reads what a person has typed: the case does not matter, nor does anything between the letters.
    pub(super) fn read(typed: &str) -> Option<Self> {
        let letters: String = typed
            .chars()
            .filter(|char| !char.is_whitespace() && !matches!(char, '-' | '–' | '—' | '.' | '_'))
            .map(|char| char.to_ascii_uppercase())
            .take(LENGTH + 1)
            .collect();
        let is_code = letters.len() == LENGTH && letters.bytes().all(|byte| LETTERS.contains(&byte));
        is_code.then_some(Self(letters))
    }

    pub(super) fn letters(&self) -> &str {
        &self.0
    }

    /// The code as it is shown: `WDJB-MJHT`.
    pub(super) fn shown(&self) -> String {
        let (first, second) = self.0.split_at(LENGTH / 2);
        format!("{first}-{second}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = UserCode::new();
        assert_eq!(code.shown().len(), 9);
        let shown = code.shown();
        for typed in
            [shown.clone(), shown.to_lowercase(), shown.replace('-', ""), format!(" {} ", shown.replace('-', " – "))]
        {
            assert!(UserCode::read(&typed) == Some(code.clone()), "{typed}");
        }
        for typed in
            ["", "WDJB", "WDJB-MJHTX", "WDJB-MJHA", "WDJB-MJH1", "ẄDJB-MJHT", "WDJB/MJHT", &"W".repeat(100_000)]
        {
            assert!(UserCode::read(typed).is_none(), "{typed}");
        }
        assert!(UserCode::new() != UserCode::new());
    }
}
