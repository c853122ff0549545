//! Plugins of the guide that ask, and a modern client that can be asked anything.

use serde_json::{Value, json};
use tinymcp_tests::client::Client;

use super::serve;

/// A call that is made again and again, until there is a result.
struct Dialogue<'a> {
    client: &'a Client,
    call: Value,
    capabilities: Value,
}

impl<'a> Dialogue<'a> {
    fn of(client: &'a Client, tool: &str, arguments: &Value) -> Self {
        let capabilities = json!({ "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": {} });
        Self { client, call: json!({ "name": tool, "arguments": arguments }), capabilities }
    }

    /// The answer to the call as it is now.
    async fn answer(&self) -> Value {
        let mut message = self.client.message("tools/call", self.call.clone());
        message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
        self.client.post(&message).messages().await.pop().unwrap()
    }

    /// The questions, which are asked now.
    async fn questions(&mut self) -> Value {
        let answer = self.answer().await;
        let result = &answer["result"];
        assert_eq!(result["resultType"], "input_required", "{answer}");
        self.call["requestState"] = result["requestState"].clone();
        result["inputRequests"].clone()
    }

    /// Brings an answer.
    fn bring(&mut self, key: &str, answer: &Value) {
        self.call["inputResponses"] = json!({ key: answer });
    }

    /// The result, as the function gives it.
    async fn value(&self) -> Value {
        let answer = self.answer().await;
        assert_ne!(answer["result"]["isError"], true, "{answer}");
        let result = &answer["result"];
        let value = result.get("structuredContent").map(|structured| &structured["result"]);
        value.unwrap_or(&result["content"][0]["text"]).clone()
    }

    /// The words of a tool that fails.
    async fn failure(&self) -> Value {
        let answer = self.answer().await;
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        answer["result"]["content"][0]["text"].clone()
    }
}

#[tokio::test]
async fn a_form_is_filled_in() {
    let server = serve(&["reserve"]).await;
    let client = Client::modern(&server);
    let mut asked = Dialogue::of(&client, "reserve", &json!({ "day": "Friday" }));
    let form = asked.questions().await["table"].clone();
    assert_eq!(
        (&form["method"], &form["params"]["message"]),
        (&json!("elicitation/create"), &json!("A table on Friday"))
    );
    assert_eq!(form["params"]["requestedSchema"]["required"], json!(["guests"]));
    asked.bring("table", &json!({ "action": "accept", "content": { "guests": 4 } }));
    assert_eq!(asked.value().await, "A table for 4 on Friday.");
    asked.bring("table", &json!({ "action": "accept", "content": { "guests": 40 } }));
    assert!(asked.failure().await.as_str().unwrap().contains("from 1 to 8"));
    asked.bring("table", &json!({ "action": "decline" }));
    assert_eq!(asked.failure().await, "the person wants no table: do not reserve one");
}

#[tokio::test]
async fn who_cannot_be_asked_is_told_so() {
    let server = serve(&["reserve", "headline"]).await;
    let client = Client::modern(&server);
    let mut asked = Dialogue::of(&client, "reserve", &json!({ "day": "Friday" }));
    asked.capabilities = json!({});
    let answer = asked.answer().await;
    assert_eq!(answer["error"]["code"], -32021, "{answer}");
    let mut asked = Dialogue::of(&client, "headline", &json!({ "text": "a" }));
    asked.capabilities = json!({});
    assert_eq!(asked.failure().await, "no model can be asked here: find a headline yourself");
}

#[tokio::test]
async fn earlier_answers_are_in_the_state() {
    let server = serve(&["trip"]).await;
    let client = Client::modern(&server);
    let mut asked = Dialogue::of(&client, "trip", &json!({}));
    assert_eq!(asked.questions().await["place"]["params"]["message"], "Where to?");
    asked.bring("place", &json!({ "action": "accept", "content": { "answer": "Turku" } }));
    assert_eq!(asked.questions().await["days"]["params"]["message"], "How many days in Turku?");
    asked.bring("days", &json!({ "action": "accept", "content": { "answer": "3" } }));
    assert_eq!(asked.value().await, "3 days in Turku.");
    // The state is of this call, and of no other.
    asked.call["requestState"] = json!("forged");
    let answer = asked.answer().await;
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
}

#[tokio::test]
async fn a_model_is_asked() {
    let server = serve(&["headline"]).await;
    let client = Client::modern(&server);
    let mut asked = Dialogue::of(&client, "headline", &json!({ "text": "It rained." }));
    let sampling = asked.questions().await["headline"].clone();
    assert_eq!(sampling["method"], "sampling/createMessage");
    assert_eq!(sampling["params"]["messages"][0]["content"]["text"], "It rained.");
    let said = json!({ "role": "assistant", "content": { "type": "text", "text": "Rain" }, "model": "m" });
    asked.bring("headline", &said);
    assert_eq!(asked.value().await, "Rain");
}

#[tokio::test]
async fn folders_are_named_and_pages_shown() {
    let server = serve(&["desk"]).await;
    let client = Client::modern(&server);
    let mut asked = Dialogue::of(&client, "desk_folders", &json!({}));
    assert_eq!(asked.questions().await["folders"]["method"], "roots/list");
    asked.bring("folders", &json!({ "roots": [{ "uri": "file:///home/ada" }] }));
    assert_eq!(asked.value().await, json!(["file:///home/ada"]));
    let mut asked = Dialogue::of(&client, "desk_rules", &json!({}));
    let page = asked.questions().await["rules"].clone();
    assert_eq!((&page["params"]["mode"], &page["params"]["url"]), (&json!("url"), &json!("https://example.com/rules")));
    asked.bring("rules", &json!({ "action": "accept" }));
    assert_eq!(asked.value().await, "The person has opened the rules.");
}
