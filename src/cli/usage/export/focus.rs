//! Charges as the FinOps Open Cost and Usage Specification (FOCUS) 1.2 names
//! them: <https://focus.finops.org/focus-specification/v1-2>.
//!
//! A line is one kind of charge (input, cached input, output, ...) of one call, or
//! a correction of a call. Finer than most exports, so that any sum can be made
//! of it, and written without holding more than a page of calls.
//!
//! What weir can't know is told by what it does: the account that is billed is
//! the provider's name, the sub-account the tenant. Costs are what the call was
//! charged by the configured prices, so list, contracted, effective and billed
//! cost are the same, and so are unit prices: a charge's cost by its quantity. No
//! commitment discounts anything: their columns are there, for tools that look for
//! them, and null. A charge's period is the hour (UTC) in which the call
//! began; a correction has its call's.

use super::super::output::{guarded, record};
use crate::exchange::UsageEvent;
use crate::exchange::event::Outcome;
use crate::ledger::reports::instant::{month_of, told};
use crate::ledger::reports::money::exact;
use crate::ledger::store::Adjustment;
use crate::ledger::store::columns::at;
use crate::pricing::Kind;
use crate::protocol::Endpoint;
use crate::units::{Millis, UnixMillis};
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use std::io::Write;

/// Columns of FOCUS, then weir's own, which begin with `x_`.
const COLUMNS: [&str; 46] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountCategory",
    "CommitmentDiscountId",
    "CommitmentDiscountName",
    "CommitmentDiscountStatus",
    "CommitmentDiscountType",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "ContractedUnitPrice",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ListUnitPrice",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "ServiceSubcategory",
    "SkuId",
    "SkuMeter",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_CallId",
    "x_PriceVersion",
];

const HOUR: Millis = Millis(3_600_000);

/// One charge.
struct Charge<'a> {
    /// What is charged for: of [`Kind`], or `usage`, or `correction`.
    meter: &'a str,
    quantity: Option<(u64, &'static str)>,
    cost_nanos: i128,
    is_correction: bool,
    price_version: Option<&'a str>,
    description: String,
}

pub fn head() -> anyhow::Result<Vec<u8>> {
    record(COLUMNS)
}

/// The lines of a call; how many.
pub fn write(
    event: &UsageEvent,
    corrections: &[&Adjustment],
    to: &mut impl Write,
) -> anyhow::Result<u64> {
    let charges = charges(event, corrections);
    if charges.is_empty() {
        return Ok(0);
    }
    let of_call = OfCall::new(event);
    for charge in &charges {
        to.write_all(&record(of_call.fields(charge))?)?;
    }
    Ok(charges.len() as u64)
}

fn charges<'a>(event: &'a UsageEvent, corrections: &[&'a Adjustment]) -> Vec<Charge<'a>> {
    let model = event
        .model
        .as_deref()
        .unwrap_or("a model that is not configured");
    let usage = |meter: &'a str, quantity, cost_nanos| Charge {
        meter,
        quantity: Some(quantity),
        cost_nanos,
        is_correction: false,
        price_version: event.price_version.as_deref(),
        description: format!("{model}: {}", meter.replace('_', " ")),
    };
    let mut charges: Vec<Charge> = Vec::new();
    for part in &event.cost_parts {
        let quantity = (part.units, unit(part.kind));
        charges.push(usage(part.kind.as_str(), quantity, part.cost_nanos.into()));
    }
    let known: i128 = charges.iter().map(|charge| charge.cost_nanos).sum();
    let rest = i128::from(event.cost_nanos.unwrap_or(0)) - known;
    let tokens = (event.total_tokens(), "Tokens");
    let is_unseen = charges.is_empty() && tokens.0 > 0 && event.outcome != Outcome::Void;
    if rest != 0 || is_unseen {
        charges.push(usage("usage", tokens, rest));
    }
    charges.extend(corrections.iter().map(|one| Charge {
        meter: "correction",
        quantity: None,
        cost_nanos: one.delta_nanos.into(),
        is_correction: true,
        price_version: one.price_version.as_deref(),
        description: format!("{model}: corrected: {}", one.reason),
    }));
    charges
}

/// Dollars for one unit, with as many digits as show a rate of a millionth of a
/// nano-dollar; nothing for a correction. Without a price it is that of its cost.
fn unit_price(charge: &Charge) -> String {
    const PER_NANO: i128 = 1_000_000;
    const PER_DOLLAR: u128 = 1_000_000_000 * PER_NANO.unsigned_abs();
    let Some((quantity, _)) = charge.quantity.filter(|(quantity, _)| *quantity > 0) else {
        return String::new();
    };
    let parts = charge.cost_nanos.saturating_mul(PER_NANO);
    let each = (parts / i128::from(quantity)).unsigned_abs();
    let sign = if parts < 0 { "-" } else { "" };
    let (whole, rest) = (each / PER_DOLLAR, each % PER_DOLLAR);
    format!("{sign}{whole}.{rest:015}")
}

