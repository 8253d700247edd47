//! Traces for the owner's collector, by OTLP over HTTP: a span for each request and for each attempt at a job. Without an address nothing
//! of this is made, and nothing is sent.
//!
//! What leaves are the spans that [`SPANS`] names, with the fields that they were made with: ids, routes, states. Lines of the log do not
//! leave, because errors quote what people wrote.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use reqwest::Client;
use reqwest::redirect::Policy;
use tokio::runtime::Handle;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// The spans that leave.
const SPANS: [&str; 2] = ["request", "job"];
/// How long the collector may take for what it is sent.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorPlace {
    /// Where it takes spans: the whole address, which by custom ends in `/v1/traces`.
    pub url: String,
    /// Headers that it asks for, such as a token.
    pub headers: Vec<(String, String)>,
}

/// What gathers spans and sends them.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

/// Traces that cannot be sent as they should be.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The HTTP client could not be made.
    #[error("the HTTP client for traces could not be made")]
    Client(#[source] reqwest::Error),
    /// The address is none.
    #[error("traces cannot be sent")]
    Exporter(#[source] ExporterBuildError),
}

impl Traces {
    /// Begins to gather for a collector, which is spoken to on this runtime. `role` names the process, such as `worker`.
    ///
    /// # Errors
    /// [`TracesError`].
    pub fn open(place: &CollectorPlace, role: &'static str, runtime: Handle) -> Result<Self, TracesError> {
        // A choice that was made before stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().redirect(Policy::none()).no_proxy().timeout(TIMEOUT).build();
        let client = Courier { client: client.map_err(TracesError::Client)?, runtime };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(&place.url)
            .with_timeout(TIMEOUT)
            .with_headers(place.headers.iter().cloned().collect::<HashMap<_, _>>())
            .build()
            .map_err(TracesError::Exporter)?;
        let resource = Resource::builder_empty().with_attributes([
            KeyValue::new("service.name", "misora"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", i64::from(std::process::id())),
            KeyValue::new("misora.role", role),
        ]);
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_sampler(Sampler::AlwaysOn)
            .with_batch_exporter(exporter)
            .build();
        Ok(Self(provider))
    }

    /// What takes spans from the subscriber that it is part of.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: tracing::Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let scope = InstrumentationScope::builder("misora").with_version(env!("CARGO_PKG_VERSION")).build();
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer_with_scope(scope))
            // No files of ours, no threads, no lines of the log.
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| {
                metadata.is_span() && SPANS.contains(&metadata.name()) && metadata.target().starts_with("server")
            }))
    }

    /// Sends what was gathered. Waits for the collector, so call it where waiting is allowed, while the runtime runs.
    pub fn flush(&self) {
        if let Err(error) = self.0.force_flush() {
            tracing::warn!(%error, "traces did not arrive");
        }
    }

    /// Sends what was gathered, and gathers no more. Waits as [`Self::flush`] does.
    pub fn end(self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last traces did not arrive");
        }
    }
}

/// Sends from the exporter's thread, which has no runtime, by one that has.
#[derive(Debug)]
struct Courier {
    client: Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Courier {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let sending = self.client.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
        let answered = async {
            let answer = sending.send().await?;
            // What a collector says beside its status is of no use here, and may be long.
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = answer.status();
            *response.headers_mut() = answer.headers().clone();
            Ok::<_, reqwest::Error>(response)
        };
        Ok(self.runtime.spawn(answered).await??)
    }
}
