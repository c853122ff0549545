//! The walls of `docs/architecture.md`: the names that a module may use. Modules that import each other in a circle are a knot
//! that nobody can read from one end.
//!
//! It reads sources as text, without comments, strings and tests, and takes every path that begins with `crate`, `self` or
//! `super` for an import.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module by its path, such as `mcp::session::id`, and its code.
type Modules = BTreeMap<String, String>;

fn sources() -> Modules {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src");
    let mut modules = Modules::new();
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&root).unwrap().with_extension("");
            let name: Vec<&str> = name.iter().map(|part| part.to_str().unwrap()).collect();
            if !name.contains(&"tests") && name != ["lib"] && name != ["main"] {
                modules.insert(name.join("::"), code(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(modules.len() > 200, "{}", modules.len());
    modules
}

/// The code of a file: no comments, no texts, no tests.
fn code(text: &str) -> String {
    without_tests(&without_texts(text))
}

fn without_texts(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if char == '"' {
            string(rest)
        } else if char == '\'' {
            character(rest)
        } else {
            0
        };
        if skipped == 0 {
            code.push(char);
            rest = &rest[char.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[skipped..];
        }
    }
    code
}

fn string(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|(_, char)| {
        let ends = *char == '"' && !is_escaped;
        is_escaped = *char == '\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// The length of `r"…"` or `r#"…"#`, if there is one here.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then(|| {
        let end = format!("\"{}", "#".repeat(hashes));
        let begin = text.len() - after.len() + hashes + 1;
        text[begin..].find(&end).map_or(text.len(), |at| begin + at + end.len())
    })
}

/// The length of a character, and 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => text[2..].find('\'').map_or(0, |at| if at == 0 { 4 } else { at + 3 }),
        Some(_) => chars.next().filter(|(_, char)| *char == '\'').map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}

/// Leaves out all that stands under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(['{', ';']).unwrap_or(rest.len());
        if rest[end..].starts_with(';') {
            rest = &rest[end..];
            continue;
        }
        let mut depth = 0_usize;
        let close = rest.char_indices().skip(end).find(|(_, char)| {
            match char {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        rest = close.map_or("", |(at, _)| &rest[at + 1..]);
    }
    kept + rest
}

/// Every path of a module that begins with one of these, brackets of `use` taken apart.
fn paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let code = code.replace("pub(in ", "pub(");
    let is_name = |char: char| char.is_alphanumeric() || char == '_';
    for root in ["crate::", "self::", "super::"] {
        for (at, _) in code.match_indices(root) {
            if !code[..at].ends_with(|char| is_name(char) || char == ':' || char == '(' && code[..at].ends_with("pub("))
            {
                spread("", &code[at..], &mut paths);
            }
        }
    }
    paths
}

/// Takes `a::{b, c::{d}}` apart.
fn spread(before: &str, text: &str, paths: &mut Vec<String>) {
    let end = text.find(|char: char| !(char.is_alphanumeric() || "_:".contains(char))).unwrap_or(text.len());
    let path = format!("{before}{}", &text[..end]);
    if !(path.ends_with("::") && text[end..].starts_with('{')) {
        paths.push(path);
        return;
    }
    let (mut depth, mut begin) = (0_usize, end + 1);
    for (at, char) in text.char_indices().skip(end) {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (char == ',' && depth == 1) || depth == 0 {
            spread(&path, text[begin..at].trim(), paths);
            begin = at + 1;
        }
        if depth == 0 {
            return;
        }
    }
}

/// The module that a path leads into; none for what is elsewhere.
fn target(modules: &Modules, from: &str, path: &str) -> Option<String> {
    let mut base: Vec<&str> = Vec::new();
    let mut parts = path.split("::").filter(|part| !part.is_empty()).peekable();
    match parts.next()? {
        "crate" => {}
        "self" => base.extend(from.split("::")),
        _ => {
            base.extend(from.split("::"));
            base.pop();
            while parts.next_if_eq(&"super").is_some() {
                base.pop();
            }
        }
    }
    base.extend(parts);
    while !base.is_empty() {
        let name = base.join("::");
        if modules.contains_key(&name) {
            return Some(name);
        }
        base.pop();
    }
    None
}

fn imports(modules: &Modules) -> BTreeMap<&str, BTreeSet<String>> {
    let of = |name: &str, code: &str| {
        let targets = paths(code).into_iter().filter_map(|path| target(modules, name, &path));
        targets.filter(|target| target != name).collect()
    };
    modules.iter().map(|(name, code)| (name.as_str(), of(name, code))).collect()
}

/// The modules that can be reached from a module.
fn reached<'m>(imports: &'m BTreeMap<&str, BTreeSet<String>>, from: &str) -> BTreeSet<&'m str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = imports[from].iter().map(String::as_str).collect();
    while let Some(module) = next.pop() {
        if reached.insert(module) {
            next.extend(imports[module].iter().map(String::as_str));
        }
    }
    reached
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let modules = sources();
    let imports = imports(&modules);
    let mut knots: BTreeSet<Vec<&str>> = BTreeSet::new();
    for module in imports.keys() {
        let from_here = reached(&imports, module);
        if from_here.contains(module) {
            knots.insert(from_here.into_iter().filter(|other| reached(&imports, other).contains(module)).collect());
        }
    }
    assert!(knots.is_empty(), "these import each other: {knots:#?}");
}

