//! One file of rules: read, checked and compiled.

use globset::{GlobMatcher, GlobSet};
use regex::{Regex, RegexSet};
use serde::Deserialize;

use super::paths::{self, ResolvedPath};
use super::rules::{RuleRef, RulesError};

/// One file.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) rules: Vec<Rule>,
    /// For each rule, what it must match and must not.
    pub(super) examples: Vec<Vec<(String, bool)>>,
    /// The patterns of what is denied, then all others, each with the rules they belong to.
    commands: [(RegexSet, Vec<usize>); 2],
    pub(super) paths: GlobSet,
    pub(super) path_of: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) tier: Tier,
    pub(super) place: RuleRef,
    pub(super) on_command: bool,
    pub(super) on_path: bool,
    pub(super) except: GlobSet,
    pub(super) access: Option<Access>,
    pub(super) tool: Option<GlobMatcher>,
    pub(super) pipe: Option<(Regex, Regex)>,
    pub(super) fork_bomb: bool,
    pub(super) read_only: bool,
    /// Names that its path matches: what a word with wildcards is held against.
    pub(super) samples: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    Allow,
    Ask,
    Deny,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Access {
    Read,
    Write,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default: Option<Rest>,
    #[serde(default)]
    always_deny: Vec<Entry>,
    #[serde(default)]
    ask_user: Vec<Entry>,
    #[serde(default)]
    always_allow: Vec<Entry>,
}

/// What no rule names. There is no `allow`.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Rest {
    Ask,
    Deny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    reason: String,
    pattern: Option<String>,
    path: Option<OneOrMore>,
    #[serde(default)]
    except: Vec<String>,
    access: Option<Access>,
    tool: Option<String>,
    pipe: Option<Pipe>,
    shape: Option<Shape>,
    #[serde(default)]
    read_only: bool,
    #[serde(default, rename = "match")]
    matches: Vec<String>,
    #[serde(default)]
    not_match: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pipe {
    from: String,
    into: String,
}

#[derive(Deserialize)]
enum Shape {
    #[serde(rename = "fork bomb")]
    ForkBomb,
}

impl Source {
    /// Reads and compiles a file; `whole`, or only what it denies.
    pub(super) fn read(yaml: &str, name: &str, whole: bool) -> Result<(Self, bool), RulesError> {
        let error = |line: usize, column: usize, what: String| RulesError {
            file: name.to_owned(),
            line,
            column,
            what,
        };
        if yaml.trim().is_empty() {
            return Err(error(1, 1, "the file is empty; a policy needs rules".to_owned()));
        }
        let file: File = serde_yaml::from_str(yaml).map_err(|e| {
            let (line, column) = e.location().map_or((1, 1), |at| (at.line(), at.column()));
            error(line, column, e.to_string())
        })?;
        let mut entries = Vec::new();
        for (tier, key, list) in [
            (Tier::Deny, "always_deny", file.always_deny),
            (Tier::Ask, "ask_user", file.ask_user),
            (Tier::Allow, "always_allow", file.always_allow),
        ] {
            let lines = lines_of(yaml, key);
            let place = |at: usize| lines.get(at).or(lines.last()).copied().unwrap_or(1);
            entries
                .extend(list.into_iter().enumerate().map(|(at, entry)| (tier, place(at), entry)));
        }
        if entries.is_empty() {
            return Err(error(1, 1, "the file has no rules; a policy needs some".to_owned()));
        }
        entries.retain(|(tier, _, _)| whole || *tier == Tier::Deny);

        let (mut rules, mut examples) = (Vec::new(), Vec::new());
        let mut patterns: [(Vec<String>, Vec<usize>); 2] = Default::default();
        let (mut globs, mut glob_of) = (Vec::new(), Vec::new());
        for (at, (tier, line, entry)) in entries.into_iter().enumerate() {
            let error = |what: String| error(line, 1, what);
            rules.push(Rule::compile(tier, line, name, &entry).map_err(error)?);
            if let Some(pattern) = entry.pattern {
                let (patterns, of) = &mut patterns[usize::from(tier != Tier::Deny)];
                patterns.push(pattern);
                of.push(at);
            }
            if let Some(paths) = entry.path {
                let paths = match paths {
                    OneOrMore::One(one) => vec![one],
                    OneOrMore::More(more) => more,
                };
                glob_of.extend(paths.iter().map(|_| at));
                globs.extend(paths);
            }
            let good = entry.matches.into_iter().map(|text| (text, true));
            examples
                .push(good.chain(entry.not_match.into_iter().map(|text| (text, false))).collect());
        }
        let [denied, other] = patterns;
        // All are compiled at once, and one by one only to find which it was that could not be.
        let first = |of: &[usize], why: &dyn Fn(usize) -> Option<String>, all: String| {
            let found = (0..of.len()).find_map(|at| Some((of[at], why(at)?)));
            let found = found.and_then(|(at, why)| Some((rules.get(at)?.place.line, why)));
            found.map_or_else(|| error(1, 1, all), |(line, why)| error(line, 1, why))
        };
        let set = |(patterns, of): (Vec<String>, Vec<usize>)| match RegexSet::new(
            patterns.iter().map(|pattern| whole_words(pattern)),
        ) {
            Ok(set) => Ok((set, of)),
            Err(e) => Err(first(&of, &|at| regex(&patterns[at]).err(), e.to_string())),
        };
        let commands = [set(denied)?, set(other)?];
        let (paths, of) = paths::globs(globs.iter().map(String::as_str)).map_err(|e| {
            let why = |at: usize| paths::globs([globs[at].as_str()]).err();
            let why = |at: usize| why(at).map(|e| format!("the path is no glob: {e}"));
            first(&glob_of, &why, e.to_string())
        })?;
        let path_of = of.into_iter().filter_map(|at| glob_of.get(at).copied()).collect();
        let source = Self { rules, examples, commands, paths, path_of };
        Ok((source, file.default == Some(Rest::Deny)))
    }

