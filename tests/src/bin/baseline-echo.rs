//! The least that `tests/bench` compares with: an axum handler that answers each request with the same JSON.
//!
//! It does what any server of JSON over HTTP must do, and nothing of MCP: no server on this stack can be faster.

use std::net::SocketAddr;

use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use clap::Parser;
use serde_json::Value;
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
    let router = Router::new().route("/mcp", post(echo)).route("/readyz", get(ready));
    let listener = TcpListener::bind(arguments.listen).await?.tap_io(|stream| {
        // Only delays answers where it fails; the figures would show it.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await?;
    Ok(())
}

async fn echo(Json(message): Json<Value>) -> Json<Value> {
    Json(message)
}

async fn ready() {}