#[test]
fn only_their_own_rooms_name_these() {
    let modules = sources();
    let walls: [(&[&str], &[&str]); 10] = [
        (&["rmcp::"], &["mcp"]),
        (&["wasmtime::", "wasmtime_wasi::", "wasmtime_wasi_http::"], &["plugins"]),
        (&["rusqlite::"], &["store", "kv"]),
        (&[" ::redis::", "(::redis::", "&::redis::", "<::redis::"], &["redis"]),
        (&["env::var", "env::set_var", "env::remove_var"], &["config"]),
        (&["reqwest::"], &["fetch"]),
        (&["oauth2::"], &["auth::upstream"]),
        (&[".route("], &["http"]),
        (&["prometheus::"], &["metrics"]),
        (&["opentelemetry_otlp::"], &["telemetry"]),
    ];
    let mut broken = Vec::new();
    for (words, rooms) in walls {
        let is_in = |module: &str, room: &&str| module == *room || module.starts_with(&format!("{room}::"));
        for (module, code) in &modules {
            let is_inside = rooms.iter().any(|room| is_in(module, room));
            let named = words.iter().find(|word| {
                let is_name = |char: char| char.is_alphanumeric() || char == '_';
                code.match_indices(**word).any(|(at, _)| word.starts_with('.') || !code[..at].ends_with(is_name))
            });
            if let Some(word) = named.filter(|_| !is_inside) {
                broken.push(format!("`{module}` names `{word}`, which is for {rooms:?} alone"));
            }
        }
        for room in rooms {
            let mut inside = modules.iter().filter(|(module, _)| is_in(module, room));
            assert!(
                inside.any(|(_, code)| words.iter().any(|word| code.contains(word))),
                "`{room}` does not name {words:?} any more"
            );
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn rooms_that_know_nothing_of_each_other() {
    let modules = sources();
    let imports = imports(&modules);
    let is_in = |module: &str, room: &str| module == room || module.starts_with(&format!("{room}::"));
    let mut broken = Vec::new();
    for (room, other) in [
        ("auth", "http"),
        ("auth", "plugins"),
        ("auth", "mcp"),
        ("plugins", "auth"),
        ("plugins", "http"),
        ("plugins", "mcp"),
        ("http::page", "store"),
        ("http::page", "kv"),
        ("http::approval", "plugins::registry"),
        ("http::approval", "store"),
        ("config", "auth"),
        ("config", "plugins"),
        ("store", "auth"),
        ("fetch", "auth"),
        ("grants", "config"),
        ("grants", "fetch"),
        ("grants", "plugins"),
        ("kv", "config"),
        ("kv", "grants"),
        ("kv", "mcp"),
        ("kv", "plugins"),
        ("kv", "store"),
        ("redis", "auth"),
        ("redis", "kv"),
        ("redis", "mcp"),
        ("redis", "plugins"),
        ("redis", "records"),
        ("redis", "replicas"),
        ("redis", "store"),
        ("replicas", "auth"),
        ("replicas", "mcp"),
        ("replicas", "plugins"),
        ("replicas", "store"),
        ("records", "kv"),
        ("records", "replicas"),
        ("records", "store"),
        ("mcp::shelf", "mcp::elsewhere"),
        ("mcp::shelf", "mcp::session"),
        ("mcp::shelf", "mcp::tasks"),
        ("mcp::shelf", "plugins"),
        ("grants", "egress"),
        ("egress", "plugins"),
        ("egress", "config"),
        ("audit", "auth"),
        ("audit", "config"),
        ("audit", "http"),
        ("audit", "mcp"),
        ("audit", "plugins"),
        ("metrics", "audit"),
        ("metrics", "auth"),
        ("metrics", "config"),
        ("metrics", "http"),
        ("metrics", "mcp"),
        ("metrics", "plugins"),
        ("traces", "http"),
        ("traces", "plugins"),
        ("oci", "config"),
        ("oci", "http"),
        ("oci", "mcp"),
        ("oci", "plugins"),
        ("oci", "state"),
        ("plugins", "oci"),
        ("plugins", "supply"),
        ("plugins::approval", "plugins::registry"),
        ("plugins::rates", "plugins::registry"),
        ("plugins::approval", "plugins::sandbox"),
    ] {
        for (module, targets) in imports.iter().filter(|(module, _)| is_in(module, room)) {
            broken.extend(
                targets.iter().filter(|target| is_in(target, other)).map(|target| format!("{module} -> {target}")),
            );
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn grants_are_decided_without_looking_anything_up() {
    let modules = sources();
    let grants = modules.iter().filter(|(module, _)| *module == "grants" || module.starts_with("grants::"));
    let mut count = 0;
    for (module, code) in grants {
        count += 1;
        for word in [
            "tokio::net",
            "tokio::fs",
            "tokio::time",
            "std::fs",
            "TcpStream",
            "UdpSocket",
            "to_socket_addrs",
            "lookup_host",
            "Instant",
            "SystemTime",
        ] {
            assert!(!code.contains(word), "`{module}` names `{word}`");
        }
    }
    assert!(count > 10, "{count} modules");
}

#[test]
fn sources_are_read_as_they_are_meant() {
    let text = r##"
        use crate::a::{self, b::C, d::{E, F}};
        pub(in crate::never) fn f<'a>(x: &'a str) -> super::g::H { "crate::never" /* crate::never */ }
        // crate::never
        const X: (char, &str) = ('{', r#"crate::never"#);
        #[cfg(test)]
        mod tests { use crate::never; }
        const Y: char = '\'';
        fn after() { self::last() }
    "##;
    let mut found = paths(&code(text));
    found.sort();
    let expected =
        ["crate::a::b::C", "crate::a::d::E", "crate::a::d::F", "crate::a::self", "self::last", "super::g::H"];
    assert_eq!(found, expected);
}