    /// Does the path of this rule mean this place?
    pub(super) fn means(&self, at: usize, place: &ResolvedPath) -> bool {
        let hits = place.matches(&self.paths);
        let own = |hit: &usize| self.path_of.get(*hit) == Some(&at);
        hits.iter().any(own) && self.rules.get(at).is_some_and(|rule| !place.is_in(&rule.except))
    }

    /// The rules whose `pattern` matches this normalised command; all, or only what denies.
    pub(super) fn on_command(&self, text: &str, denies: bool) -> Vec<usize> {
        let mut found: Vec<usize> = Vec::new();
        for (set, of) in self.commands.iter().take(if denies { 1 } else { 2 }) {
            found.extend(set.matches(text).into_iter().filter_map(|at| of.get(at)));
        }
        found
    }
}

impl Rule {
    fn compile(tier: Tier, line: usize, file: &str, entry: &Entry) -> Result<Self, String> {
        if entry.reason.trim().is_empty() {
            return Err("the rule has no reason; say why it is there".to_owned());
        }
        let matchers = [
            entry.pattern.is_some(),
            entry.path.is_some(),
            entry.tool.is_some(),
            entry.pipe.is_some(),
            entry.shape.is_some(),
        ];
        if !matchers.contains(&true) {
            return Err("the rule matches nothing; it needs a pattern, path, tool, pipe or shape"
                .to_owned());
        }
        if entry.read_only && (tier != Tier::Allow || entry.pattern.is_none()) {
            return Err("read_only goes with a pattern in always_allow".to_owned());
        }
        if (entry.access.is_some() || !entry.except.is_empty()) && entry.path.is_none() {
            return Err("access and except go with a path".to_owned());
        }
        let globs: Vec<&str> = match &entry.path {
            Some(OneOrMore::One(one)) => vec![one],
            Some(OneOrMore::More(more)) => more.iter().map(String::as_str).collect(),
            None => Vec::new(),
        };
        if entry.path.is_some() && globs.iter().all(|glob| glob.is_empty()) {
            return Err("the path is empty".to_owned());
        }
        let except = paths::globs(entry.except.iter().map(String::as_str));
        let tool = entry.tool.as_deref().map(globset::Glob::new).transpose();
        let rule = Self {
            tier,
            place: RuleRef { file: file.to_owned(), line, reason: entry.reason.clone() },
            on_command: entry.pattern.is_some(),
            on_path: entry.path.is_some(),
            except: except.map_err(|e| format!("except is no glob: {e}"))?.0,
            access: entry.access,
            tool: tool
                .map_err(|e| format!("the tool is no glob: {e}"))?
                .map(|glob| glob.compile_matcher()),
            pipe: match &entry.pipe {
                Some(pipe) => Some((regex(&pipe.from)?, regex(&pipe.into)?)),
                None => None,
            },
            fork_bomb: entry.shape.is_some(),
            read_only: entry.read_only,
            samples: match (&entry.path, &entry.pattern) {
                (Some(_), None) => entry.matches.clone(),
                _ => Vec::new(),
            },
        };
        Ok(rule)
    }

    /// Does the rule speak of this tool?
    pub(super) fn is_for(&self, tool: &str) -> bool {
        self.tool.as_ref().is_none_or(|glob| glob.is_match(tool))
    }

    /// A rule about tools as such, whatever they do.
    pub(super) fn on_tool_alone(&self) -> bool {
        self.tool.is_some()
            && !self.on_command
            && !self.on_path
            && self.pipe.is_none()
            && !self.fork_bomb
    }
}

fn regex(pattern: &str) -> Result<Regex, String> {
    Regex::new(&whole_words(pattern)).map_err(|e| {
        // The error draws the pattern over several lines; its last one says what is wrong.
        let drawn = e.to_string();
        let why = drawn.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("the pattern `{pattern}` is no regex: {why}")
    })
}

/// A pattern begins with the program and ends where a word ends.
fn whole_words(pattern: &str) -> String {
    format!(r"(?s)^(?:{pattern})(?: |$)")
}

/// The lines on which the items of a top-level list begin.
fn lines_of(yaml: &str, key: &str) -> Vec<usize> {
    let (mut inside, mut indent) = (false, None);
    let mut lines = Vec::new();
    for (at, line) in yaml.lines().enumerate() {
        let text = line.trim_start();
        let depth = line.len() - text.len();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if depth == 0 && !text.starts_with('-') {
            inside = text.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':'));
            if inside && text.contains('[') {
                lines.push(at + 1); // written in one line: all items are here
            }
        } else if inside && text.starts_with('-') && *indent.get_or_insert(depth) == depth {
            lines.push(at + 1);
        }
    }
    lines
}
