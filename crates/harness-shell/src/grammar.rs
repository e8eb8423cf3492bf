//! The first reader: walks the tree of a real bash grammar.

use std::ops::{ControlFlow, Range};

use tree_sitter::{Node, ParseOptions, ParseState, Parser};

use crate::ast::{Doubt, Line, Redirect, Simple};
use crate::expand::{Values, Word, finish};
use crate::scan::{listed, scan};
use crate::word::Lexer;

/// Deeper trees are not walked; the second reader still searches them.
const DEEPEST: usize = 150;

/// What the grammar makes of a line.
pub(crate) fn read(text: &str) -> Line {
    let mut reader = Reader { text, line: Line::default(), values: Values::new() };
    match tree(text) {
        Some(tree) => {
            if tree.root_node().has_error() {
                reader.doubt("the grammar does not know this", true);
            }
            reader.walk(tree.root_node(), 0);
        }
        None => reader.doubt("takes too long to parse", true),
    }
    reader.line
}

fn tree(text: &str) -> Option<tree_sitter::Tree> {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_bash::LANGUAGE.into()).ok()?;
    // Counted, not timed: the same line always gets the same answer. The parser calls every few
    // hundred steps; an honest line takes a few dozen, and some broken ones a square of their length.
    let mut calls = 0u32;
    let mut tick = |_: &ParseState| {
        calls += 1;
        if calls > 400 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let bytes = text.as_bytes();
    let mut input = |at: usize, _| bytes.get(at..).unwrap_or_default();
    let options = ParseOptions::new().progress_callback(&mut tick);
    parser.parse_with_options(&mut input, None, Some(options))
}

struct Reader<'t> {
    text: &'t str,
    line: Line,
    values: Values,
}

impl<'t> Reader<'t> {
    fn doubt(&mut self, why: &'static str, broken: bool) {
        self.line.doubts.push(Doubt { why, broken });
    }

    fn slice(&self, node: Node<'_>) -> &'t str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    fn walk(&mut self, node: Node<'_>, depth: usize) {
        if depth > DEEPEST {
            return self.doubt("nested too deeply", true);
        }
        match node.kind() {
            "command" | "declaration_command" | "unset_command" => self.simple(node, &[], depth),
            "test_command" => self.test(node, depth),
            "redirected_statement" => self.redirected(node, depth),
            "pipeline" => self.pipeline(node, depth),
            "variable_assignment" => {
                let mut simple = Simple::default();
                self.assignment(node, &mut simple);
                self.line.commands.push(simple);
                self.inside(node, depth);
            }
            "file_redirect" | "herestring_redirect" | "heredoc_redirect" => {
                let mut simple = Simple::default();
                self.redirect(node, &mut simple);
                if !simple.words.is_empty() {
                    self.doubt("a redirect with words behind it", true);
                }
                self.inner(node, depth);
            }
            "for_statement" => {
                let mut cursor = node.walk();
                let header = node.children(&mut cursor).filter(|child| {
                    child.is_named() && child.kind() != "do_group" || child.kind() == "in"
                });
                let words: Vec<Word> =
                    header.flat_map(|child| self.words(self.slice(child))).collect();
                if let Some(name) = words.first() {
                    let over = words.iter().skip(2).cloned().collect();
                    self.line.loops.push((name.text.clone(), over));
                }
                listed(&words, &mut self.values);
                self.inside(node, depth);
            }
            "function_definition" => {
                self.doubt("defines a function", false);
                let name = node.child_by_field_name("name").map(|name| self.slice(name));
                let from = self.line.commands.len();
                self.inside(node, depth);
                let body = self.line.commands.get(from..).unwrap_or_default();
                let own = |simple: &&Simple| simple.raw.first().map(String::as_str) == name;
                let forks = self.slice(node).contains(['|', '&']);
                self.line.fork_bomb |= forks && body.iter().filter(own).count() > 1;
            }
            "ERROR" | "c_style_for_statement" | "subscript" | "array" => {
                self.doubt("the grammar does not know this", node.kind() == "ERROR");
                self.inside(node, depth);
            }
            "compound_statement" if self.slice(node).starts_with("((") => {
                self.doubt("arithmetic that is not only numbers", true);
                self.inside(node, depth);
            }
            _ => self.inside(node, depth),
        }
    }

    fn inside(&mut self, node: Node<'_>, depth: usize) {
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            self.walk(child, depth + 1);
        }
    }

