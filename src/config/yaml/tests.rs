//! The located tree: places, source text, bounds.

use super::*;

fn entry<'n>(node: &'n Node, key: &str) -> &'n Node {
    let Value::Map(entries) = &node.value else {
        panic!("no mapping: {node:?}")
    };
    &entries.iter().find(|e| e.key == key).unwrap().node
}

#[test]
fn scalars_keep_their_text_and_their_place() {
    let text = "a: 0123\nb:\n  - 1_000\n  - 200k\n  - 1e3\n  - 0x10\nc: yes\nd: true\ne: ~\nf: .inf\ng: \"5\"\n";
    let root = parse(text).unwrap();
    assert!(matches!(&entry(&root, "a").value, Value::Number(w) if w == "0123"));
    assert_eq!(entry(&root, "a").place, Some(Place { line: 1, column: 4 }));
    let Value::List(items) = &entry(&root, "b").value else {
        panic!()
    };
    let written: Vec<String> = items
        .iter()
        .map(|item| match &item.value {
            Value::Number(text) | Value::Text(text) => text.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(written, ["1_000", "200k", "1e3", "0x10"]);
    assert_eq!(items[1].place, Some(Place { line: 4, column: 5 }));
    assert!(matches!(&entry(&root, "c").value, Value::Text(t) if t == "yes"));
    assert!(matches!(entry(&root, "d").value, Value::Bool(true)));
    assert!(matches!(entry(&root, "e").value, Value::Null));
    assert!(matches!(&entry(&root, "f").value, Value::Text(_)));
    assert!(matches!(&entry(&root, "g").value, Value::Text(t) if t == "5"));
}

#[test]
fn numbers_are_read_at_the_right_bytes_behind_wide_characters_and_a_mark() {
    let root = parse("\u{feff}ä: 'ß€😀'\nb: {k: 0077, \"😀\": 0088}\n").unwrap();
    let b = entry(&root, "b");
    assert!(matches!(&entry(b, "k").value, Value::Number(w) if w == "0077"));
    assert!(matches!(&entry(b, "😀").value, Value::Number(w) if w == "0088"));
}

#[test]
fn aliases_stand_where_they_are_used_and_number_texts_survive() {
    let root = parse("a: &x {n: 007}\nb: *x\nc: {<<: *x, m: 1}\n").unwrap();
    for key in ["a", "b", "c"] {
        let n = entry(entry(&root, key), "n");
        assert!(
            matches!(&n.value, Value::Number(w) if w == "007"),
            "{key}: {n:?}"
        );
    }
    assert_eq!(entry(&root, "b").place, Some(Place { line: 2, column: 4 }));
}

#[test]
fn keys_given_twice_are_kept_twice_and_odd_keys_are_texts() {
    let root = parse("a: 1\na: 2\n1: x\ntrue: y\n0x1: w\n").unwrap();
    let Value::Map(entries) = &root.value else {
        panic!()
    };
    let keys: Vec<&str> = entries.iter().map(|e| e.key.as_str()).collect();
    assert_eq!(keys, ["a", "a", "1", "true", "0x1"]);
    assert_eq!(entries[1].key_place, Some(Place { line: 2, column: 1 }));
}

#[test]
fn what_is_no_yaml_is_one_message_with_its_place() {
    for (text, place) in [
        ("a: [1, 2\n", true),
        ("a: 'x\nb: 2\n", true),
        ("a: b: c\n", true),
        ("a:\n\tb: 1\n", true),
        ("~: 1\n", true),
        ("a: *nobody\n", true),
        ("a: !!python/object x\n", true),
        ("? [a]\n: b\n", true),
        ("a: 1\n---\nb: 2\n", true),
    ] {
        let (at, message) = parse(text).expect_err(text);
        assert!(
            message.starts_with("is not valid YAML: ") || message.starts_with("has a tag"),
            "{message}"
        );
        assert_eq!(at.is_some(), place, "{text:?}: {at:?} {message}");
        assert!(!message.contains('\n'));
    }
}

#[test]
fn a_syntax_error_repeats_no_value() {
    for text in [
        "counters: { redis: { url: \"redis://:hunter2@h:1 } }\n",
        "url: redis://:hunter2@h\n bad: x\n",
        "url: !hunter2 x\n",
        "a: hunter2: b\n",
        "- hunter2\nb: 1\n",
        "a: \"hunter2 \\q\"\n",
        "a: *hunter2\n",
        "a: !!int hunter2\n",
        "a: !!binary hunter2\n",
        "a: !!bool hunter2\n",
        "a: !!float hunter2\n",
    ] {
        let Err((_, message)) = parse(text) else {
            panic!("{text}")
        };
        assert!(!message.contains("hunter2"), "{text:?}: {message}");
    }
}

#[test]
fn depth_and_aliases_are_bounded() {
    let deep_flow = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_block: String = (0..2_000)
        .map(|n| format!("{}a:\n", " ".repeat(n)))
        .collect();
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let ten = vec![format!("*a{}", n - 1); 10].join(", ");
        laughs.push_str(&format!("a{n}: &a{n} [{ten}]\n"));
    }
    for text in [deep_flow, deep_block, laughs, "a: &a [*a]\n".to_owned()] {
        assert!(parse(&text).is_err());
    }
}
