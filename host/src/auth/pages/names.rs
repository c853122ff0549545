//! Names that strangers give themselves.

use crate::sanitize::clean;

/// The longest name that is shown.
const MAX_NAME_CHARS: usize = 100;

/// A name fit to be shown: on one line, without what is invisible, and not too long.
pub(in crate::auth) fn clean_name(raw: &str) -> String {
    let name = clean(raw).split_whitespace().collect::<Vec<_>>().join(" ");
    if name.chars().count() <= MAX_NAME_CHARS {
        return name;
    }
    let mut name: String = name.chars().take(MAX_NAME_CHARS - 1).collect();
    name.push('…');
    name
}

/// True for a name of Latin letters and letters that can pass for them (Unicode TS 39 §5.1): `Сursor` with a Cyrillic
/// С is a way to seem somebody else.
///
/// An honest name in two alphabets is found too; and one that is written in look-alikes throughout is not.
pub(super) fn mixes_scripts(name: &str) -> bool {
    name.chars().any(is_latin) && name.chars().any(is_look_alike)
}

fn is_latin(char: char) -> bool {
    char.is_ascii_alphabetic() || matches!(char, '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}') && char.is_alphabetic()
}

fn is_look_alike(char: char) -> bool {
    matches!(char,
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}'                                  // Greek
        | '\u{400}'..='\u{52f}' | '\u{1c80}'..='\u{1c8f}' | '\u{2de0}'..='\u{2dff}' | '\u{a640}'..='\u{a69f}' // Cyrillic
        | '\u{530}'..='\u{58f}'                                                          // Armenian
        | '\u{13a0}'..='\u{13ff}' | '\u{ab70}'..='\u{abbf}'                              // Cherokee
        | '\u{2c80}'..='\u{2cff}' | '\u{a4d0}'..='\u{a4ff}'                              // Coptic, Lisu
        | '\u{2100}'..='\u{214f}' | '\u{ff21}'..='\u{ff5a}' | '\u{1d400}'..='\u{1d7ff}'  // letters as symbols
    ) && char.is_alphabetic()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_visible_line() {
        let check = |raw: &str, expected: &str| assert_eq!(clean_name(raw), expected);
        check("Cursor", "Cursor");
        check("  Claude\n\n Code\t ", "Claude Code");
        check("Cur\u{200b}sor\u{202e}\0", "Cursor");
        check("\u{2066}\u{e0041}\u{feff}", "");
        check("日本語 クライアント", "日本語 クライアント");
        check(&"é".repeat(100), &"é".repeat(100));
        check(&"é".repeat(101), &format!("{}…", "é".repeat(99)));
    }

    #[test]
    fn look_alikes_among_latin_letters_are_noticed() {
        let check = |name: &str, expected: bool| assert_eq!(mixes_scripts(name), expected, "{name}");
        check("Cursor", false);
        check("Ünïcødé Café 2", false);
        check("Клиент", false);
        check("日本語 client", false);
        check("Сursor", true);
        check("Claudе Code", true);
        check("Αpple", true);
        check("Ｃursor", true);
        check("VS 𝐂ode", true);
    }
}
