//! What a Rust file names and declares, read by `syn`: so that `use` trees, paths in the midst of code and the
//! words of macros all count, and comments and strings do not.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, Ident, Meta, Signature, UseTree, Visibility};

#[derive(Debug, Default)]
pub(crate) struct Code {
    /// Every path, in the order of the file.
    pub(crate) names: Vec<Name>,
    /// Which of them are imports: few among many.
    imports: Vec<usize>,
    pub(crate) functions: Vec<Function>,
    pub(crate) types: Vec<Type>,
    /// Lines of `#[path = "…"] mod x;`, counted from 1.
    pub(crate) moved_modules: Vec<usize>,
    /// Modules that are written out in this file, by their names.
    pub(crate) inline_modules: Vec<String>,
}

/// A path that stands in a file: `crate::agent::Agent`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// As they are written. A glob import ends in `*`.
    pub(crate) segments: Vec<String>,
    /// Where the last of them stands, counted from 1.
    pub(crate) line: usize,
    /// The modules around it that are written out in this file.
    pub(crate) inside: Vec<String>,
    /// What a `use` makes of it; nothing where the path stands in the midst of code.
    pub(crate) import: Option<Import>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// What the file calls it from there on.
    pub(crate) local: String,
    /// Handed on to other files, be it to the crate's alone.
    pub(crate) handed_on: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// From `fn` to the closing brace.
    pub(crate) lines: usize,
}

/// A struct, enum, union, trait or alias.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Type {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) public: bool,
}

/// Why a file is no Rust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) line: usize,
    pub(crate) reason: String,
}

impl Code {
    pub(crate) fn read(text: &str) -> Result<Self, Unreadable> {
        let file = syn::parse_file(text).map_err(|error| Unreadable {
            line: line_of(error.span()),
            reason: error.to_string(),
        })?;
        let mut reader = Reader::default();
        reader.visit_file(&file);
        Ok(reader.code)
    }

    /// The paths of `use` items.
    pub(crate) fn imports(&self) -> impl Iterator<Item = (&Name, &Import)> {
        let names = self.imports.iter().map(|index| &self.names[*index]);
        names.filter_map(|name| Some((name, name.import.as_ref()?)))
    }

    /// A path with its first segment put in full, where a `use` of this file has given that a short name:
    /// after `use std::env as e`, `e::var` is `std::env::var`.
    pub(crate) fn in_full<'a>(&'a self, name: &'a Name) -> Vec<&'a str> {
        let imported = name.segments.split_first().and_then(|(first, rest)| {
            let (import, _) = self.imports().find(|(_, import)| import.local == *first)?;
            Some(import.segments.iter().chain(rest))
        });
        match imported.filter(|_| name.import.is_none()) {
            Some(segments) => segments.map(String::as_str).collect(),
            None => name.segments.iter().map(String::as_str).collect(),
        }
    }
}

impl Import {
    fn new(local: String, visibility: &Visibility) -> Self {
        Self { local, handed_on: !matches!(visibility, Visibility::Inherited) }
    }
}

fn line_of(span: Span) -> usize {
    span.start().line
}

fn text_of(ident: &Ident) -> String {
    ident.unraw().to_string()
}

#[derive(Default)]
struct Reader {
    code: Code,
    inside: Vec<String>,
    /// The type of the `impl` block around.
    of: Option<String>,
}

impl Reader {
    fn name(&mut self, segments: Vec<String>, line: usize, import: Option<Import>) {
        let inside = self.inside.clone();
        if import.is_some() {
            self.code.imports.push(self.code.names.len());
        }
        self.code.names.push(Name { segments, line, inside, import });
    }

