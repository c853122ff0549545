//! The peer that `tests/bench` compares with: a bare rmcp server whose `add` is native code.
//!
//! It is as fast as rmcp lets a server be that still speaks both eras: answers are JSON, nothing is delayed by Nagle's
//! algorithm, and `get_tool` is left out, so that no schema is looked up for headers that `add` does not have.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use clap::Parser;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ErrorData, Implementation, InitializeResult, JsonObject,
    ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServerHandler};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Parser)]
struct Arguments {
    /// The address to listen at
    #[arg(long)]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let config = StreamableHttpServerConfig::default().with_json_response(true);
    let service = StreamableHttpService::new(|| Ok(Add), LocalSessionManager::default().into(), config);
    let router = Router::new().route_service("/mcp", service).route("/readyz", get(ready));
    let listener = TcpListener::bind(arguments.listen).await?.tap_io(|stream| {
        // Only delays answers where it fails; the figures would show it.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await?;
    Ok(())
}

async fn ready() {}

#[derive(Clone)]
struct Add;

#[derive(Deserialize)]
struct Addends {
    a: f64,
    b: f64,
}

impl ServerHandler for Add {
    fn get_info(&self) -> ServerConfig {
        InitializeResult::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("baseline-rmcp", env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let number = json!({ "type": "number" });
        let mut schema = JsonObject::new();
        schema.insert("type".to_owned(), json!("object"));
        schema.insert("properties".to_owned(), json!({ "a": number, "b": number }));
        schema.insert("required".to_owned(), json!(["a", "b"]));
        Ok(ListToolsResult::with_all_items(vec![Tool::new("add", "Add two numbers together", schema)]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if request.name != "add" {
            return Err(ErrorData::invalid_params(format!("unknown tool `{}`", request.name), None));
        }
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let Addends { a, b } =
            serde_json::from_value(arguments).map_err(|error| ErrorData::invalid_params(error.to_string(), None))?;
        Ok(CallToolResult::structured(json!({ "result": a + b })).into())
    }
}
