//! The contract of every place where state is kept.

use async_trait::async_trait;

use super::request::{Answer, KvError, Request};

/// Something that has the state of plugins.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Does what is asked for. A call whose future is dropped may have taken place or not.
    async fn ask(&self, request: Request) -> Result<Answer, KvError>;

    /// Sees whether it can be used.
    async fn prepare(&self) -> Result<(), KvError> {
        self.ask(Request::Owners { plugin: String::new() }).await.map(drop)
    }

    /// False if plugins have never kept anything.
    fn has_any(&self) -> bool {
        true
    }
}
