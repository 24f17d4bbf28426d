//! Chat templates against `transformers`, on what `tests/parity/chat.py` wrote.

#![allow(clippy::unwrap_used, reason = "a test may panic anywhere")]

use std::{fs, path::Path};

use blocks::chat::{ChatTemplate, Content, Message, Part};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

#[derive(Deserialize)]
struct Goldens {
    conversations: Vec<Vec<Value>>,
    templates: Vec<Template>,
}

#[derive(Deserialize)]
struct Template {
    name: String,
    source: String,
    bos: String,
    eos: String,
    takes_parts: bool,
    renders: Vec<(usize, bool, Option<String>)>,
}

#[test]
fn published_templates_equal_the_reference() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/chat.json");
    let Goldens { conversations, templates } = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!(templates.len(), 7);
    for Template { name, source, bos, eos, takes_parts, renders } in templates {
        let template = ChatTemplate::parse(&source, &bos, &eos).unwrap();
        assert_eq!(template.takes_parts(), takes_parts, "{name}");
        for (number, generation, expected) in renders {
            let messages: Vec<_> = conversations[number].iter().map(message).collect();
            let found = template.render(&messages, generation);
            assert_eq!(found.as_ref().ok(), expected.as_ref(), "{name}, conversation {number}: {found:?}");
        }
    }
}

#[test]
fn a_template_lies_in_one_of_three_files() {
    let folder = TempDir::new().unwrap();
    let render = || {
        let template = ChatTemplate::from_dir(folder.path()).map_err(|e| {
            let path = folder.path().display().to_string();
            e.to_string().replace(&path, "")
        })?;
        Ok::<_, String>(template.map(|template| template.render(&[Message::text("user", "Hi")], false).unwrap()))
    };
    let write = |name: &str, content: &str| fs::write(folder.path().join(name), content).unwrap();
    let config = |template: Value| {
        let config = json!({
            "tokenizer_class": "LlamaTokenizer",
            "eos_token": {"content": "<end>"},
            "extra_special_tokens": {"image_token": "<image>"},
            "chat_template": template,
        });
        write("tokenizer_config.json", &config.to_string());
    };
    let rendered = |text: &str| Ok(Some(text.to_string()));
    assert_eq!(render(), Ok(None));
    config(Value::Null);
    assert_eq!(render(), Ok(None));
    config(json!("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ image_token }}{{ pad_token }}"));
    assert_eq!(render(), rendered("<s>Hi<end><image>"));
    config(json!([{"name": "tools", "template": "no"}, {"name": "default", "template": "{{ messages[0].role }}"}]));
    assert_eq!(render(), rendered("user"));
    config(json!([{"name": "tools", "template": "no"}]));
    assert_eq!(render(), Err("/tokenizer_config.json: none of its chat templates is named `default`".into()));
    config(json!(3));
    assert!(render().unwrap_err().contains("neither a text nor a list"));
    config(json!("{% if %}"));
    assert!(render().unwrap_err().starts_with("/tokenizer_config.json: not a chat template: syntax error"));
    write("chat_template.json", r#"{"chat_template": "from json{{ eos_token }}"}"#);
    assert_eq!(render(), rendered("from json<end>"));
    write("chat_template.jinja", "from jinja\n");
    assert_eq!(render(), rendered("from jinja"));
}

#[test]
fn a_refusal_says_why() {
    let refusal = |source: &str| {
        let template = ChatTemplate::parse(source, "", "").unwrap();
        template.render(&[Message::text("user", "Hi")], true).unwrap_err().to_string()
    };
    let expected = "the chat template refuses the conversation: roles must alternate";
    assert_eq!(refusal("{{ raise_exception('roles must alternate') }}"), expected);
    assert!(refusal("{{ strftime_now('%d %Q') }}").contains("`%d %Q` asks for a part of a date unknown here"));
    assert!(refusal("{{ messages | tojson(sort_keys=true) }}").contains("sort_keys"));
    assert!(ChatTemplate::parse("{{", "", "").is_err());
}

fn message(value: &Value) -> Message {
    let part = |part: &Value| match part["text"].as_str() {
        Some(text) => Part::Text { text: text.into() },
        None => Part::Image,
    };
    let content = match &value["content"] {
        Value::String(text) => Content::Text(text.clone()),
        parts => Content::Parts(parts.as_array().unwrap().iter().map(part).collect()),
    };
    Message { role: value["role"].as_str().unwrap().into(), content }
}
