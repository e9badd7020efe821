//! What is asked of each call allocates nothing: conditions, whatever they use.
#![expect(
    unsafe_code,
    reason = "an allocator that counts can't be written without"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use weir::expressions::NoValue;
use weir::expressions::condition::{Condition, Facts, Field, Kind, NoField, Schema, Value};

/// The system's allocator, counting for each thread, as tests run beside others.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is done by the system's allocator; counting doesn't allocate.
// Growing and zeroing go through `alloc`, as the trait provides them.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends may have lost its count.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the same promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the same promises, and `alloc` is the system's.
        unsafe { System.dealloc(at, layout) }
    }
}

fn allocations(of: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    of();
    ALLOCATIONS.get() - before
}

struct Call;

impl Schema for Call {
    fn field(&self, path: &[&str]) -> Result<(Field, Kind), NoField> {
        Ok(match path {
            ["model"] => (Field(0), Kind::Text),
            ["cost_max"] => (Field(1), Kind::Int),
            ["temperature"] => (Field(2), Kind::Float),
            ["stream"] => (Field(3), Kind::Bool),
            ["tags"] => (Field(4), Kind::Texts),
            ["metadata"] => (Field(5), Kind::Map),
            ["budget", "used"] => (Field(6), Kind::Int),
            _ => {
                return Err(NoField {
                    at: 0,
                    known: Vec::new(),
                });
            }
        })
    }
}

impl Facts for Call {
    fn value(&self, field: Field) -> Option<Value<'_>> {
        match field.0 {
            0 => Some(Value::Text("größe-4.1")),
            1 => Some(Value::Int(250_000_000)),
            2 => Some(Value::Float(0.5)),
            3 => Some(Value::Bool(true)),
            _ => None,
        }
    }

    fn entry(&self, _: Field, key: &str) -> Option<&str> {
        (key == "team").then_some("blue")
    }

    fn texts_len(&self, _: Field) -> Option<usize> {
        Some(2)
    }

    fn text_at(&self, _: Field, at: usize) -> Option<&str> {
        ["a", "team"].get(at).copied()
    }
}

#[test]
fn a_condition_allocates_nothing_when_it_is_asked() {
    assert_eq!(
        allocations(|| drop(black_box(Box::new(1)))),
        1,
        "the count counts"
    );
    for (text, expected) in [
        (
            "model == 'größe-4.1' && cost_max >= usd(0.25) || stream",
            Ok(true),
        ),
        (
            "!(temperature > 1) && -cost_max + 1 < 0 && cost_max % 2 == 0",
            Ok(true),
        ),
        ("stream ? temperature * 2.0 == 1 : false", Ok(true)),
        ("budget.used > 0", Err(NoValue)),
        ("cost_max / 0 == 1 || has(budget.used)", Err(NoValue)),
        ("model in ['a', 'b', metadata.team]", Ok(false)),
        (
            "'a' in tags && 'team' in metadata && has(metadata.team)",
            Ok(true),
        ),
        ("size(model) == 9 && size(tags) == 2", Ok(true)),
        (
            "model.startsWith('g') && model.endsWith('1') && model.contains('-')",
            Ok(true),
        ),
        (
            "model.matches(r'^\\w+-[0-9]') && !model.matches('(?i)^(a|b)+$')",
            Ok(true),
        ),
        (
            "tags.exists(t, metadata[t] == 'blue') && tags.all(t, size(t) > 0)",
            Ok(true),
        ),
    ] {
        let condition = Condition::compile(text, &Call).unwrap();
        let mut held = Err(NoValue);
        // The first time too: nothing is made ready late.
        let made = allocations(|| held = condition.holds(&Call));
        assert_eq!((held, made), (expected, 0), "{text}");
    }
}
