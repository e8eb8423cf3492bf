//! As much of TOML as this workspace's manifests use: tables, `key = value`, values over several lines.

/// A table of a manifest: `[dependencies]` and what stands under it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) entries: Vec<Entry>,
}

/// `key = value`, the value as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: String,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// A dependency, wherever the manifest names it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The name in the manifest.
    pub(crate) name: String,
    /// The package behind it: the name, or what `package = "…"` says.
    pub(crate) package: String,
    pub(crate) line: usize,
    /// Only for tests and examples.
    pub(crate) dev: bool,
    /// Taken from `[workspace.dependencies]`.
    pub(crate) inherited: bool,
}

pub(crate) fn tables(text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let mut open = 0_i32;
    for (index, raw) in text.lines().enumerate() {
        let line = index + 1;
        let code = without_comment(raw).trim();
        if code.is_empty() {
            continue;
        }
        if open > 0 {
            if let Some(entry) = tables.last_mut().and_then(|table| table.entries.last_mut()) {
                entry.value.push('\n');
                entry.value.push_str(raw.trim_end());
            }
            open += balance(code);
        } else if let Some(name) = code.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let name = name.trim_matches(|c| c == '[' || c == ']').trim().to_owned();
            tables.push(Table { name, line, entries: Vec::new() });
        } else if let (Some((key, value)), Some(table)) = (code.split_once('='), tables.last_mut())
        {
            let key = key.trim().to_owned();
            let value = value.trim().to_owned();
            open = balance(&value);
            table.entries.push(Entry { key, value, line });
        }
    }
    tables
}

/// Everything a package depends on, for building and for testing.
pub(crate) fn dependencies(text: &str) -> Vec<Dependency> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let mut found = Vec::new();
    for table in tables(text) {
        // `[dependencies]`, `[target.'cfg(unix)'.dependencies]`, or one of its own: `[dependencies.x]`.
        let (parent, last) = table.name.rsplit_once('.').unwrap_or(("", &table.name));
        let parent = parent.rsplit_once('.').map_or(parent, |(_, kind)| kind);
        if KINDS.contains(&last) && table.name != "workspace.dependencies" {
            for entry in &table.entries {
                let (name, rest) = entry.key.split_once('.').unwrap_or((&entry.key, ""));
                let value = &entry.value;
                let package = field(value, "package").unwrap_or_else(|| name.to_owned());
                let inherited =
                    rest == "workspace" || value.replace(' ', "").contains("workspace=true");
                let dev = last == "dev-dependencies";
                found.push(Dependency {
                    name: unquoted(name),
                    package,
                    line: entry.line,
                    dev,
                    inherited,
                });
            }
        } else if KINDS.contains(&parent) && !table.name.starts_with("workspace.") {
            let value =
                |key: &str| table.entries.iter().find(|entry| entry.key == key).map(|e| &e.value);
            found.push(Dependency {
                name: unquoted(last),
                package: value("package").map_or_else(|| unquoted(last), |name| unquoted(name)),
                line: table.line,
                dev: parent == "dev-dependencies",
                inherited: value("workspace").is_some(),
            });
        }
    }
    found
}

/// `field("{ package = \"yaml_serde\" }", "package")` is `yaml_serde`.
pub(crate) fn field(value: &str, key: &str) -> Option<String> {
    let (_, rest) = value.split_once(key)?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?;
    rest.split_once('"').map(|(text, _)| text.to_owned())
}

/// The quoted strings of a value: the members of a list.
pub(crate) fn strings(value: &str) -> Vec<String> {
    value.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn unquoted(text: &str) -> String {
    text.trim_matches('"').to_owned()
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (index, byte) in line.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'#' if !quoted => return &line[..index],
            _ => {}
        }
    }
    line
}

fn balance(code: &str) -> i32 {
    let outside: String = code.split('"').step_by(2).collect();
    outside.chars().fold(0, |open, c| match c {
        '[' | '{' => open + 1,
        ']' | '}' => open - 1,
        _ => open,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_span_lines_and_comments_are_not_values() {
        let tables = tables(
            "# top\n[workspace]\nmembers = [\n  \"a\", # one\n  \"b#c\",\n]\nx = 1\n\n[a.b] # c\n",
        );
        assert_eq!(tables.len(), 2);
        assert_eq!(strings(&tables[0].entries[0].value), ["a", "b#c"]);
        assert_eq!((tables[0].entries[1].key.as_str(), tables[0].entries[1].line), ("x", 7));
        assert_eq!((tables[1].name.as_str(), tables[1].line), ("a.b", 9));
    }

    #[test]
    fn every_spelling_of_a_dependency_is_seen() {
        let found = dependencies(
            "[package]\nname = \"p\"\n[dependencies]\na.workspace = true\nb = { workspace = true, optional = true }\n\
             c = { package = \"real\", version = \"1\" }\n[dev-dependencies]\nd = \"1\"\n[dependencies.e]\nversion = \"1\"\n\
             [target.'cfg(unix)'.dependencies]\nf = \"1\"\n[workspace.dependencies]\ng = \"1\"\n[lints]\nworkspace = true\n",
        );
        let shown: Vec<String> = found
            .iter()
            .map(|d| {
                format!(
                    "{}{}{}{}",
                    d.name,
                    if d.dev { "?" } else { "" },
                    if d.inherited { "^" } else { "" },
                    d.line
                )
            })
            .collect();
        assert_eq!(shown, ["a^4", "b^5", "c6", "d?8", "e9", "f12"]);
        assert_eq!(found[2].package, "real");
    }
}
