//! Lines merged into a configuration that a person has written: their comments, order and spacing stay.

use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use crate::config::names::snake;

/// The byte order mark.
const MARK: &str = "\u{feff}";

/// Adds the keys of `[plugin.NAME]` in `lines` to that table in `text`. What is there already stays as it is: entries are
/// added to lists and tables, and none is replaced. A text of which every line ends with CR LF keeps to that.
///
/// # Errors
/// The text is no TOML, or has another type where something would have to be added.
pub(in crate::cli) fn merge(text: &str, plugin: &str, lines: &str) -> Result<String, String> {
    let (mut document, lines) = (parse(text)?, parse(lines)?);
    let given = lines.get("plugin").and_then(|plugins| plugins.get(plugin)).and_then(Item::as_table_like);
    let given = given.ok_or("the lines have no table of the plugin")?;
    let table = table_of(&mut document, plugin)?;
    for (key, item) in given.iter() {
        let wrong = || format!("`{key}` of `[plugin.{plugin}]` has another form than could be added to");
        match (item.as_array(), item.as_table_like()) {
            (Some(entries), _) => add_entries(table, key, entries).ok_or_else(wrong)?,
            (None, Some(values)) => add_values(table, key, values).ok_or_else(wrong)?,
            (None, None) => return Err(wrong()),
        }
    }
    Ok(written(text, &document))
}

/// Sets one text of `[plugin.NAME]`, which stays as it is where it is the same already.
///
/// # Errors
/// As for [`merge`].
pub(in crate::cli) fn with_text(text: &str, plugin: &str, key: &str, value: &str) -> Result<String, String> {
    let mut document = parse(text)?;
    let table = table_of(&mut document, plugin)?;
    if table.get(key).and_then(Item::as_str) != Some(value) {
        table.insert(key, toml_edit::value(value));
    }
    Ok(written(text, &document))
}

fn parse(text: &str) -> Result<DocumentMut, String> {
    text.parse().map_err(|error| format!("not valid TOML: {error}"))
}

/// The text of a document that was made of `text`.
fn written(text: &str, document: &DocumentMut) -> String {
    // The mark at the beginning that some editors write is no part of the document.
    let mark = if text.starts_with(MARK) { MARK } else { "" };
    let merged = format!("{mark}{}", document.to_string().trim_start_matches(MARK));
    let breaks = text.matches('\n').count();
    let is_crlf = breaks > 0 && text.matches("\r\n").count() == breaks;
    if is_crlf { merged.replace("\r\n", "\n").replace('\n', "\r\n") } else { merged }
}

/// The table of the plugin, under whatever spelling of its name it is written.
fn table_of<'d>(document: &'d mut DocumentMut, plugin: &str) -> Result<&'d mut dyn TableLike, String> {
    let is_inline = document.get("plugin").is_some_and(Item::is_inline_table);
    let named = |plugins: &dyn TableLike| {
        plugins.iter().map(|(name, _)| name).find(|name| snake(name) == snake(plugin)).map(str::to_owned)
    };
    let known = document.get("plugin").and_then(Item::as_table_like).and_then(named);
    // What ends the file stays before a new table, which ends it then.
    let mut ending = String::new();
    if known.is_none() && !is_inline {
        ending = document.trailing().as_str().unwrap_or_default().trim_end().to_owned();
        document.set_trailing("");
    }
    let implicit = || {
        let mut plugins = Table::new();
        plugins.set_implicit(true);
        Item::Table(plugins)
    };
    let plugins = document.entry("plugin").or_insert_with(implicit);
    let plugins = plugins.as_table_like_mut().ok_or("`plugin` is no table")?;
    let spelling = known.unwrap_or_else(|| plugin.to_owned());
    let new = || {
        let mut table = Table::new();
        if !ending.is_empty() {
            table.decor_mut().set_prefix(format!("{ending}\n\n"));
        }
        Item::Table(table)
    };
    let empty = if is_inline { Item::Value(InlineTable::new().into()) } else { new() };
    let table = plugins.entry(&spelling).or_insert(empty);
    table.as_table_like_mut().ok_or_else(|| format!("`plugin.{spelling}` is no table"))
}

