//! Counts what leaves and what is lost on the way.

use crate::telemetry::metrics::{Metrics, SpanLoss};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// An exporter that says how it fares: the SDK keeps its failures to itself.
#[derive(Debug)]
pub(super) struct Counting<E> {
    exporter: E,
    queued: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
    failing: AtomicBool,
}

impl<E> Counting<E> {
    pub fn new(exporter: E, queued: Arc<AtomicUsize>, metrics: Arc<Metrics>) -> Self {
        Self {
            exporter,
            queued,
            metrics,
            failing: AtomicBool::new(false),
        }
    }
}

impl<E: SpanExporter> SpanExporter for Counting<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.queued.fetch_sub(spans, Ordering::AcqRel);
        let outcome = self.exporter.export(batch).await;
        let was_failing = self.failing.swap(outcome.is_err(), Ordering::AcqRel);
        match &outcome {
            Ok(()) if was_failing => tracing::info!("the trace collector takes spans again"),
            Ok(()) => {}
            Err(error) => {
                let lost = u64::try_from(spans).unwrap_or(u64::MAX);
                self.metrics.spans_lost(SpanLoss::ExportFailed, lost);
                if !was_failing {
                    tracing::warn!(%error, "the trace collector does not take spans");
                }
            }
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
