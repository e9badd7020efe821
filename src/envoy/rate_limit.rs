//! `envoy.service.ratelimit.v3`: whether a request that Envoy describes passes
//! the limits for its descriptors.
//!
//! What a descriptor charges and what is answered for it is `policy`'s part;
//! here it is translated. Always holds: a descriptor's values are in no log,
//! metric or error; a store that gives no answer is `UNAVAILABLE`, and what
//! follows from that is said by the filter's `failure_mode_deny`.

use crate::counters::CounterError;
use crate::driver::Driver;
use crate::limits::period::CalendarUnit;
use crate::limits::{Algorithm, Limit, Retry};
use crate::policy::descriptors::{self, Answer, Descriptor, Instead, OfDescriptor};
use crate::telemetry::metrics::RateLimitCode;
use crate::units::Millis;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::RateLimitOverride;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::rate_limit::Unit;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::{
    Code, DescriptorStatus, RateLimit,
};
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_server::{
    RateLimitService, RateLimitServiceServer,
};
use envoy_types::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use envoy_types::pb::google::protobuf::Duration;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service. It goes on answering while weir drains: the requests that are
/// under way elsewhere are to be limited to the end.
#[derive(Clone)]
pub struct RateLimits {
    driver: Arc<Driver>,
}

impl RateLimits {
    /// The service, ready to be mounted.
    pub fn server(driver: Arc<Driver>) -> RateLimitServiceServer<Self> {
        RateLimitServiceServer::new(Self { driver })
    }

    async fn answer(&self, request: RateLimitRequest) -> Result<Answer, Status> {
        if request.domain.is_empty() {
            return Err(Status::invalid_argument("a request needs a domain"));
        }
        let descriptors = request.descriptors.into_iter().map(descriptor);
        let descriptors = descriptors.collect::<Result<Vec<_>, _>>()?;
        let snapshot = self.driver.snapshot();
        let Some(domain) = snapshot.domains.get(&request.domain) else {
            return Ok(Answer::unlimited(descriptors.len()));
        };
        // 0 is what protobuf makes of a number that is left out.
        let hits = u64::from(request.hits_addend.max(1));
        let bill = domain
            .bill(&descriptors, hits)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        if bill.toll.charges.is_empty() {
            return Ok(Answer::unlimited(descriptors.len()));
        }
        let unavailable = |error: CounterError| Status::unavailable(error.to_string());
        let fate = self.driver.charge(&bill.toll).await.map_err(unavailable)?;
        if !fate.taken
            && let Some(used) = bill.used()
        {
            self.driver.charge(&used).await.map_err(unavailable)?;
        }
        Ok(bill.answer(&fate))
    }
}

#[tonic::async_trait]
impl RateLimitService for RateLimits {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let answer = self.answer(request.into_inner()).await;
        let (code, shadow_refused) = match &answer {
            Ok(answer) if answer.over => (RateLimitCode::OverLimit, false),
            Ok(answer) => (RateLimitCode::Ok, answer.shadow_refused),
            Err(_) => (RateLimitCode::Error, false),
        };
        self.driver.recorder().rate_limited(code, shadow_refused);
        answer.map(|answer| Response::new(response(&answer)))
    }
}

fn descriptor(written: RateLimitDescriptor) -> Result<Descriptor, Status> {
    if written.is_negative_hits {
        let text = "hits can't be given back: is_negative_hits is not supported";
        return Err(Status::invalid_argument(text));
    }
    let entries = written.entries.into_iter();
    Ok(Descriptor {
        entries: entries.map(|entry| (entry.key, entry.value)).collect(),
        hits: written.hits_addend.map(|hits| hits.value),
        instead: written.limit.and_then(|limit| instead(&limit)),
    })
}

/// `None` where its unit isn't known: then the configured limit holds.
fn instead(limit: &RateLimitOverride) -> Option<Instead> {
    // The two enumerations of units have the same numbers.
    let unit = Unit::try_from(limit.unit).ok()?;
    Some(Instead {
        amount: u64::from(limit.requests_per_unit),
        every: length(unit)?,
    })
}

