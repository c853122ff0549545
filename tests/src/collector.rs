//! A collector of OpenTelemetry (OTLP over HTTP, protobuf) on loopback, which reads what it is sent and keeps it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;

/// The collector. It ends with the runtime of its test.
pub struct Collector {
    /// Its address.
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen(Mutex<All>);

#[derive(Default)]
struct All {
    status: Option<StatusCode>,
    headers: Vec<HeaderMap>,
    points: Vec<Point>,
    spans: Vec<Span>,
    resources: Vec<String>,
}

/// A point of an instrument.
#[derive(Debug, Clone)]
pub struct Point {
    /// The instrument's name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// The attributes, as `name=value`, in order.
    pub attributes: Vec<String>,
    /// The value, or the number of values of a histogram.
    pub value: f64,
}

impl Collector {
    /// Starts one.
    ///
    /// # Panics
    /// If there is no port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of loopback");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::<Seen>::default();
        let routes = Router::new().route("/v1/metrics", post(metrics)).route("/v1/traces", post(traces));
        let routes = routes.with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address, seen }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers with this from now on.
    pub fn answer(&self, status: StatusCode) {
        self.seen.all(|all| all.status = Some(status));
    }

    /// The headers of each request.
    pub fn headers(&self) -> Vec<HeaderMap> {
        self.seen.all(|all| all.headers.clone())
    }

    /// The points of one instrument, the oldest first.
    pub fn points(&self, name: &str) -> Vec<Point> {
        self.seen.all(|all| all.points.iter().filter(|point| point.name == name).cloned().collect())
    }

    /// The spans.
    pub fn spans(&self) -> Vec<Span> {
        self.seen.all(|all| all.spans.clone())
    }

    /// The attributes of the resources, as `name=value`.
    pub fn resources(&self) -> Vec<String> {
        self.seen.all(|all| all.resources.clone())
    }
}

impl Seen {
    fn all<T>(&self, work: impl FnOnce(&mut All) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Attributes as `name=value`, in order.
pub fn attributes(pairs: &[KeyValue]) -> Vec<String> {
    let mut attributes: Vec<String> = pairs.iter().map(|pair| format!("{}={}", pair.key, text(pair))).collect();
    attributes.sort();
    attributes
}

fn text(pair: &KeyValue) -> String {
    match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

async fn metrics(State(seen): State<Arc<Seen>>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    let Ok(request) = ExportMetricsServiceRequest::decode(body) else { return (StatusCode::BAD_REQUEST, Vec::new()) };
    let status = seen.all(|all| {
        all.headers.push(headers);
        for of_resource in request.resource_metrics {
            all.resources.extend(of_resource.resource.iter().flat_map(|resource| attributes(&resource.attributes)));
            for metric in of_resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                all.points.extend(points(&metric.name, &metric.unit, metric.data));
            }
        }
        all.status
    });
    (status.unwrap_or(StatusCode::OK), ExportMetricsServiceResponse::default().encode_to_vec())
}

fn points(name: &str, unit: &str, data: Option<Data>) -> Vec<Point> {
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
    let number = |value: Option<Number>| match value {
        Some(Number::AsDouble(number)) => number,
        #[expect(clippy::cast_precision_loss, reason = "tests count to small numbers")]
        Some(Number::AsInt(number)) => number as f64,
        None => f64::NAN,
    };
    let point = |pairs: &[KeyValue], value: f64| {
        let (name, unit) = (name.to_owned(), unit.to_owned());
        Point { name, unit, attributes: attributes(pairs), value }
    };
    match data {
        Some(Data::Sum(sum)) => sum.data_points.into_iter().map(|it| point(&it.attributes, number(it.value))).collect(),
        Some(Data::Gauge(gauge)) => {
            gauge.data_points.into_iter().map(|it| point(&it.attributes, number(it.value))).collect()
        }
        Some(Data::Histogram(histogram)) => {
            #[expect(clippy::cast_precision_loss, reason = "tests count to small numbers")]
            let points = histogram.data_points.into_iter().map(|it| point(&it.attributes, it.count as f64));
            points.collect()
        }
        _ => Vec::new(),
    }
}

async fn traces(State(seen): State<Arc<Seen>>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return (StatusCode::BAD_REQUEST, Vec::new()) };
    let status = seen.all(|all| {
        all.headers.push(headers);
        let scopes = request.resource_spans.into_iter().flat_map(|of_resource| of_resource.scope_spans);
        all.spans.extend(scopes.flat_map(|scope| scope.spans));
        all.status
    });
    (status.unwrap_or(StatusCode::OK), ExportTraceServiceResponse::default().encode_to_vec())
}
