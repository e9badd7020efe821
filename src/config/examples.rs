//! Whole files to start with, for what people sell or share.

/// Each example by its name.
pub const ALL: &[(&str, &str)] = &[
    ("free", include_str!("examples/free.yaml")),
    ("team", include_str!("examples/team.yaml")),
    ("enterprise", include_str!("examples/enterprise.yaml")),
    ("prepaid", include_str!("examples/prepaid.yaml")),
    ("departments", include_str!("examples/departments.yaml")),
];

/// The example of this name.
pub fn example(name: &str) -> Option<&'static str> {
    let mut all = ALL.iter();
    all.find(|(known, _)| *known == name).map(|(_, text)| *text)
}