const UNITS: [Unit; 7] = [
    Unit::Second,
    Unit::Minute,
    Unit::Hour,
    Unit::Day,
    Unit::Week,
    Unit::Month,
    Unit::Year,
];

/// A month is 30 days here and a year 365, as in Envoy's own headers.
fn length(unit: Unit) -> Option<Millis> {
    const DAY_SECS: u64 = 24 * 60 * 60;
    let secs = match unit {
        Unit::Unknown => return None,
        Unit::Second => 1,
        Unit::Minute => 60,
        Unit::Hour => 60 * 60,
        Unit::Day => DAY_SECS,
        Unit::Week => 7 * DAY_SECS,
        Unit::Month => 30 * DAY_SECS,
        Unit::Year => 365 * DAY_SECS,
    };
    Some(Millis::from_secs(secs))
}

fn response(answer: &Answer) -> RateLimitResponse {
    let statuses = answer.statuses.iter().map(|status| match status {
        OfDescriptor::Limited(status) => descriptor_status(status),
        OfDescriptor::Unlimited => DescriptorStatus {
            code: code(false),
            ..DescriptorStatus::default()
        },
        // Without a limit, Envoy shows nothing of it, least of all that nothing
        // is left.
        OfDescriptor::NotAsked => DescriptorStatus {
            code: Code::Unknown.into(),
            ..DescriptorStatus::default()
        },
    });
    RateLimitResponse {
        overall_code: code(answer.over),
        statuses: statuses.collect(),
        ..RateLimitResponse::default()
    }
}

fn code(over: bool) -> i32 {
    let code = if over { Code::OverLimit } else { Code::Ok };
    code.into()
}

fn descriptor_status(status: &descriptors::Status) -> DescriptorStatus {
    let until_reset = match status.retry {
        Some(Retry::After(wait)) => Some(wait),
        // It never passes. A client that only looks at this should not hurry.
        Some(Retry::Never) => status.limit.window().or(status.standing.reset_after),
        Some(Retry::WhenOneEnds) | None => status.standing.reset_after,
    };
    // Envoy shows the status with the least left: that must be one that refuses.
    let left = match status.over {
        true => 0,
        false => status.standing.remaining,
    };
    DescriptorStatus {
        code: code(status.over),
        current_limit: Some(current_limit(&status.limit, status.amount)),
        limit_remaining: narrowed(left),
        duration_until_reset: until_reset.map(duration),
        quota: None,
    }
}

fn current_limit(limit: &Limit, amount: u64) -> RateLimit {
    RateLimit {
        name: limit.name.to_string(),
        requests_per_unit: narrowed(amount),
        unit: unit(limit).into(),
    }
}

/// In Envoy's units, where there is one for it.
fn unit(limit: &Limit) -> Unit {
    if let Some(every) = limit.window() {
        let mut known = UNITS.into_iter();
        let found = known.find(|unit| length(*unit) == Some(every));
        return found.unwrap_or(Unit::Unknown);
    }
    let Algorithm::FixedWindow { period, .. } = &limit.algorithm else {
        return Unit::Unknown;
    };
    match period.calendar_unit() {
        Some(CalendarUnit::Hour) => Unit::Hour,
        Some(CalendarUnit::Day) => Unit::Day,
        Some(CalendarUnit::Week(_)) => Unit::Week,
        Some(CalendarUnit::Month(_)) => Unit::Month,
        None => Unit::Unknown,
    }
}

fn narrowed(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// In whole seconds, rounded up: Envoy tells clients no fractions, and cuts them
/// off.
fn duration(span: Millis) -> Duration {
    Duration {
        seconds: i64::try_from(span.0.div_ceil(1_000)).unwrap_or(i64::MAX),
        nanos: 0,
    }
}

#[cfg(test)]
mod tests;
