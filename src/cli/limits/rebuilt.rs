//! What came of a rebuild, as text.

use serde_json::Value;
use std::fmt::Write;

/// `None` where it isn't such an answer.
pub fn of(answer: &Value) -> Option<String> {
    if !answer["lost"].as_bool()? {
        return Some("nothing to rebuild: the counter store has all that it was told\n".to_owned());
    }
    let (mut text, mut counters) = (String::new(), 0);
    let limits = answer["limits"].as_array()?;
    for of in limits {
        let count = of["counters"].as_u64()?;
        counters += count;
        let (name, amount) = (of["limit"].as_str()?, of["amount"].as_u64()?);
        let unit = of["unit"].as_str()?;
        let (amount, unit) = match unit {
            "cost" => (
                format!("{}.{:09}", amount / NANOS, amount % NANOS),
                "dollars",
            ),
            unit => (amount.to_string(), unit),
        };
        let plan = of["plan"].as_str();
        let whose = plan.map_or("all tenants".to_owned(), |plan| format!("plan {plan}"));
        // Writing to a String can't fail.
        let _ = writeln!(text, "{name} ({whose}): {count} rebuilt, {amount} {unit}");
    }
    for of in answer["left_out"].as_array()? {
        let (name, why) = (of["limit"].as_str()?, of["why"].as_str()?);
        let _ = writeln!(text, "{name}: not rebuilt: {why}");
    }
    let already = answer["already"].as_u64()?;
    if already > 0 {
        let _ = writeln!(text, "{already} had been rebuilt before");
    }
    if answer["may_lack"].as_bool()? {
        text += "rows were still on their way to the ledger: counters may lack their calls\n";
    }
    let many = if counters == 1 { "" } else { "s" };
    let _ = writeln!(text, "{counters} counter{many} rebuilt from the ledger");
    Some(text)
}

/// Nano-dollars in a dollar.
const NANOS: u64 = 1_000_000_000;
