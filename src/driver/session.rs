//! One exchange with its driver: events in, replies out, effects carried out.

use super::{Driver, Opened, reserve, settle, unsettled};
use crate::exchange::{Effect, Event, Exchange, Reply, Role, Step};
use crate::ledger::faults::die;
use crate::limits::{Decision, Reservation, SHARED_SLOT};
use crate::units::Millis;
use std::sync::Arc;
use std::task::Poll;

/// For how long a call is held back.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    span: Millis,
    /// The longest that it may come to wait in all: its gateway must be as patient.
    pub most: Millis,
}

/// One call's exchange, driven. Dropping it settles what it owes.
pub struct Session {
    driver: Arc<Driver>,
    exchange: Option<Exchange>,
    role: Role,
    settling: Option<settle::Underway>,
    /// It is to be held back.
    wait: Option<Wait>,
    /// `None` only while it is dropped.
    open: Option<Opened>,
}

impl Session {
    pub(super) fn new(driver: Arc<Driver>, exchange: Exchange, role: Role) -> Self {
        driver.recorder.opened();
        Self {
            open: Some(driver.open.enter()),
            driver,
            exchange: Some(exchange),
            role,
            settling: None,
            wait: None,
        }
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn driver(&self) -> &Arc<Driver> {
        &self.driver
    }

    /// Whether the door's work is done and its stream may be ended cleanly.
    pub fn is_over(&self) -> bool {
        self.exchange.as_ref().is_none_or(Exchange::is_over)
    }

    /// Takes the last event: returns once nothing is owed any more, or what is
    /// owed has taken too long and goes on by itself.
    pub async fn close(&mut self) {
        self.step(Event::Closed).await;
        if let Some(settling) = self.settling.take() {
            settling.wait().await;
        }
    }

    /// Whether the last event's reply is still due, after a wait. See
    /// [`Session::after_wait`].
    pub fn wait(&self) -> Option<Wait> {
        self.wait
    }

    /// Waits, if many don't already, and goes on.
    pub async fn after_wait(&mut self) -> Option<Reply> {
        let wait = self.wait.take()?;
        let waited = match self.driver.crowd.enter() {
            Some(place) => {
                tokio::time::sleep(wait.span.into()).await;
                drop(place);
                true
            }
            None => false,
        };
        self.step(Event::Waited(waited)).await
    }

    /// Takes one event and carries out what follows from it. A reply doesn't
    /// wait for the store's answer to a settlement: the store is asked before.
    pub async fn step(&mut self, event: Event) -> Option<Reply> {
        let mut event = event;
        loop {
            let now = self.driver.clock.now();
            let Step { reply, effects } = self.exchange.as_mut()?.step(event, now);
            let mut answer = None;
            for effect in effects {
                if let Some(next) = self.perform(effect).await {
                    answer = Some(next);
                }
            }
            match answer {
                Some(next) => event = next,
                None => return reply,
            }
        }
    }

    async fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Reserve(reservation) => Some(self.reserve(reservation).await),
            Effect::Settle(settlement) => {
                self.settling = settle::start(&self.driver, *settlement);
                None
            }
            Effect::Adopt { hold, slot, shared } => {
                let shared = shared.then(|| (hold.shared(), Arc::from(SHARED_SLOT)));
                for (hold, slot) in [Some((hold, slot)), shared].into_iter().flatten() {
                    self.driver.leases.adopt(hold, slot);
                }
                None
            }
            Effect::Record(event) => {
                self.driver.record(*event);
                None
            }
            Effect::Wait { span, most } => {
                self.wait = Some(Wait { span, most });
                None
            }
            Effect::Notice(notice) => {
                self.driver.heard(notice);
                None
            }
        }
    }

    async fn reserve(&self, reservation: Reservation) -> Event {
        let driver = &self.driver;
        let started = driver.clock.instant();
        let noting = driver
            .recorder
            .intent(reservation.hold, &reservation.context);
        let mut reserving = std::pin::pin!(reserve::reserve(driver, &reservation));
        // Both at once where the store has to be asked; a decision that is there
        // already is worth no note if it is a refusal.
        let (decision, noted) = match futures_util::poll!(&mut reserving) {
            Poll::Ready(decision @ Ok(Decision::Admitted(_))) => {
                self.keep(&reservation);
                (decision, noting.await)
            }
            Poll::Ready(decision) => (decision, false),
            Poll::Pending => {
                let kept = async {
                    let decision = reserving.await;
                    if let Ok(Decision::Admitted(_)) = &decision {
                        self.keep(&reservation);
                    }
                    decision
                };
                tokio::join!(kept, noting)
            }
        };
        driver.recorder.decided(started.elapsed());
        die("die::decided");
        if noted && !matches!(decision, Ok(Decision::Admitted(_))) {
            driver.recorder.not_let_through(reservation.hold).await;
        }
        match decision {
            // A call that can't be accounted for is not let through.
            Ok(decision @ Decision::Admitted(_)) => Event::Decided(noted.then_some(decision)),
            Ok(decision) => Event::Decided(Some(decision)),
            Err(error) => {
                tracing::warn!(%error, "a reservation failed; the call is refused");
                Event::Decided(None)
            }
        }
    }

    /// Takes the hold into care.
    fn keep(&self, reservation: &Reservation) {
        let until = match self.role {
            Role::Door => Some(self.driver.clock.now() + self.driver.settings.handover_max),
            Role::Full | Role::Meter => None,
        };
        reserve::keep(&self.driver, reservation, until);
    }
}

impl Drop for Session {
    #[expect(
        clippy::disallowed_methods,
        reason = "a dropped session settles in a task of its own"
    )]
    fn drop(&mut self) {
        self.driver.recorder.closed();
        let owing = self.exchange.take().filter(Exchange::owes_settlement);
        let Some(mut exchange) = owing else {
            return;
        };
        let (driver, open) = (Arc::clone(&self.driver), self.open.take());
        tokio::spawn(async move {
            let step = exchange.step(Event::Closed, driver.clock.now());
            for effect in step.effects {
                match effect {
                    Effect::Settle(settlement) => unsettled::settle(&driver, *settlement).await,
                    Effect::Record(event) => driver.recorder.record(*event),
                    _ => {}
                }
            }
            drop(open);
        });
    }
}
