//! A model that speaks prepared lines: the offline default, the demos, the tests.
//!
//! A play (`demo.yaml`) has a prompt and scenes; a scene has lines. Which line comes next is read from
//! the conversation itself (how often the model has spoken since the human last did), so one script
//! serves many agents at once, and a turn that is resumed, folded or sent again gets the same line again.
//! It is a script and says so; only the tools it calls are real.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use regex::Regex;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use crate::conversation::message::{Block, Message, Role, ToolCall};
use crate::host::mutex::Mutex;
use crate::model::cache::Simulated;
use crate::model::{Delta, Model, ModelStream, Reply, Request, StopReason, ToolSpec, Usage};

/// A play, as `demo.yaml` holds it. Unknown fields are errors.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Play {
    /// What the learner may send with Enter: one prompt, or several, one after the other.
    #[serde(deserialize_with = "one_or_many")]
    pub prompt: Vec<String>,
    /// Milliseconds between two pieces of a reply; 0, the default, shows it all at once.
    #[serde(default)]
    pub pace: u64,
    /// What is made in the playground before the play.
    #[serde(default)]
    pub setup: Setup,
    /// Who says what. The first scene whose conditions hold is played.
    pub scenes: Vec<Scene>,
}

/// What a playground holds when the play begins.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Files to make: path and content.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Makes it a git repository with everything committed.
    #[serde(default)]
    pub git: bool,
}

/// Lines, and when they are spoken. All conditions that are given must hold; a scene without any
/// answers the play's own prompts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scene {
    /// The agent's name.
    pub agent: Option<String>,
    /// A pattern found in its system prompt.
    pub system: Option<Pattern>,
    /// A pattern found in its first message.
    pub first: Option<Pattern>,
    /// A pattern found in what the human said last.
    pub said: Option<Pattern>,
    /// What is said, one line a reply.
    pub lines: Vec<Line>,
}

/// One reply.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its words.
    #[serde(default)]
    pub text: String,
    /// The calls it makes.
    #[serde(default)]
    pub calls: Vec<Call>,
    /// Values taken from the results so far: a name, and a pattern whose first group is the value.
    /// From here on `${name}` in texts and inputs stands for it.
    #[serde(default)]
    pub take: BTreeMap<String, Pattern>,
    /// Its words, and then no calls, where a call of the line before was denied: a script does not boast of
    /// what it was not allowed to do.
    pub denied: Option<String>,
}

impl Line {
    fn uses(&self, name: &str) -> bool {
        format!("{self:?}").contains(&format!("${{{name}}}"))
    }
}

/// A call in a line.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The tool's name.
    pub tool: String,
    /// Its input.
    #[serde(default)]
    pub input: Map<String, Value>,
}

/// A regular expression, compiled while the play is read.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        Regex::new(&source).map(Self).map_err(|e| de::Error::custom(format!("{source:?}: {e}")))
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Prompts {
        One(String),
        Many(Vec<String>),
    }
    let prompts = match Prompts::deserialize(deserializer)? {
        Prompts::One(prompt) => vec![prompt],
        Prompts::Many(prompts) => prompts,
    };
    match prompts.iter().any(|prompt| prompt.trim().is_empty()) || prompts.is_empty() {
        true => Err(de::Error::custom("a play needs a prompt that is not blank")),
        false => Ok(prompts.into_iter().map(|prompt| prompt.trim().to_owned()).collect()),
    }
}

impl Play {
    /// Reads a play.
    ///
    /// # Errors
    /// The text names line and column of what is wrong.
    pub fn from_yaml(yaml: &str) -> Result<Self, serde_yaml::Error> {
        serde_yaml::from_str(yaml)
    }

