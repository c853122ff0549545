use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::principal::NoLoginToken;
use crate::state::Secrets;

struct Ground {
    dir: TempDir,
    tokens: OperatorTokens,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Ground {
    fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    fn at(dir: TempDir) -> Self {
        let state = StateDir::open(dir.path(), &Secrets::default()).unwrap();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let store = Store::open(&state, &tracker, stop.clone()).unwrap();
        let tokens =
            OperatorTokens::of(store, &state, "https://mcp.example".to_owned(), Switches::open(&state).unwrap());
        Self { dir, tokens, stop, tracker }
    }

    /// The same store, opened again.
    async fn again(self) -> Self {
        let Self { dir, tokens, stop, tracker } = self;
        drop(tokens);
        stop.cancel();
        tracker.close();
        tracker.wait().await;
        Self::at(dir)
    }

    async fn make(&self, name: &str, life_s: u64) -> Result<String, TokenError> {
        let (name, scopes) = (name.to_owned(), BTreeSet::from(["a".to_owned()]));
        match self.tokens.ask(Request::New { name, scopes, view: "mcp".to_owned(), life_s }).await? {
            Answer::Made(made) => Ok(made.token),
            _ => panic!("a token was asked for"),
        }
    }

    async fn list(&self) -> Vec<TokenState> {
        match self.tokens.ask(Request::List).await.unwrap() {
            Answer::Tokens(tokens) => tokens,
            _ => panic!("a list was asked for"),
        }
    }

    async fn call(&self, token: &str) -> Result<Arc<Principal>, BearerError> {
        let token = Token::open(&self.tokens.0.vault, TokenKind::Operator, token).unwrap();
        let opened = Opened { kind: TokenKind::Operator, family: token.family, hash: token.hash() };
        self.tokens.principal_of(opened).await
    }
}

#[tokio::test]
async fn a_token_calls_until_it_is_revoked() {
    let ground = Ground::new();
    let token = ground.make("ci", 3600).await.unwrap();
    assert!(token.starts_with("tmcp_op_"), "a prefix that scanners know");
    let caller = ground.call(&token).await.unwrap();
    let machine = caller.as_machine().unwrap();
    assert_eq!(
        (machine.kind, machine.id.as_str(), machine.issuer.as_str()),
        (MachineKind::Token, "ci", "https://mcp.example")
    );
    assert!(caller.may_still(&["a".parse().unwrap()]) && !caller.may_still(&["b".parse().unwrap()]));
    assert_eq!(caller.login_token().await, Err(NoLoginToken::Machine));
    ground.tokens.ask(Request::Revoke { name: "ci".to_owned() }).await.unwrap();
    assert_eq!(ground.call(&token).await.err(), Some(BearerError::Ended));
    assert!(!caller.may_still(&[]), "nor does a call that has begun go on");
    let unknown = ground.tokens.ask(Request::Revoke { name: "ci".to_owned() }).await.err();
    assert_eq!(unknown, Some(TokenError::Unknown("ci".to_owned())));
}

#[tokio::test]
async fn tokens_outlive_the_process_and_their_names_are_their_own() {
    let ground = Ground::new();
    let token = ground.make("ci", 3600).await.unwrap();
    assert_eq!(ground.make("ci", 3600).await.err(), Some(TokenError::Taken("ci".to_owned())));
    ground.make("another", 3600).await.unwrap();
    let ground = ground.again().await;
    ground.call(&token).await.unwrap();
    let listed = ground.list().await;
    assert_eq!(listed.iter().map(|state| state.name.as_str()).collect::<Vec<_>>(), ["another", "ci"]);
    assert!(listed[0].last_used_s.is_none() && listed[1].last_used_s.is_some(), "{listed:?}");
    // In the file of the store is nothing of the token.
    let ground = ground.again().await;
    for entry in std::fs::read_dir(ground.dir.path().join("store")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(
            !bytes.windows(16).any(|window| window == &token.as_bytes()[..16] || window == &token.as_bytes()[30..46])
        );
    }
}

#[tokio::test]
async fn a_token_ends_and_gives_its_name_away() {
    let ground = Ground::new();
    let token = ground.make("ci", 0).await.unwrap();
    assert_eq!(ground.call(&token).await.err(), Some(BearerError::Expired));
    assert_eq!(ground.list().await.len(), 1, "it is listed, for whoever wonders");
    let next = ground.make("ci", 3600).await.unwrap();
    assert!(ground.call(&next).await.is_ok() && ground.call(&token).await.is_err());
    assert_eq!(ground.list().await.len(), 1);
}

#[tokio::test]
async fn two_at_once_make_two_tokens() {
    let ground = Ground::new();
    let names: Vec<String> = (0..16).map(|number| format!("t{number}")).collect();
    let made = futures::future::join_all(names.iter().map(|name| ground.make(name, 3600))).await;
    let made: BTreeSet<String> = made.into_iter().map(Result::unwrap).collect();
    assert_eq!((made.len(), ground.list().await.len()), (16, 16));
    let same = futures::future::join_all((0..8).map(|_| ground.make("same", 3600))).await;
    assert_eq!(same.iter().filter(|made| made.is_ok()).count(), 1);
}
