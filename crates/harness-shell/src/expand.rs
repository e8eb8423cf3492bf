//! From what was read to words: braces opened, variables that the line itself sets filled in.

use std::collections::HashMap;

use crate::word::Unit;

/// How much is known of a word before the line runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// Every character.
    Known,
    /// It stands for names that this very line lists elsewhere (a loop's variable, `{}` of find).
    Listed,
    /// A variable, a substitution: anything.
    Unknown,
}

/// One word.
#[derive(Clone, Debug)]
pub struct Word {
    /// Its text; a variable that is not known is left as `$NAME`.
    pub text: String,
    /// How much of it is known.
    pub sure: Certainty,
    /// It has wildcards, or variables, outside quotes: it may become other words, or several.
    pub wild: bool,
    /// Its text if the variables that nobody knows are empty: `r${x}m`.
    pub unset: Option<String>,
}

impl Word {
    /// A word of which every character is known.
    pub fn known(text: impl Into<String>) -> Self {
        Self { text: text.into(), sure: Certainty::Known, wild: false, unset: None }
    }

    /// A word that may become anything.
    pub fn unknown(text: impl Into<String>) -> Self {
        Self { sure: Certainty::Unknown, ..Self::known(text) }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        if let Some(unset) = &mut self.unset {
            unset.push_str(text);
        }
    }
}

/// What a variable is known to hold.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Assigned in this line. Used to find what is denied, never to allow.
    Text(String),
    /// The variable of a loop over words that stand in the line.
    Listed,
}

pub(crate) type Values = HashMap<String, Value>;

/// The words that a word becomes: braces opened, known variables filled in.
pub(crate) fn finish(units: &[Unit], values: &Values) -> Vec<Word> {
    let mut words = Vec::new();
    for units in braces(units, 0) {
        let mut words_here = vec![Word::known("")];
        let mut any = units.is_empty();
        fill(&units, values, &mut words_here, &mut any);
        if any {
            words.append(&mut words_here);
        }
    }
    words
}

fn fill(units: &[Unit], values: &Values, words: &mut Vec<Word>, any: &mut bool) {
    for unit in units {
        *any = true;
        let mut split = false;
        let Some(word) = words.last_mut() else { return };
        match unit {
            Unit::Bare(c) => {
                word.wild |= "*?[".contains(*c);
                word.push(c.encode_utf8(&mut [0; 4]));
            }
            Unit::Quoted(c) => word.push(c.encode_utf8(&mut [0; 4])),
            Unit::Hole(raw) => {
                word.wild = true; // in quotes or not is no longer known
                word.sure = Certainty::Unknown;
                word.push(raw);
            }
            Unit::Maybe(units) => {
                if !units.is_empty() {
                    word.sure = Certainty::Unknown;
                    fill(units, values, words, any);
                }
            }
            Unit::Var { name, quoted } => match values.get(name) {
                Some(Value::Listed) => {
                    word.wild |= !quoted;
                    word.sure = word.sure.max(Certainty::Listed);
                    word.push("$");
                    word.push(name);
                }
                Some(Value::Text(text)) => {
                    word.sure = Certainty::Unknown;
                    let mut pieces = text.split_whitespace();
                    match quoted {
                        true => word.push(text),
                        false => word.push(pieces.next().unwrap_or_default()),
                    }
                    if !quoted {
                        words.extend(pieces.map(Word::unknown));
                    }
                }
                None => {
                    word.wild |= !quoted;
                    word.sure = Certainty::Unknown;
                    split = name == "IFS" && !quoted;
                    word.unset.get_or_insert_with(|| word.text.clone());
                    if name.starts_with(|c: char| c == '_' || c.is_alphabetic()) && !split {
                        word.text.push('$');
                        word.text.push_str(name);
                    }
                }
            },
        }
        if split {
            words.push(Word::unknown(""));
        }
    }
}

/// `a{b,c}d` → `abd acd`. At most a few dozen; what has more is left as it is, and then nothing
/// that a rule allows.
fn braces(units: &[Unit], depth: usize) -> Vec<Vec<Unit>> {
    let (mut open, mut level) = (None, 0usize);
    let mut commas = Vec::new();
    let mut sequence = false;
    for (at, unit) in units.iter().enumerate() {
        match unit {
            Unit::Bare('{') => {
                level += 1;
                if level == 1 {
                    open = Some(at);
                    commas.clear();
                }
            }
            Unit::Bare(',') if level == 1 => commas.push(at),
            Unit::Bare('.') if level > 0 && matches!(units.get(at + 1), Some(Unit::Bare('.'))) => {
                sequence = true;
            }
            Unit::Bare('}') if level > 0 => {
                level -= 1;
                if let (0, Some(start), false) = (level, open, commas.is_empty()) {
                    let mut all = Vec::new();
                    let mut from = start + 1;
                    for end in commas.iter().copied().chain([at]) {
                        let mut one = units[..start].to_vec();
                        one.extend_from_slice(&units[from..end]);
                        one.extend_from_slice(&units[at + 1..]);
                        match depth < 3 && commas.len() < 8 && units.len() < 1_000 {
                            true => all.append(&mut braces(&one, depth + 1)),
                            false => {
                                one.push(Unit::Hole(String::new()));
                                all.push(one);
                            }
                        }
                        from = end + 1;
                    }
                    return all;
                }
            }
            _ => {}
        }
    }
    let mut units = units.to_vec();
    if sequence {
        units.push(Unit::Hole(String::new())); // `{a..z}`: which words these are is not worked out
    }
    vec![units]
}
