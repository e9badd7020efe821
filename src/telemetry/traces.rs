//! One OpenTelemetry span for every call, sent to a collector by OTLP over gRPC.
//!
//! A span is made when its call is over, from the usage event, with the event's
//! own times; the caller's `traceparent` is its parent. Names follow the GenAI
//! semantic conventions (status: development), as of 1.41:
//! <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>. What they
//! have no name for is under `weir.`.
//!
//! Always holds: recording never waits. Spans are queued, up to
//! [`QUEUE_SPANS_MAX`], and exported in batches by a thread of the SDK over
//! connections that live on the given runtime; what finds no room or is refused
//! is counted in `weir_spans_lost_total`. A caller that says in its
//! `traceparent` that it doesn't sample gets no span.

mod export;
mod span;
mod traceparent;

use crate::exchange::UsageEvent;
use crate::telemetry::metrics::{Metrics, SpanLoss};
use export::Counting;
use opentelemetry::trace::{Span, Tracer, TracerProvider};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Spans that may wait for the collector (about 2 KiB each).
pub const QUEUE_SPANS_MAX: usize = 4_096;

/// Spans in one message.
const BATCH_SPANS_MAX: usize = 512;

/// A span waits at most this long for others to go with.
const BATCH_EVERY: Duration = Duration::from_secs(1);

/// How long the collector may take to accept a batch.
const EXPORT_MAX: Duration = Duration::from_secs(5);

/// How long the last batch may take.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// Why traces can't be started.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    #[error("the exporter can't be built: {0}")]
    Exporter(#[from] ExporterBuildError),
}

/// The way to the collector.
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    queued: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl Traces {
    /// Starts sending to `endpoint` (`http://host:port`) as `service_name`. The
    /// collector need not be there yet. Connections are carried by `runtime`,
    /// which must keep running until [`Traces::shutdown`] has returned.
    ///
    /// # Errors
    /// An endpoint that is no such address.
    pub fn start(
        endpoint: &str,
        service_name: &str,
        metrics: Arc<Metrics>,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, TracesError> {
        let _on_runtime = runtime.enter();
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_MAX)
            .build()?;
        let queued = Arc::new(AtomicUsize::new(0));
        let exporter = Counting::new(exporter, Arc::clone(&queued), Arc::clone(&metrics));
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_SPANS_MAX)
            .with_max_export_batch_size(BATCH_SPANS_MAX)
            .with_scheduled_delay(BATCH_EVERY)
            .build();
        let processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches)
            .build();
        let resource = Resource::builder_empty()
            .with_service_name(service_name.to_owned())
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("weir");
        Ok(Self {
            provider,
            tracer,
            queued,
            metrics,
        })
    }

    /// Makes the span of a call that is over. Never waits.
    pub fn record(&self, event: &UsageEvent) {
        let parent = traceparent::context(event.traceparent.as_deref());
        let builder = span::builder(event);
        let mut span = self.tracer.build_with_context(builder, &parent);
        if !span.is_recording() {
            return;
        }
        let room = self
            .queued
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |queued| {
                (queued < QUEUE_SPANS_MAX).then_some(queued + 1)
            });
        if room.is_err() {
            self.metrics.spans_lost(SpanLoss::QueueFull, 1);
            // Ending it, or dropping it, would queue it.
            std::mem::forget(span);
            return;
        }
        span.set_status(span::status(event));
        span.end_with_timestamp(span::time(event.ended_at_ms));
    }

    /// Sends what is queued and stops. Blocks, at most [`SHUTDOWN_MAX`] or so:
    /// not for a thread that runs async tasks.
    pub fn shutdown(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(SHUTDOWN_MAX) {
            tracing::warn!(%error, "the last spans may not have reached the collector");
        }
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Traces(..)")
    }
}

#[cfg(test)]
mod tests;