    fn written(&mut self, path: &syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|part| text_of(&part.ident)).collect();
        let line = path.segments.last().map_or(1, |part| line_of(part.ident.span()));
        self.name(segments, line, None);
    }

    /// The leaves of a `use` tree, `before` being what stands before this part of it.
    fn import(&mut self, tree: &UseTree, before: &[String], visibility: &Visibility) {
        match tree {
            UseTree::Path(path) => {
                let before = joined(before, &path.ident);
                self.import(&path.tree, &before, visibility);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before, visibility);
                }
            }
            UseTree::Name(leaf) => self.leaf(before, &leaf.ident, None, visibility),
            UseTree::Rename(leaf) => self.leaf(before, &leaf.ident, Some(&leaf.rename), visibility),
            UseTree::Glob(glob) => {
                let mut segments = before.to_vec();
                segments.push("*".to_owned());
                let import = Import::new("*".to_owned(), visibility);
                self.name(segments, line_of(glob.star_token.span), Some(import));
            }
        }
    }

    fn leaf(
        &mut self,
        before: &[String],
        ident: &Ident,
        rename: Option<&Ident>,
        visibility: &Visibility,
    ) {
        let is_self = ident == "self" && !before.is_empty();
        let segments = if is_self { before.to_vec() } else { joined(before, ident) };
        let local = match (rename, segments.last()) {
            (Some(rename), _) => text_of(rename),
            (None, Some(last)) => last.clone(),
            (None, None) => return,
        };
        self.name(segments, line_of(ident.span()), Some(Import::new(local, visibility)));
    }

    fn function(&mut self, signature: &Signature, block: &Block) {
        let own = text_of(&signature.ident);
        let name = self.of.as_ref().map_or_else(|| own.clone(), |of| format!("{of}::{own}"));
        let line = line_of(signature.fn_token.span);
        let end = line_of(block.brace_token.span.close());
        self.code.functions.push(Function { name, line, lines: end + 1 - line });
    }

    fn declared(&mut self, ident: &Ident, visibility: &Visibility) {
        self.code.types.push(Type {
            name: text_of(ident),
            line: line_of(ident.span()),
            public: matches!(visibility, Visibility::Public(_)),
        });
    }

    /// What is inside a block of its own has no part in the `impl` around it.
    fn of_type(&mut self, name: Option<String>, walk: impl FnOnce(&mut Self)) {
        let around = std::mem::replace(&mut self.of, name);
        walk(self);
        self.of = around;
    }

    /// The paths among the words of a macro or an attribute.
    fn tokens(&mut self, tokens: TokenStream) {
        let trees: Vec<TokenTree> =
            tokens.into_iter().filter(|tree| !is_punct(Some(tree), '$')).collect();
        let mut at = 0;
        while let Some(tree) = trees.get(at) {
            at += 1;
            match tree {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(ident) if ident == "use" => at += self.use_of_macro(&trees[at..]),
                TokenTree::Ident(ident) => at += self.path_of_macro(ident, &trees[at..]),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    /// A `use` among the words of a macro, without its first word; gives back how many words it has.
    fn use_of_macro(&mut self, rest: &[TokenTree]) -> usize {
        let end = rest.iter().position(|tree| is_punct(Some(tree), ';')).unwrap_or(rest.len());
        let tokens: TokenStream = rest[..end].iter().cloned().collect();
        let Ok(tree) = syn::parse2::<UseTree>(tokens) else { return 0 };
        self.import(&tree, &[], &Visibility::Inherited);
        end
    }

    /// A path among the words of a macro, without its first segment; gives back how many words it has.
    fn path_of_macro(&mut self, first: &Ident, rest: &[TokenTree]) -> usize {
        let mut segments = vec![text_of(first)];
        let mut line = line_of(first.span());
        let mut at = 0;
        while is_punct(rest.get(at), ':') && is_punct(rest.get(at + 1), ':') {
            let Some(TokenTree::Ident(next)) = rest.get(at + 2) else { break };
            segments.push(text_of(next));
            line = line_of(next.span());
            at += 3;
        }
        self.name(segments, line, None);
        at
    }

    /// `#[serde(with = "crate::text")]` names a path in a string, and the derived code uses it.
    fn strings_that_are_paths(&mut self, tokens: TokenStream) {
        for tree in tokens {
            let TokenTree::Literal(literal) = tree else { continue };
            let Ok(text) = syn::parse2::<syn::LitStr>(TokenTree::Literal(literal).into()) else {
                continue;
            };
            let value = text.value();
            let leads_away = value.starts_with("crate::") || value.starts_with("super::");
            if leads_away && let Ok(path) = text.parse::<syn::Path>() {
                self.written(&path);
            }
        }
    }
}

fn joined(before: &[String], ident: &Ident) -> Vec<String> {
    let mut segments = before.to_vec();
    segments.push(text_of(ident));
    segments
}

fn is_punct(tree: Option<&TokenTree>, wanted: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, &[], &item.vis);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let own = if item.ident == "self" { "crate".to_owned() } else { text_of(&item.ident) };
        let local = item.rename.as_ref().map_or_else(|| own.clone(), |(_, name)| text_of(name));
        let import = Import { local, handed_on: true };
        self.name(vec![own], line_of(item.ident.span()), Some(import));
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let moves = |attribute: &Attribute| attribute.path().is_ident("path");
        if item.attrs.iter().any(moves) {
            self.code.moved_modules.push(line_of(item.ident.span()));
        }
        if item.content.is_some() {
            self.code.inline_modules.push(text_of(&item.ident));
        }
        self.inside.push(text_of(&item.ident));
        visit::visit_item_mod(self, item);
        self.inside.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.written(path);
        visit::visit_path(self, path);
    }

    /// `pub(in crate::tool)` says who may see it and takes nothing in.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        match &attribute.meta {
            Meta::List(list) => {
                self.written(&list.path);
                self.tokens(list.tokens.clone());
                self.strings_that_are_paths(list.tokens.clone());
            }
            Meta::Path(path) => self.written(path),
            // A comment of the documentation is one of these.
            Meta::NameValue(_) => {}
        }
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.written(&item.path);
        self.tokens(item.tokens.clone());
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        self.of_type(None, |reader| visit::visit_item_fn(reader, item));
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let name = match &*item.self_ty {
            syn::Type::Path(path) => path.path.segments.last().map(|part| text_of(&part.ident)),
            _ => None,
        };
        self.of_type(name, |reader| visit::visit_item_impl(reader, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.declared(&item.ident, &item.vis);
        self.of_type(Some(text_of(&item.ident)), |reader| visit::visit_item_trait(reader, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.declared(&item.ident, &item.vis);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.declared(&item.ident, &item.vis);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_union(&mut self, item: &'ast syn::ItemUnion) {
        self.declared(&item.ident, &item.vis);
        visit::visit_item_union(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.declared(&item.ident, &item.vis);
        visit::visit_item_type(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Code {
        Code::read(text).unwrap()
    }

    /// `line path`, or `line path = local` of an import.
    fn imports(text: &str) -> Vec<String> {
        let code = read(text);
        let shown = code.imports().map(|(name, import)| {
            let path = name.segments.join("::");
            format!("{} {path} = {}", name.line, import.local)
        });
        shown.collect()
    }

    fn paths(text: &str) -> Vec<String> {
        let code = read(text);
        let long = code.names.iter().filter(|name| name.segments.len() > 1);
        long.map(|name| format!("{} {}", name.line, name.segments.join("::"))).collect()
    }

    #[test]
    fn every_leaf_of_a_use_tree_is_an_import_on_its_own_line() {
        let text = "use crate::{\n    agent::{self, Agent as A},\n    tool::*,\n};\npub(crate) use a::b;\n";
        assert_eq!(
            imports(text),
            [
                "2 crate::agent = agent",
                "2 crate::agent::Agent = A",
                "3 crate::tool::* = *",
                "5 a::b = b"
            ]
        );
        let code = read(text);
        let handed_on: Vec<bool> = code.imports().map(|(_, import)| import.handed_on).collect();
        assert_eq!(handed_on, [false, false, false, true]);
        assert_eq!(imports("extern crate self as me;\n"), ["1 crate = me"]);
    }

    #[test]
    fn paths_count_in_types_code_patterns_attributes_and_macros() {
        let text = "#[derive(a::Derive)]\nstruct S(b::T<c::U>);\nfn f() {\n    if let d::V = e::g() {}\n    \
                    vec![\"{}\", $crate::h::i(crate::j::K)];\n    m! { use super::{n::O, p}; }\n}\n\
                    #[serde(with = \"crate::q::r\")]\nstruct T;\n";
        assert_eq!(
            paths(&text.replace("$crate", "crate")),
            [
                "1 a::Derive",
                "2 b::T",
                "2 c::U",
                "4 d::V",
                "4 e::g",
                "5 crate::h::i",
                "5 crate::j::K",
                "6 super::n::O",
                "6 super::p",
                "8 crate::q::r",
            ]
        );
        assert_eq!(paths("macro_rules! m { () => { $crate::a::B } }\n"), ["1 crate::a::B"]);
    }

    #[test]
    fn comments_strings_and_visibilities_name_nothing() {
        let text = "//! crate::a::B\n/// [`crate::a::B`]\npub(in crate::a) fn f() {\n    \"crate::a::B\";\n    // crate::a::B\n}\n";
        assert_eq!(paths(text), [""; 0]);
    }

    #[test]
    fn a_path_knows_the_modules_around_it() {
        let code = read("mod a {\n    mod b { use super::C; }\n}\nuse d::E;\n");
        let inside: Vec<String> = code.names.iter().map(|name| name.inside.join("::")).collect();
        assert_eq!(inside, ["a::b", ""]);
        assert_eq!(code.inline_modules, ["a", "b"]);
        assert_eq!(read("#[path = \"x.rs\"]\nmod a;\n").moved_modules, [2]);
    }

    #[test]
    fn short_names_are_put_in_full() {
        let code =
            read("use std::{env as e, io};\nfn f() { e::var(1); io::stdin(); other::g(); }\n");
        let written = code.names.iter().filter(|name| name.import.is_none());
        let full: Vec<String> = written.map(|name| code.in_full(name).join("::")).collect();
        assert_eq!(full, ["std::env::var", "std::io::stdin", "other::g"]);
    }

    #[test]
    fn functions_and_types_are_measured_where_they_stand() {
        let code = read(
            "/// doc\npub fn a() {\n    fn b() {}\n}\nimpl S {\n    fn c(&self) {\n    }\n}\n\
             pub struct S;\npub(crate) enum E {}\ntrait T { fn d() {} fn e(); }\npub type A = S;\n",
        );
        let functions: Vec<String> = code
            .functions
            .iter()
            .map(|function| format!("{} {} {}", function.line, function.name, function.lines))
            .collect();
        assert_eq!(functions, ["2 a 3", "3 b 1", "6 S::c 2", "11 T::d 1"]);
        let types: Vec<String> =
            code.types.iter().map(|t| format!("{} {} {}", t.line, t.name, t.public)).collect();
        assert_eq!(types, ["9 S true", "10 E false", "11 T false", "12 A true"]);
    }

    #[test]
    fn what_is_no_rust_says_where() {
        let error = Code::read("fn a() {}\nfn (\n").unwrap_err();
        assert_eq!(error.line, 2);
    }
}
