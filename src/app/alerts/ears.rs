//! Hears what calls lead to, and has each alert told once.
//!
//! Always holds: hearing takes a look at a small table, and never waits; what is
//! remembered, and what waits to be kept, has a bound. What finds no room is counted,
//! and told when it comes again.

use crate::alerts::rate::Rate;
use crate::alerts::told::{Series, Told};
use crate::alerts::{Alert, Kind};
use crate::config::AlertsConfig;
use crate::driver::{Driver, Listener};
use crate::exchange::Notice;
use crate::policy::budget::Passed;
use crate::policy::grants::ApprovalRequest;
use crate::telemetry::metrics::{AlertOutcome, Metrics};
use crate::units::{Millis, UnixMillis};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::mpsc;

/// Alerts that wait to be kept, as a database may be away.
const QUEUE_MAX: usize = 1_024;

const DAY: Millis = Millis::from_mins(24 * 60);

/// For how long a budget without an end is known to have been told.
const ENDLESS: Millis = DAY;

/// Who hears.
pub(super) struct Ears {
    config: Arc<AlertsConfig>,
    told: Mutex<Told>,
    rate: Option<Mutex<Rate>>,
    /// There is no database that knows what waits for approval since when, and tells
    /// of it.
    tells_approvals: bool,
    queue: mpsc::Sender<Alert>,
    /// Whose clock it is; it holds these ears itself.
    driver: Weak<Driver>,
    metrics: Arc<Metrics>,
}

impl Ears {
    pub fn new(
        config: &Arc<AlertsConfig>,
        driver: &Arc<Driver>,
        metrics: &Arc<Metrics>,
    ) -> (Self, mpsc::Receiver<Alert>) {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let rate = config
            .refusals
            .filter(|_| {
                config
                    .webhooks
                    .iter()
                    .any(|of| of.on.contains(&Kind::Refusals))
            })
            .map(|of| Mutex::new(Rate::new(of.above, of.every)));
        let ears = Self {
            config: Arc::clone(config),
            told: Mutex::default(),
            rate,
            tells_approvals: false,
            queue,
            driver: Arc::downgrade(driver),
            metrics: Arc::clone(metrics),
        };
        (ears, waiting)
    }

    /// From now on these tell what waits for approval: without a database nobody else
    /// does.
    pub fn tell_approvals(&mut self) {
        self.tells_approvals = true;
    }

    fn approval(&self, request: &ApprovalRequest, now: UnixMillis) {
        let series = Series::Approval(Arc::clone(&request.id));
        // Nobody knows whether it was answered meanwhile.
        let day = UnixMillis(request.asked_at.0 - request.asked_at.0 % DAY.0);
        if self.is_new(&series, 0, day + DAY, now)
            && self.is_wanted(Kind::Approval, &request.tenant)
        {
            self.raise(Alert::approval(request, day), Some(&series));
        }
    }

    fn now(&self) -> Option<UnixMillis> {
        self.driver.upgrade().map(|driver| driver.clock().now())
    }

    /// Whether it goes further than what was told.
    fn is_new(&self, series: &Series, level: u64, until: UnixMillis, now: UnixMillis) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.is_new(series, level, until, now)
    }

    fn budget(&self, tenant: &Arc<str>, passed: &Passed, refused: bool, now: UnixMillis) {
        let series = Series::Budget {
            tenant: Arc::clone(tenant),
            counter: Arc::clone(&passed.counter),
            amount: passed.amount,
        };
        let level = match refused {
            true => 1_000,
            false => passed.threshold_per_mille,
        };
        let until = now + passed.resets_in_ms.map_or(ENDLESS, Millis);
        if self.is_new(&series, level, until, now) && self.is_wanted(Kind::Budget, tenant) {
            let alert = Alert::budget(tenant, passed, refused, now);
            self.raise(alert, Some(&series));
        }
    }

    fn is_wanted(&self, kind: Kind, tenant: &str) -> bool {
        let mut all = self.config.webhooks.iter();
        all.any(|webhook| webhook.wants(kind, Some(tenant)))
    }

    /// Whether there was room for it.
    fn raise(&self, alert: Alert, series: Option<&Series>) -> bool {
        if self.queue.try_send(alert).is_ok() {
            self.metrics.alert(AlertOutcome::Raised);
            return true;
        }
        self.metrics.alert(AlertOutcome::Lost);
        if let Some(series) = series {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.forget(series);
        }
        false
    }
}

impl Listener for Ears {
    fn heard(&self, notice: &Notice) {
        let Some(now) = self.now() else { return };
        match notice {
            Notice::Budget {
                tenant,
                passed,
                refused,
            } => self.budget(tenant, passed, *refused, now),
            Notice::Approval(request) if self.tells_approvals => self.approval(request, now),
            Notice::Approval(_) => {}
        }
    }

    fn refused(&self, tenant: &Arc<str>) {
        let (Some(rate), Some(now)) = (&self.rate, self.now()) else {
            return;
        };
        let lock = || rate.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counted = lock();
        let Some(many) = counted.refused(tenant, now) else {
            return;
        };
        let (above, every) = (counted.above(), counted.every());
        drop(counted);
        if !self.is_wanted(Kind::Refusals, tenant) {
            return;
        }
        let alert = Alert::refusals(tenant, many.count, above, (every, many.ends_at), now);
        if !self.raise(alert, None) {
            lock().again(tenant);
        }
    }
}