/// Adds entries to a list, which may have them as tables with more to say.
fn add_entries(table: &mut dyn TableLike, key: &str, entries: &Array) -> Option<()> {
    let there = table.entry(key).or_insert_with(|| Item::Value(Array::new().into()));
    let to = |value: &Value| {
        let text = value.as_inline_table().map_or(value.as_str(), |table| table.get("to")?.as_str());
        text.map(str::to_owned)
    };
    // `[[plugin.NAME.http]]`
    if let Some(tables) = there.as_array_of_tables_mut() {
        for entry in entries {
            let entry = to(entry)?;
            if tables.iter().all(|known| known.get("to").and_then(Item::as_str) != Some(&entry)) {
                let mut table = Table::new();
                table.insert("to", toml_edit::value(entry));
                tables.push(table);
            }
        }
        return Some(());
    }
    let there = there.as_array_mut()?;
    for entry in entries {
        if there.iter().all(|known| to(known) != to(entry)) {
            there.push(to(entry)?);
        }
    }
    Some(())
}

/// Adds values to a table, but for those that it has.
fn add_values(table: &mut dyn TableLike, key: &str, values: &dyn TableLike) -> Option<()> {
    let there = table.entry(key).or_insert_with(|| Item::Value(InlineTable::new().into()));
    for (name, value) in values.iter().filter_map(|(name, value)| Some((name, value.as_value()?))) {
        if there.as_table_like()?.contains_key(name) {
            continue;
        }
        // The space before the brace goes behind what is last.
        if let Some((_, last)) = there.as_inline_table_mut().and_then(|table| table.iter_mut().last())
            && last.decor().suffix().is_some_and(|suffix| suffix.as_str() == Some(" "))
        {
            last.decor_mut().set_suffix("");
        }
        let mut value = value.clone();
        value.decor_mut().clear();
        there.as_table_like_mut()?.insert(name, Item::Value(value));
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "[plugin.my_tool]\nhttp = [\"https://a.example\"]\n\n[plugin.my_tool.kv]\nquota = \"1MiB\"\n\n[plugin.my_tool.secrets]\nKEY = \"${MY_TOOL_KEY}\"\n";

    fn check(text: &str, expected: &str) {
        let merged = merge(text, "my_tool", LINES).unwrap();
        assert_eq!(merged, expected);
        assert_eq!(merge(&merged, "my_tool", LINES).unwrap(), merged, "a second time adds nothing");
        // Only what the lines say is new.
        let plain: toml::Table = merged.parse().unwrap();
        let table = plain["plugin"].as_table().unwrap().values().find(|table| table.get("http").is_some()).unwrap();
        assert_eq!(table["secrets"]["KEY"].as_str(), Some("${MY_TOOL_KEY}"));
    }

    #[test]
    fn a_table_that_is_not_there_is_made() {
        let made = "[plugin.my_tool]\nhttp = [\"https://a.example\"]\nkv = { quota = \"1MiB\" }\nsecrets = { KEY = \"${MY_TOOL_KEY}\" }\n";
        check("", made);
        check(
            "# mine\n[server]\nbody = \"1MiB\" # so much\n",
            &format!("# mine\n[server]\nbody = \"1MiB\" # so much\n\n{made}"),
        );
    }

    #[test]
    fn a_text_is_set_in_the_table_that_is_there() {
        let set = |text: &str| with_text(text, "my-tool", "from", "oci://a.example/b:1").unwrap();
        assert_eq!(set("# mine\n"), "# mine\n\n[plugin.my-tool]\nfrom = \"oci://a.example/b:1\"\n");
        let there = set("[plugin.my_tool] # this\nkv = {}\nfrom = \"oci://a.example/b:0\"\n");
        assert_eq!(there, "[plugin.my_tool] # this\nkv = {}\nfrom = \"oci://a.example/b:1\"\n");
        assert_eq!(set(&there), there);
    }

    #[test]
    fn the_ends_of_lines_stay() {
        let text = "# mine\r\n[server]\r\nbody = \"1MiB\"\r\n";
        let merged = merge(text, "my_tool", LINES).unwrap();
        assert!(merged.starts_with(text) && merged.ends_with("}\r\n"), "{merged:?}");
        assert_eq!(merged.matches('\n').count(), merged.matches("\r\n").count(), "{merged:?}");
        assert_eq!(merge(&merged, "my_tool", LINES).unwrap(), merged);
    }

    #[test]
    fn comments_order_and_other_spellings_stay() {
        let text = "# first\n[plugin.my-tool] # this one\n# hosts\nhttp = [\n  # the other\n  \"https://b.example\",\n]\nsecrets = { OTHER = \"x\" } # mine\n\n[log]\nlevel = \"info\"\n# last\n";
        let merged = merge(text, "my_tool", LINES).unwrap();
        for kept in ["# first\n", "[plugin.my-tool] # this one\n# hosts\n", "  # the other\n", "# mine\n", "# last\n"] {
            assert!(merged.contains(kept), "{merged}");
        }
        assert!(merged.contains("OTHER = \"x\", KEY = \"${MY_TOOL_KEY}\""), "{merged}");
        assert!(!merged.contains("[plugin.my_tool"), "{merged}");
        let hosts: toml::Table = merged.parse().unwrap();
        let hosts = hosts["plugin"]["my-tool"]["http"].as_array().unwrap();
        assert_eq!(hosts.len(), 2);
        assert_eq!(merge(&merged, "my_tool", LINES).unwrap(), merged);
    }

    #[test]
    fn a_new_table_comes_behind_the_last_words() {
        let merged = merge("\u{feff}[log]\nlevel = \"info\"\n# last\n", "my_tool", LINES).unwrap();
        let begin = "\u{feff}[log]\nlevel = \"info\"\n# last\n\n[plugin.my_tool]\nhttp = [";
        assert!(merged.starts_with(begin), "{merged:?}");
    }

    #[test]
    fn tables_in_lists_are_added_to() {
        let text = "[[plugin.my_tool.http]]\nto = \"https://b.example\" # the other\n\n[log]\nlevel = \"info\"\n";
        let merged = merge(text, "my_tool", LINES).unwrap();
        let hosts: toml::Table = merged.parse().unwrap();
        let hosts = hosts["plugin"]["my_tool"]["http"].as_array().unwrap();
        let hosts: Vec<&str> = hosts.iter().filter_map(|host| host["to"].as_str()).collect();
        assert_eq!(hosts, ["https://b.example", "https://a.example"], "{merged}");
        assert!(merged.contains("# the other"), "{merged}");
        assert_eq!(merge(&merged, "my_tool", LINES).unwrap(), merged);
    }

    #[test]
    fn what_is_there_is_not_replaced() {
        let text = "[plugin.my_tool]\nhttp = [{ to = \"https://a.example\", methods = [\"GET\"] }]\nkv = { quota = \"2MiB\", per = \"person\" }\n[plugin.my_tool.secrets]\nKEY = \"mine\"\n";
        assert_eq!(merge(text, "my_tool", LINES).unwrap(), text);
    }

    #[test]
    fn inline_tables_are_added_to() {
        let merged = merge("plugin = { my_tool = { kv = {} } }\n", "my_tool", LINES).unwrap();
        let table: toml::Table = merged.parse().unwrap();
        assert_eq!(table["plugin"]["my_tool"]["http"][0].as_str(), Some("https://a.example"));
        assert_eq!(table["plugin"]["my_tool"]["kv"]["quota"].as_str(), Some("1MiB"));
    }

    #[test]
    fn what_cannot_be_added_to_is_said() {
        let refused = |text: &str| merge(text, "my_tool", LINES).unwrap_err();
        assert_eq!(refused("plugin = 1"), "`plugin` is no table");
        assert_eq!(refused("[plugin]\nmy_tool = 1"), "`plugin.my_tool` is no table");
        assert!(refused("[plugin.my_tool]\nhttp = 1").starts_with("`http` of `[plugin.my_tool]`"));
        assert!(refused("[plugin.my_tool]\nsecrets = 1").starts_with("`secrets` of"));
        assert!(refused("= 1").starts_with("not valid TOML"));
    }
}