    /// The reply to this request, or why there is none.
    ///
    /// # Errors
    /// The play does not know what was said, or has come to its end.
    pub fn reply_to(&self, request: &Request<'_>) -> Result<Message, String> {
        let talk = Talk::read(request.messages);
        let scene = self.scenes.iter().find(|scene| self.holds(scene, request, &talk));
        let scene = scene.ok_or_else(|| self.lost(&talk))?;
        let line = scene.lines.get(talk.spoken).ok_or_else(|| self.lost(&talk))?;
        let denied = |said: &String| said.lines().any(|line| line.starts_with("denied: "));
        if let (Some(words), Some(_)) = (&line.denied, talk.results.last().filter(|it| denied(it)))
        {
            return Ok(Message::assistant(vec![Block::text(words.as_str())]));
        }
        let mut values = BTreeMap::new();
        for (at, earlier) in scene.lines[..=talk.spoken].iter().enumerate() {
            for (name, pattern) in &earlier.take {
                let found = talk.results.iter().take(at).rev().find_map(|text| {
                    let groups = pattern.0.captures(text)?;
                    groups.get(1).or_else(|| groups.get(0)).map(|value| value.as_str().to_owned())
                });
                match found {
                    Some(value) => _ = values.insert(name.as_str(), value),
                    // Found by its own line, and folded away since.
                    None if at < talk.spoken && !line.uses(name) => {}
                    None => {
                        let what = &pattern.0;
                        return Err(format!(
                            "the play expected `{what}` in a result and did not find it"
                        ));
                    }
                }
            }
        }
        let mut content = Vec::new();
        if !line.text.is_empty() {
            content.push(Block::text(filled(&line.text, &values)));
        }
        for (at, call) in line.calls.iter().enumerate() {
            let mut input = Value::Object(call.input.clone());
            fill(&mut input, &values);
            let Value::Object(input) = input else { continue };
            let id = format!("script_{}_{}_{at}", talk.number, talk.spoken);
            content.push(Block::ToolUse(ToolCall {
                id,
                name: call.tool.clone(),
                input,
                rest: Map::new(),
            }));
        }
        Ok(Message::assistant(content))
    }

    fn holds(&self, scene: &Scene, request: &Request<'_>, talk: &Talk) -> bool {
        let found = |pattern: &Option<Pattern>, text: &str| {
            pattern.as_ref().is_none_or(|pattern| pattern.0.is_match(text))
        };
        let bare = scene.agent.is_none()
            && scene.system.is_none()
            && scene.first.is_none()
            && scene.said.is_none();
        if bare {
            return self.prompt.iter().any(|prompt| *prompt == talk.said.trim());
        }
        scene.agent.as_ref().is_none_or(|agent| agent == request.agent)
            && found(&scene.system, &request.system.join("\n"))
            && found(&scene.first, &talk.first)
            && found(&scene.said, &talk.said)
    }

    fn lost(&self, talk: &Talk) -> String {
        let known: Vec<String> = self.prompt.iter().map(|prompt| format!("“{prompt}”")).collect();
        let what = match self.prompt.iter().any(|prompt| *prompt == talk.said.trim()) {
            true => "The script has come to its end.",
            false => "I am a script, not a model, and I do not know what to say to that.",
        };
        format!(
            "{what} The prompt that I know is {}. To talk to a model, set ANTHROPIC_API_KEY \
             (or ANTHROPIC_BASE_URL for a local server) in your .env.",
            known.join(", then ")
        )
    }
}

/// What a script needs to know of a conversation.
struct Talk {
    first: String,
    said: String,
    /// How often the model has spoken since.
    spoken: usize,
    /// The results before each of its next lines, joined.
    results: Vec<String>,
    /// Stands in the next call's id; larger than in any id so far.
    number: usize,
}

impl Talk {
    fn read(messages: &[Message]) -> Self {
        let said_at = messages.iter().rposition(|m| m.role == Role::User && !m.text().is_empty());
        let since = &messages[said_at.map_or(0, |at| at + 1)..];
        let replies = || since.iter().filter(|m| m.role == Role::Assistant);
        // A fold takes replies away, the first ones first. Those that are left say in the ids of their
        // calls which lines they were.
        let folded = replies().enumerate().find_map(|(at, reply)| {
            let (_, line) = numbers(reply.calls().next()?)?;
            Some(line.saturating_sub(at))
        });
        let folded = folded.unwrap_or(0);
        let given = messages.iter().flat_map(Message::calls).filter_map(numbers);
        let results = since.iter().filter(|m| m.role == Role::User).map(|message| {
            let texts = message.results().map(|result| result.content.text().into_owned());
            texts.collect::<Vec<_>>().join("\n")
        });
        let first = messages.first().map(|message| {
            let notes = message.content.iter().filter_map(|block| match block {
                Block::Reminder(note) => Some(note.as_str()),
                _ => None,
            });
            notes.chain([message.text().as_str()]).collect::<Vec<_>>().join("\n")
        });
        Self {
            first: first.unwrap_or_default(),
            said: said_at.map(|at| messages[at].text()).unwrap_or_default(),
            spoken: folded + replies().count(),
            results: std::iter::repeat_n(String::new(), folded).chain(results).collect(),
            number: given.map(|(number, _)| number + 1).fold(messages.len(), usize::max),
        }
    }
}

