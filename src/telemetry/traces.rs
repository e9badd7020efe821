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
use opentelemetry::trace::{Span, TraceContextExt, Tracer, TracerProvider};
use opentelemetry_otlp::{
    ExporterBuildError, RetryPolicy, SpanExporter, WithExportConfig, WithTonicConfig,
};
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

/// Before a batch that the collector did not take is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

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
            .with_retry_policy(one_retry())
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
            .with_attribute(opentelemetry::KeyValue::new(
                "service.version",
                env!("CARGO_PKG_VERSION"),
            ))
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
        let caller = parent.span().span_context().clone();
        if caller.is_valid() && !caller.is_sampled() {
            return;
        }
        // Asked before the span exists: one that is begun is queued at its end.
        if !self.take_room() {
            self.metrics.spans_lost(SpanLoss::QueueFull, 1);
            return;
        }
        let mut span = self
            .tracer
            .build_with_context(span::builder(event), &parent);
        if !span.is_recording() {
            // Shut down already.
            self.queued.fetch_sub(1, Ordering::AcqRel);
            self.metrics.spans_lost(SpanLoss::ExportFailed, 1);
            return;
        }
        span.set_status(span::status(event));
        span.end_with_timestamp(span::time(event.ended_at_ms));
    }

    fn take_room(&self) -> bool {
        let one_more = |queued| (queued < QUEUE_SPANS_MAX).then_some(queued + 1);
        let taken = self
            .queued
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        taken.is_ok()
    }

    /// Sends what is queued and stops. Blocks, at most [`SHUTDOWN_MAX`] or so:
    /// not for a thread that runs async tasks.
    pub fn shutdown(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(SHUTDOWN_MAX) {
            tracing::warn!(%error, "the last spans may not have reached the collector");
        }
    }
}

/// A batch is worth one more attempt. More would only fill the queue behind it.
fn one_retry() -> RetryPolicy {
    RetryPolicy::default()
        .with_max_retries(1)
        .with_initial_delay(RETRY_PAUSE)
        .with_max_delay(RETRY_PAUSE)
        .with_max_jitter(RETRY_PAUSE)
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Traces(..)")
    }
}

#[cfg(test)]
mod tests;
