use harness_testkit::rules::{Endpoint, Rules, check};
use serde_json::{Value, json};

fn good() -> Value {
    json!({
        "model": "claude-sonnet-5-5",
        "max_tokens": 1024,
        "stream": true,
        "system": [{"type": "text", "text": "You are a coder.", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "bash", "description": "Runs.", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "", "signature": "abc"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {"command": "ls"}},
                {"type": "tool_use", "id": "toolu_2", "name": "bash", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "a.txt"},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "", "is_error": true},
                {"type": "text", "text": "<system-reminder>\nnews\n</system-reminder>"},
            ]},
        ],
    })
}

#[test]
fn a_good_request_passes() {
    assert_eq!(check(&good()), Ok(()));
}

#[test]
fn what_the_api_accepts_is_accepted() {
    let accepted: Vec<Named> = vec![
        ("results in another order", |b| {
            b["messages"][2]["content"].as_array_mut().unwrap().swap(0, 1)
        }),
        ("neighbours of one role", |b| push(b, json!({"role": "user", "content": "more"}))),
        ("an empty assistant message", |b| {
            push(b, json!({"role": "assistant", "content": []}));
            push(b, json!({"role": "user", "content": "more"}));
        }),
        ("blank text beside a call", |b| b["messages"][1]["content"][1]["text"] = json!("\n\n")),
        ("an empty text inside a result", |b| {
            b["messages"][2]["content"][0]["content"] = json!([{"type": "text", "text": ""}]);
        }),
        ("a system prompt as a string", |b| b["system"] = json!("You are.")),
        ("a result without content", |b| {
            b["messages"][2]["content"][0].as_object_mut().unwrap().remove("content");
        }),
        ("adaptive thinking", |b| {
            b["thinking"] = json!({"type": "adaptive", "display": "summarized"})
        }),
        ("effort", |b| b["output_config"] = json!({"effort": "low"})),
        ("server-tool blocks", |b| {
            b["messages"][1]["content"].as_array_mut().unwrap().extend([
            json!({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}),
            json!({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}),
        ])
        }),
        ("a paused turn", |b| {
            push(
                b,
                json!({"role": "assistant", "content": [
                    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
                ]}),
            )
        }),
        ("an unknown model with manual thinking", |b| {
            b["model"] = json!("some-local-model");
            b["max_tokens"] = json!(4096);
            b["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
        }),
    ];
    for (what, change) in accepted {
        let mut body = good();
        change(&mut body);
        assert_eq!(check(&body), Ok(()), "{what}");
    }
}

fn push(body: &mut Value, message: Value) {
    body["messages"].as_array_mut().unwrap().push(message);
}

fn remove(body: &mut Value, field: &str) {
    body.as_object_mut().unwrap().remove(field);
}

/// What is special about a body, and how it gets there.
type Named = (&'static str, fn(&mut Value));

/// How a body is broken, and words of the refusal.
type Broken = (fn(&mut Value), &'static str);

const FRAME: &[Broken] = &[
    (|b| *b = json!([]), "Input should be a valid dictionary"),
    (|b| remove(b, "model"), "model: Field required"),
    (|b| remove(b, "max_tokens"), "max_tokens: Field required"),
    (|b| remove(b, "messages"), "messages: Field required"),
    (|b| b["messages"] = json!("hi"), "messages: Input should be a valid list"),
    (|b| b["messages"] = json!([]), "messages: at least one message is required"),
    (|b| b["temperature"] = json!(1.0), "temperature: Extra inputs are not permitted"),
    (|b| b["top_p"] = json!(1), "top_p: Extra inputs are not permitted"),
    (|b| b["top_k"] = json!(1), "top_k: Extra inputs are not permitted"),
    (|b| b["context_management"] = json!({}), "context_management: Extra inputs are not permitted"),
    (|b| b["agent"] = json!("lead"), "agent: Extra inputs are not permitted"),
    (|b| b["max_tokens"] = json!("1"), "max_tokens: Input should be a valid integer"),
    (|b| b["max_tokens"] = json!(900_000), "max_tokens: 900000 > 128000"),
    (|b| b["stream"] = json!("yes"), "stream: Input should be a valid boolean"),
    (|b| b["model"] = json!("claude-sonnet-4-20250514"), "model: claude-sonnet-4-20250514"),
    (|b| b["system"][0]["text"] = json!(""), "system: text content blocks must be non-empty"),
    (|b| b["system"][0]["type"] = json!("image"), "system.0.type: Input should be 'text'"),
    (|b| b["system"][0]["title"] = json!(""), "system.0.title: Extra inputs are not permitted"),
];

const TOOLS: &[Broken] = &[
    (
        |b| b["tools"][0]["name"] = json!("a.b"),
        "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
    ),
    (|b| b["tools"][0]["name"] = json!(""), "tools.0.custom.name: String should match pattern"),
    (
        |b| b["tools"][0]["name"] = json!("a".repeat(129)),
        "tools.0.custom.name: String should have at most 128 characters",
    ),
    (|b| b["tools"][0]["name"] = json!("a".repeat(65)), "within 64 characters"),
    (
        |b| b["tools"][0]["input_schema"] = json!({}),
        "tools.0.custom.input_schema.type: Input should be 'object'",
    ),
    (
        |b| b["tools"][0]["input_schema"] = json!({"type": "object", "oneOf": []}),
        "does not support oneOf, allOf, or anyOf at the top level",
    ),
    (|b| remove(&mut b["tools"][0], "input_schema"), "tools.0.custom.input_schema: Field required"),
    (
        |b| b["tools"][0]["effect"] = json!("reads"),
        "tools.0.custom.effect: Extra inputs are not permitted",
    ),
    (|b| b["tools"][0]["type"] = json!("function"), "tools.0: Input tag 'function'"),
    (
        |b| {
            let tool = b["tools"][0].clone();
            b["tools"].as_array_mut().unwrap().push(tool)
        },
        "tools: Tool names must be unique.",
    ),
    (|b| b["tools"][0]["defer_loading"] = json!(true), "All tools have defer_loading: true"),
    (
        |b| b["tool_choice"] = json!({"type": "any"}),
        "forced tool choice is not supported for this model",
    ),
    (|b| b["tool_choice"] = json!({"type": "required"}), "tool_choice: Input tag"),
    (
        |b| {
            remove(b, "tools");
            b["tool_choice"] = json!({"type": "auto"})
        },
        "only be specified while providing `tools`",
    ),
];

const MESSAGES: &[Broken] = &[
    (
        |b| {
            b["messages"][2]["content"].as_array_mut().unwrap().remove(1);
        },
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_2.",
    ),
    (
        |b| {
            b["messages"].as_array_mut().unwrap().truncate(2);
        },
        "`tool_use` ids were found without `tool_result` blocks immediately after: toolu_1, toolu_2.",
    ),
    (
        |b| b["messages"][2]["content"].as_array_mut().unwrap().rotate_right(1),
        "`tool_use` ids were found without `tool_result` blocks immediately after",
    ),
    (
        |b| b["messages"][2]["content"][0]["tool_use_id"] = json!("toolu_9"),
        "immediately after: toolu_1",
    ),
    (
        |b| {
            b["messages"][2]["content"]
                .as_array_mut()
                .unwrap()
                .push(json!({"type": "tool_result", "tool_use_id": "toolu_9"}))
        },
        "messages.2.content.3: unexpected `tool_use_id` found in `tool_result` blocks: toolu_9.",
    ),
    (
        |b| {
            b["messages"][2]["content"]
                .as_array_mut()
                .unwrap()
                .insert(1, json!({"type": "tool_result", "tool_use_id": "toolu_1"}))
        },
        "Found multiple `tool_result` blocks with id: toolu_1",
    ),
    (|b| b["messages"][1]["content"][3]["id"] = json!("toolu_1"), "`tool_use` ids must be unique"),
    (
        |b| b["messages"][1]["content"][1]["text"] = json!(""),
        "messages: text content blocks must be non-empty",
    ),
    (
        |b| b["messages"][0]["content"] = json!(" \n"),
        "text content blocks must contain non-whitespace text",
    ),
    (
        |b| b["messages"][0]["content"] = json!(""),
        "messages.0: user messages must have non-empty content",
    ),
    (
        |b| b["messages"][0]["content"] = json!([]),
        "messages.0: user messages must have non-empty content",
    ),
    (
        |b| push(b, json!({"role": "assistant", "content": "Sure:"})),
        "does not support assistant message prefill",
    ),
    (
        |b| {
            b["messages"]
                .as_array_mut()
                .unwrap()
                .insert(0, json!({"role": "assistant", "content": "Hi."}))
        },
        "first message must use the \"user\" role",
    ),
    (
        |b| push(b, json!({"role": "system", "content": "x"})),
        "messages.3.role: Input should be 'user' or 'assistant'",
    ),
    (|b| b["messages"][0]["name"] = json!("x"), "messages.0.name: Extra inputs are not permitted"),
    (
        |b| b["messages"][0]["content"] = json!(7),
        "messages.0.content: Input should be a valid list",
    ),
    (
        |b| {
            push(
                b,
                json!({"role": "user", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": {}}]}),
            )
        },
        "`tool_use` blocks can only be in `assistant` messages",
    ),
    (
        |b| {
            b["messages"][1]["content"].as_array_mut().unwrap().push(json!({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}))
        },
        "`web_search` tool use with id `srvtoolu_1` was found without",
    ),
];

const BLOCKS: &[Broken] = &[
    (
        |b| b["messages"][1]["content"][2]["input"] = json!("ls"),
        "messages.1.content.2.tool_use.input: Input should be a valid dictionary",
    ),
    (
        |b| b["messages"][1]["content"][2]["id"] = json!("a b"),
        "messages.1.content.2.tool_use.id: String should match pattern",
    ),
    (
        |b| b["messages"][1]["content"][2]["bytes"] = json!(1),
        "messages.1.content.2.tool_use.bytes: Extra inputs are not permitted",
    ),
    (
        |b| b["messages"][1]["content"][0]["cache_control"] = json!({"type": "ephemeral"}),
        "messages.1.content.0.thinking.cache_control: Extra inputs are not permitted",
    ),
    (
        |b| remove(&mut b["messages"][1]["content"][0], "signature"),
        "messages.1.content.0.thinking.signature: Field required",
    ),
    (
        |b| b["messages"][1]["content"][1]["type"] = json!("note"),
        "Input tag 'note' found using 'type'",
    ),
    (
        |b| b["messages"][2]["content"][0]["is_error"] = json!("no"),
        "is_error: Input should be a valid boolean",
    ),
    (
        |b| b["messages"][2]["content"][0]["content"] = json!([{"type": "audio"}]),
        "messages.2.content.0.tool_result.content.0: Input tag 'audio'",
    ),
    (
        |b| b["messages"][2]["content"][0]["content"] = json!({}),
        "tool_result.content: Input should be a valid list",
    ),
    (|b| b["system"][0]["cache_control"]["ttl"] = json!("1d"), "ttl: Input should be '5m' or '1h'"),
    (
        |b| b["system"][0]["cache_control"] = json!({"type": "forever"}),
        "cache_control.type: Input should be 'ephemeral'",
    ),
    (
        |b| {
            for at in 0..2 {
                b["messages"][2]["content"][at]["cache_control"] = json!({"type": "ephemeral"})
            }
            b["tools"][0]["cache_control"] = json!({"type": "ephemeral"});
            b["cache_control"] = json!({"type": "ephemeral"})
        },
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
    ),
    (
        |b| {
            b["messages"][2]["content"][1]["cache_control"] =
                json!({"type": "ephemeral", "ttl": "1h"})
        },
        "must not come after a ttl='5m'",
    ),
];

const THINKING: &[Broken] = &[
    (
        |b| b["thinking"] = json!({"type": "enabled", "budget_tokens": 2000}),
        "\"thinking.type.enabled\" is not supported for this model",
    ),
    (
        |b| b["thinking"] = json!({"type": "disabled"}),
        "\"thinking.type.disabled\" is not supported",
    ),
    (|b| b["thinking"] = json!({"type": "on"}), "thinking: Input tag"),
    (
        |b| b["thinking"] = json!({"type": "adaptive", "budget_tokens": 1}),
        "thinking.adaptive.budget_tokens: Extra inputs",
    ),
    (
        |b| b["thinking"] = json!({"type": "adaptive", "display": "full"}),
        "thinking.adaptive.display",
    ),
    (
        |b| {
            b["model"] = json!("claude-haiku-4-5");
            b["thinking"] = json!({"type": "adaptive"})
        },
        "adaptive thinking is not supported on this model",
    ),
    (
        |b| {
            b["model"] = json!("claude-opus-5");
            b["thinking"] = json!({"type": "between_tools"})
        },
        "between_tools\" is not supported",
    ),
    (
        |b| {
            b["model"] = json!("claude-haiku-4-5");
            b["thinking"] = json!({"type": "enabled", "budget_tokens": 10})
        },
        "greater than or equal to 1024",
    ),
    (
        |b| {
            b["model"] = json!("claude-haiku-4-5");
            b["thinking"] = json!({"type": "enabled", "budget_tokens": 1024})
        },
        "`max_tokens` must be greater than",
    ),
    (|b| b["output_config"] = json!({"effort": "heroic"}), "output_config.effort"),
];

#[test]
fn every_rule_has_its_words() {
    for (change, words) in [FRAME, TOOLS, MESSAGES, BLOCKS, THINKING].concat() {
        let mut body = good();
        change(&mut body);
        let refusal = check(&body).expect_err(words);
        assert!(refusal.message.contains(words), "wanted {words:?}, got {:?}", refusal.message);
        let expected = if words.starts_with("model: claude") { 404 } else { 400 };
        assert_eq!(refusal.status, expected, "{words}");
    }
}

#[test]
fn a_paused_reply_may_stand_last_only_where_the_server_paused() {
    let mut body = good();
    push(&mut body, json!({"role": "assistant", "content": "One moment."}));
    assert!(check(&body).is_err());
    assert_eq!(Rules { paused: true, ..Rules::default() }.check(&body), Ok(()));
}

#[test]
fn beta_fields_need_their_header() {
    let mut body = good();
    body["context_management"] = json!({"edits": []});
    let betas = vec!["context-management-2025-06-27".to_owned()];
    assert_eq!(Rules { betas, ..Rules::default() }.check(&body), Ok(()));
}

#[test]
fn counting_takes_no_max_tokens() {
    let mut body = good();
    let rules = Rules { endpoint: Endpoint::CountTokens, ..Rules::default() };
    assert!(rules.check(&body).unwrap_err().message.contains("Extra inputs"));
    remove(&mut body, "max_tokens");
    remove(&mut body, "stream");
    assert_eq!(rules.check(&body), Ok(()));
}