    /// What stands inside a command, or a redirect of it, that was itself read already.
    fn inner(&mut self, node: Node<'_>, depth: usize) {
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            match child.kind() {
                "file_redirect"
                | "herestring_redirect"
                | "heredoc_redirect"
                | "variable_assignment" => self.inner(child, depth + 1),
                _ => self.walk(child, depth + 1),
            }
        }
    }

    /// What is substituted inside flows into the command at `outer`; what stands behind the start
    /// of a here-document (`cat <<EOF | sh`) is fed by it.
    fn substituted(&mut self, node: Node<'_>, outer: usize, depth: usize) {
        let from = self.line.commands.len();
        self.inner(node, depth);
        let inner = from..self.line.commands.len();
        if node.kind() == "heredoc_redirect" {
            self.line.flows.extend(inner.clone().map(|inner| (outer, inner)));
        }
        self.line.flows.extend(inner.map(|inner| (inner, outer)));
    }

    fn words(&self, text: &str) -> Vec<Word> {
        finish(&Lexer::new(text).word(), &self.values)
    }

    fn push_word(&mut self, simple: &mut Simple, node: Node<'_>) {
        let text = self.slice(node);
        simple.raw.push(text.to_owned());
        simple.words.extend(self.words(text));
    }

    fn assignment(&mut self, node: Node<'_>, simple: &mut Simple) {
        let units = Lexer::new(self.slice(node)).word();
        if !simple.assign(&units, &mut self.values) {
            self.doubt("an assignment that is not plain", true);
        }
    }

    /// A command, with the redirects that the grammar hangs outside of it.
    fn simple(&mut self, node: Node<'_>, redirects: &[Node<'_>], depth: usize) {
        let mut simple = Simple::default();
        let index = self.line.commands.len();
        let mut cursor = node.walk();
        for child in node.children(&mut cursor) {
            match child.kind() {
                "variable_assignment" if node.kind() == "command" => {
                    self.assignment(child, &mut simple);
                }
                "file_redirect" | "herestring_redirect" => {
                    self.redirect(child, &mut simple);
                }
                "subshell" => self.doubt("the grammar does not know this", true),
                "comment" => {}
                _ => self.push_word(&mut simple, child),
            }
        }
        self.line.commands.push(Simple::default());
        for redirect in redirects {
            self.redirect(*redirect, &mut simple);
        }
        if let Some(place) = self.line.commands.get_mut(index) {
            *place = simple;
        }
        for part in [node].iter().chain(redirects) {
            self.substituted(*part, index, depth);
        }
    }

    fn test(&mut self, node: Node<'_>, depth: usize) {
        let found = scan(self.slice(node), &mut self.values);
        let index = self.line.commands.len();
        match found.commands.into_iter().next() {
            Some(simple) => self.line.commands.push(simple),
            None => self.doubt("a test that is not plain", true),
        }
        self.substituted(node, index, depth);
    }

    fn redirected(&mut self, node: Node<'_>, depth: usize) {
        let mut cursor = node.walk();
        let (mut body, mut redirects) = (None, Vec::new());
        for child in node.named_children(&mut cursor) {
            match child.kind() {
                "file_redirect" | "herestring_redirect" | "heredoc_redirect" => {
                    redirects.push(child);
                }
                _ => body = Some(child),
            }
        }
        match body {
            Some(body) if body.kind() == "command" => self.simple(body, &redirects, depth),
            body => {
                for part in body.into_iter().chain(redirects) {
                    self.walk(part, depth + 1);
                }
            }
        }
    }

    fn redirect(&mut self, node: Node<'_>, simple: &mut Simple) {
        let mut op = String::new();
        let mut target = None;
        let here = node.kind() == "heredoc_redirect";
        let mut cursor = node.walk();
        let mut more = cursor.goto_first_child();
        while more {
            let child = cursor.node();
            match child.kind() {
                "file_descriptor" | "heredoc_end" | "comment" => {}
                "heredoc_start" => self.doubt("a here-document", false),
                "heredoc_body" => simple.stdin = Some(Word::known(self.slice(child))),
                "file_redirect" | "herestring_redirect" => self.redirect(child, simple),
                _ if !child.is_named() => op.push_str(self.slice(child)),
                // The grammar takes all words behind `> file` for targets; only the first is one.
                _ if here && cursor.field_name() == Some("argument") => {
                    self.push_word(simple, child);
                }
                _ if here => {}
                _ if target.is_some() => self.push_word(simple, child),
                _ => target = Some(child),
            }
            more = cursor.goto_next_sibling();
        }
        let Some(target) = target else { return };
        let raw = self.slice(target).to_owned();
        let mut words = self.words(&raw);
        let word = match words.len() {
            1 => words.remove(0),
            _ => Word::unknown(raw.as_str()),
        };
        if op == "<<<" {
            simple.stdin = Some(word.clone());
        }
        self.line.redirects.push(Redirect { op, raw, target: word });
    }

    fn pipeline(&mut self, node: Node<'_>, depth: usize) {
        let mut stages: Vec<Range<usize>> = Vec::new();
        let mut cursor = node.walk();
        for stage in node.named_children(&mut cursor) {
            let from = self.line.commands.len();
            self.walk(stage, depth + 1);
            stages.push(from..self.line.commands.len());
        }
        // Pipelines are short; in a very long one only the neighbours are told.
        for (at, into) in stages.iter().enumerate() {
            for from in &stages[at.saturating_sub(16)..at] {
                let pairs =
                    from.clone().flat_map(|from| into.clone().map(move |into| (from, into)));
                self.line.flows.extend(pairs.take(256));
            }
        }
    }
}
