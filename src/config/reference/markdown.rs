//! The reference as Markdown: a table for each block.

use super::{Block, Field, Form, Need, Written, blocks};
use std::fmt::Write as _;

const HEAD: &str = "# The configuration of weir

Printed by `weir config reference`. `weir config schema` prints the same as a JSON Schema for editors, \
`weir config example NAME` whole files to start with, and `weir check FILE` says all that is wrong with one.

A field that isn't known is a mistake, and so is one that is given twice; `null` counts as left out. \
YAML's anchors and aliases may share what is written once.
";

/// As `weir config reference` prints it.
pub fn text() -> String {
    let all = blocks();
    let mut text = HEAD.to_owned();
    text += "\n## How values are written\n| form | what it is |\n|---|---|\n";
    let mut forms: Vec<&Written> = Vec::new();
    for field in all.iter().flat_map(|block| block.fields) {
        written_in(field.form, &mut forms);
    }
    for form in forms {
        let _ = writeln!(text, "| {} | {} |", form.id, cell(form.doc));
    }
    for block in &all {
        table(block, &all, &mut text);
    }
    text
}

fn table(block: &Block, all: &[&'static Block], text: &mut String) {
    let _ = write!(text, "\n## {}\n{}\n", block.id, block.doc);
    let mut places = Vec::new();
    for parent in all {
        for field in parent.fields {
            if field
                .form
                .blocks()
                .iter()
                .any(|within| within.id == block.id)
            {
                places.push(format!("[{}](#{}).{}", parent.id, parent.id, field.name));
            }
        }
    }
    if !places.is_empty() {
        let _ = write!(text, "\nStands in {}.\n", places.join(", "));
    }
    if block.fields.is_empty() {
        return;
    }
    *text += "\n| field | form | left out | meaning |\n|---|---|---|---|\n";
    for field in block.fields {
        let (form, doc) = (shown(field.form), cell(field.doc));
        let _ = writeln!(
            text,
            "| `{}` | {form} | {} | {doc} |",
            field.name,
            need(field)
        );
    }
}

fn need(field: &Field) -> String {
    match field.need {
        Need::Required => "required".to_owned(),
        Need::Default(value) => format!("`{value}`"),
        Need::Optional(otherwise) => cell(otherwise),
    }
}

fn shown(form: &Form) -> String {
    match form {
        Form::Written(written) => written.id.to_owned(),
        Form::Words(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(", ")
        }
        Form::Block(block) => format!("[{}](#{})", block.id, block.id),
        Form::List(each) => format!("list of {}", shown(each)),
        Form::Some(each) => format!("{}, or a list", shown(each)),
        Form::Named(each) => format!("by name: {}", shown(each)),
        Form::Any(forms) => {
            let forms: Vec<String> = forms.iter().map(shown).collect();
            forms.join("; or ")
        }
    }
}

/// A text that doesn't end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn written_in(form: &Form, found: &mut Vec<&'static Written>) {
    match form {
        Form::Written(written) => {
            if !found.iter().any(|known| known.id == written.id) {
                found.push(written);
            }
        }
        Form::Words(_) | Form::Block(_) => {}
        Form::List(each) | Form::Some(each) | Form::Named(each) => written_in(each, found),
        Form::Any(forms) => {
            for form in *forms {
                written_in(form, found);
            }
        }
    }
}