/// Which price of which meter it is. Without a price, that there is none.
fn sku_price(charge: &Charge) -> String {
    match charge.is_correction {
        true => String::new(),
        false => {
            let version = charge.price_version.unwrap_or("unpriced");
            format!("{version} {}", charge.meter)
        }
    }
}

fn unit(kind: Kind) -> &'static str {
    match kind {
        Kind::Request => "Requests",
        Kind::Search => "Searches",
        _ => "Tokens",
    }
}

/// What all charges of a call share.
struct OfCall<'a> {
    event: &'a UsageEvent,
    provider: &'a str,
    model: &'a str,
    hour: UnixMillis,
    month: (UnixMillis, UnixMillis),
}

impl<'a> OfCall<'a> {
    fn new(event: &'a UsageEvent) -> Self {
        let at = at(event);
        let hour = UnixMillis(at.0 - at.0 % HOUR.0);
        let first = month_of(at, &TimeZone::UTC).unwrap_or(at);
        // No month has more than 31 days, and each next one has a 4th.
        let next = month_of(first + Millis(34 * 24 * HOUR.0), &TimeZone::UTC);
        Self {
            event,
            provider: event.provider.as_deref().unwrap_or(&event.dialect),
            model: event.model.as_deref().unwrap_or(""),
            hour,
            month: (first, next.unwrap_or(first)),
        }
    }

    /// In the order of [`COLUMNS`].
    fn fields(&self, charge: &Charge) -> Vec<String> {
        [
            self.charged(charge),
            self.priced(charge),
            self.named(charge),
        ]
        .concat()
    }

    /// What is charged, when and by whom.
    fn charged(&self, charge: &Charge) -> Vec<String> {
        let utc = |at| told(at, &TimeZone::UTC);
        let class = if charge.is_correction {
            "Correction"
        } else {
            ""
        };
        vec![
            exact(charge.cost_nanos),
            guarded(self.provider),
            String::new(),
            "USD".to_owned(),
            utc(self.month.1),
            utc(self.month.0),
            "Usage".to_owned(),
            class.to_owned(),
            guarded(&charge.description),
            "Usage-Based".to_owned(),
            utc(self.hour + HOUR),
            utc(self.hour),
        ]
    }

    /// At which price.
    fn priced(&self, charge: &Charge) -> Vec<String> {
        let cost = exact(charge.cost_nanos);
        let unit_price = unit_price(charge);
        let (quantity, unit) = match charge.quantity {
            Some((quantity, unit)) => (quantity.to_string(), unit),
            None => (String::new(), ""),
        };
        let category = if charge.is_correction { "" } else { "Standard" };
        // No commitment has a category, an id, a name, a status or a type.
        let mut fields = vec![String::new(); 5];
        fields.extend([
            quantity.clone(),
            unit.to_owned(),
            cost.clone(),
            unit_price.clone(),
            cost.clone(),
            guarded(self.provider),
            cost,
            unit_price,
            category.to_owned(),
            quantity,
            unit.to_owned(),
        ]);
        fields
    }

    /// Of what, and for whom.
    fn named(&self, charge: &Charge) -> Vec<String> {
        let (provider, event) = (guarded(self.provider), self.event);
        let tenant = guarded(event.tenant.as_deref().unwrap_or(""));
        let sku = if self.model.is_empty() {
            "unknown"
        } else {
            self.model
        };
        vec![
            provider.clone(),
            provider.clone(),
            String::new(),
            String::new(),
            guarded(&format!("{}/{}", self.provider, self.model)),
            guarded(self.model),
            "Model".to_owned(),
            "AI and Machine Learning".to_owned(),
            provider,
            "Generative AI".to_owned(),
            guarded(sku),
            charge.meter.to_owned(),
            guarded(&sku_price(charge)),
            tenant.clone(),
            tenant,
            self.tags(),
            event.id.to_string(),
            guarded(charge.price_version.unwrap_or("")),
        ]
    }

    /// A JSON object.
    fn tags(&self) -> String {
        let event = self.event;
        let mut tags = Map::new();
        for (name, value) in [
            ("tenant", event.tenant.as_deref()),
            ("project", event.project.as_deref()),
            ("environment", event.environment.as_deref()),
            ("user", event.user.as_deref()),
            ("key", event.key_id.as_deref()),
            ("plan", event.plan.as_deref()),
            ("endpoint", event.endpoint.map(Endpoint::path)),
            ("model_served", event.model_served.as_deref()),
            ("service_tier", event.service_tier.as_deref()),
            ("outcome", Some(event.outcome.as_str())),
        ] {
            if let Some(value) = value {
                tags.insert(name.to_owned(), value.into());
            }
        }
        for (name, value) in event.labels.iter().flat_map(|labels| labels.iter()) {
            tags.insert(format!("label.{name}"), (&**value).into());
        }
        if event.cost_nanos.is_none() {
            tags.insert("unpriced".to_owned(), "true".into());
        }
        Value::Object(tags).to_string()
    }
}
