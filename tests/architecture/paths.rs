//! Every path that a file names, resolved as far as the rules need it.
//!
//! Imports, types, expressions, attributes and the insides of macros are all
//! read. Items behind `#[cfg(test)]` are left out, the test's own folder too.

use proc_macro2::{TokenStream, TokenTree};
use std::ops::RangeInclusive;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItemFn, Item, ItemFn, ItemMod, Meta, TraitItemFn, UseTree};

/// What a file says, tests aside.
#[derive(Debug, Default)]
pub struct Said {
    pub paths: Vec<Named>,
    pub functions: Vec<Function>,
    /// Names of all modules, those with a body of their own and those without.
    pub modules: Vec<String>,
    /// Lines that `#[cfg(test)]` takes.
    pub test_lines: Vec<RangeInclusive<usize>>,
    /// Modules named `tests` that are not behind `#[cfg(test)]`.
    pub open_tests: Vec<usize>,
    /// `#[path]`, `extern crate`, and the like: what would hide where code is.
    pub detours: Vec<(usize, &'static str)>,
    /// Names of macros that are called.
    pub macros: Vec<(usize, String)>,
}

/// A path, from the crate's root (`crate` first) or from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub line: usize,
    pub path: Vec<String>,
    /// An import binds what lies below the path too.
    pub import: bool,
}

#[derive(Debug)]
pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

/// Reads a file of the module `module`.
pub fn read(file: &syn::File, module: &[String]) -> Said {
    let mut reader = Reader {
        module: module.to_vec(),
        said: Said::default(),
    };
    reader.visit_file(file);
    reader.said
}

struct Reader {
    module: Vec<String>,
    said: Said,
}

impl Reader {
    fn named(&mut self, line: usize, path: Vec<String>, import: bool) {
        if let Some(path) = resolve(&self.module, path) {
            self.said.paths.push(Named { line, path, import });
        }
    }

    fn tree(&mut self, prefix: &mut Vec<String>, tree: &UseTree) {
        let line = tree.span().start().line;
        match tree {
            UseTree::Path(path) => {
                prefix.push(plain(&path.ident));
                self.tree(prefix, &path.tree);
                prefix.pop();
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(prefix, tree);
                }
            }
            UseTree::Glob(_) => self.named(line, prefix.clone(), true),
            UseTree::Name(_) | UseTree::Rename(_) => {
                let ident = match tree {
                    UseTree::Name(name) => &name.ident,
                    UseTree::Rename(rename) => &rename.ident,
                    _ => return,
                };
                let mut path = prefix.clone();
                // `use a::{self}` is `use a`; `use crate as x` stays as it is.
                if ident != "self" || path.is_empty() {
                    path.push(plain(ident));
                }
                self.named(line, path, true);
            }
        }
    }

    /// The paths in a macro's tokens: names with `::` between them.
    fn tokens(&mut self, stream: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let (mut line, mut colons) = (0, 0);
        let mut bang = None;
        for token in stream {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.flush(line, &mut path);
                        line = ident.span().start().line;
                    }
                    colons = 0;
                    bang = Some((ident.span().start().line, plain(&ident)));
                    path.push(plain(&ident));
                    continue;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Punct(punct) if punct.as_char() == '!' => {
                    self.said.macros.extend(bang.take());
                    self.flush(line, &mut path);
                }
                TokenTree::Group(group) => {
                    // `a::{b, c}`: as a whole, an import of `a`.
                    if colons == 2 && !path.is_empty() {
                        self.named(line, path.clone(), true);
                    }
                    self.flush(line, &mut path);
                    self.tokens(group.stream());
                    colons = 0;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.flush(line, &mut path);
                    colons = 0;
                }
            }
            bang = None;
        }
        self.flush(line, &mut path);
    }

    fn flush(&mut self, line: usize, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.named(line, path, false);
        }
    }

    fn function(&mut self, name: &syn::Ident, span: impl Spanned) {
        let (line, end) = (name.span().start().line, span.span().end().line);
        self.said.functions.push(Function {
            name: plain(name),
            line,
            lines: end + 1 - line,
        });
    }

    /// Leaves tests out; true if this is one.
    fn is_test(&mut self, attributes: &[Attribute], span: impl Spanned) -> bool {
        let test = attributes.iter().any(is_cfg_test);
        if test {
            let first = attributes
                .first()
                .map_or(span.span().start().line, |a| a.span().start().line);
            self.said.test_lines.push(first..=span.span().end().line);
        }
        test
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !self.is_test(attributes(item), item) {
            visit::visit_item(self, item);
        } else if let Item::Mod(module) = item {
            self.said.modules.push(plain(&module.ident));
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if !self.is_test(&function.attrs, function) {
            self.function(&function.sig.ident, function);
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        self.function(&function.sig.ident, function);
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.function(&function.sig.ident, function);
        visit::visit_item_fn(self, function);
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let name = plain(&module.ident);
        let line = module.ident.span().start().line;
        if name == "tests" {
            self.said.open_tests.push(line);
        }
        if module
            .attrs
            .iter()
            .any(|attribute| attribute.path().is_ident("path"))
        {
            self.said.detours.push((line, "#[path]"));
        }
        self.said.modules.push(name.clone());
        self.module.push(name);
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.said
            .detours
            .push((item.span().start().line, "extern crate"));
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&mut Vec::new(), &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let segments = path
                .segments
                .iter()
                .map(|segment| plain(&segment.ident))
                .collect();
            self.named(path.span().start().line, segments, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        if mac.path.is_ident("include") {
            self.said
                .detours
                .push((mac.span().start().line, "include!"));
        }
        if let Some(last) = mac.path.segments.last() {
            self.said
                .macros
                .push((last.span().start().line, plain(&last.ident)));
        }
        self.visit_path(&mac.path);
        self.tokens(mac.tokens.clone());
    }

    /// `#[derive(a::B)]`, `#[a::b]`.
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }
}

fn is_cfg_test(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else {
        return false;
    };
    list.path.is_ident("cfg") && list.tokens.to_string() == "test"
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        _ => &[],
    }
}

/// `r#type` is `type`.
fn plain(ident: &proc_macro2::Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map(str::to_owned).unwrap_or(text)
}

/// A path seen from `module`: `self` and `super` become `crate::...`. `None`
/// where `super` leaves the crate.
fn resolve(module: &[String], path: Vec<String>) -> Option<Vec<String>> {
    let first = path.first()?.as_str();
    if !matches!(first, "self" | "super") {
        return Some(path);
    }
    let mut base = module.to_vec();
    let mut rest = path.as_slice();
    while let Some((word, after)) = rest.split_first() {
        match word.as_str() {
            "self" => {}
            "super" => drop(base.pop()?),
            _ => break,
        }
        rest = after;
    }
    let absolute = std::iter::once("crate".to_owned())
        .chain(base)
        .chain(rest.iter().cloned());
    Some(absolute.collect())
}