/// The number and the line in a call's id, if a script made it. Servers put a word before it.
fn numbers(call: &ToolCall) -> Option<(usize, usize)> {
    let (_, id) = call.id.rsplit_once("script_")?;
    let mut numbers = id.split('_').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn filled(text: &str, values: &BTreeMap<&str, String>) -> String {
    let mut text = text.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("${{{name}}}"), value);
    }
    text
}

fn fill(value: &mut Value, values: &BTreeMap<&str, String>) {
    match value {
        Value::String(text) => *text = filled(text, values),
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, values)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill(field, values)),
        _ => {}
    }
}

/// A model that plays a [`Play`]. Any number of agents may share it.
#[derive(Clone, Debug)]
pub struct Script {
    play: Arc<Play>,
    cache: Arc<Mutex<Simulated>>,
}

impl Script {
    /// Speaks the lines of this play.
    pub fn new(play: Play) -> Self {
        Self { play: Arc::new(play), cache: Arc::default() }
    }
}

impl Model for Script {
    fn stream(&self, request: &Request<'_>) -> ModelStream {
        let message = self
            .play
            .reply_to(request)
            .unwrap_or_else(|why| Message::assistant(vec![Block::text(why)]));
        let (mut pieces, written) = deltas(&message);
        let usage = self.estimate(request, written);
        let calls = message.calls().next().is_some();
        let stop = if calls { StopReason::ToolUse } else { StopReason::EndTurn };
        pieces.push(Delta::Done(Reply::new(message, stop, usage)));
        let pieces = stream::iter(pieces.into_iter().map(Ok));
        let pace = Duration::from_millis(self.play.pace);
        if pace.is_zero() {
            return pieces.boxed();
        }
        let typed = move |piece| async move {
            tokio::time::sleep(pace).await;
            piece
        };
        pieces.then(typed).boxed()
    }
}

/// The most bytes of a piece of tool input.
const FRAGMENT: usize = 32;

/// A message in pieces, as a server would send them, and how many bytes it has.
fn deltas(message: &Message) -> (Vec<Delta>, usize) {
    let mut deltas = Vec::new();
    let mut written = 0;
    for block in &message.content {
        match block {
            Block::Text(text) => {
                written += text.text.len();
                deltas.extend(text.text.split_inclusive(' ').map(|it| Delta::Text(it.to_owned())));
            }
            Block::ToolUse(call) => {
                let whole = Value::Object(call.input.clone()).to_string().len();
                written += whole;
                deltas.extend((0..whole).step_by(FRAGMENT).map(|at| Delta::ToolInput {
                    id: call.id.clone(),
                    name: call.name.clone(),
                    bytes: (at + FRAGMENT).min(whole),
                }));
            }
            _ => {}
        }
    }
    (deltas, written)
}

impl Script {
    /// A script has no tokenizer; four bytes a token is the rule of thumb where nothing better is known. It
    /// has no prompt cache either: for a request with marks one is simulated.
    fn estimate(&self, request: &Request<'_>, written: usize) -> Usage {
        let output_tokens = (written / 4) as u64;
        if !request.marks.is_empty() {
            let body = serde_json::to_value(request).unwrap_or_default();
            let mut cache = self.cache.lock();
            let count = cache.count(&body);
            cache.store(&count);
            return count.usage(output_tokens);
        }
        let prompt: usize = request.system.iter().map(String::len).sum::<usize>()
            + request.tools.iter().map(ToolSpec::size).sum::<usize>()
            + request.messages.iter().flat_map(|m| &m.content).map(Block::size).sum::<usize>();
        Usage { input_tokens: (prompt / 4) as u64, output_tokens, ..Usage::default() }
    }
}
