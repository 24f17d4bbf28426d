//! What is sent: the body of a chat completion.

use plugin_api::{Decoding, Error, Image, Request, Result};
use serde_json::{Map, Value, json};

use crate::{
    options::{Instruction, Options},
    picture::data_url,
};

/// What MedVLMBench adds to a question (`o3.py`, `gemini.py`).
const CONCISELY: &str = "\n\nPlease answer the question concisely in no more than 2 sentences.";

/// The body of a request: its images in their order, then its question; greedy unless the decoding says otherwise.
pub fn body(options: &Options, request: &Request, images: &[Image<'_>], decoding: &Decoding) -> Result<String> {
    let mut content = Vec::new();
    for position in &request.images {
        let image = images.get(*position as usize).ok_or_else(|| {
            Error::input(format!("request {} names image {position}, which is missing", request.index))
        })?;
        content.push(json!({ "type": "image_url", "image_url": { "url": data_url(image)? } }));
    }
    content.push(json!({ "type": "text", "text": question(options, request) }));
    let mut messages = Vec::new();
    if let Some(system) = options.system.as_ref().filter(|_| !request.raw) {
        messages.push(json!({ "role": "system", "content": system }));
    }
    messages.push(json!({ "role": "user", "content": content }));

    let mut body = Map::new();
    body.insert("model".into(), options.name()?.into());
    body.insert("messages".into(), messages.into());
    body.insert("temperature".into(), json!(decoding.temperature));
    body.insert("seed".into(), decoding.seed.into());
    if decoding.top_p > 0.0 && decoding.top_p < 1.0 {
        body.insert("top_p".into(), json!(decoding.top_p));
    }
    if decoding.max_new_tokens > 0 {
        body.insert(options.limit.clone(), decoding.max_new_tokens.into());
    }
    if !decoding.stop.is_empty() {
        body.insert("stop".into(), json!(decoding.stop));
    }
    body.retain(|field, _| !options.omit.contains(field));
    body.extend(options.body.clone());
    Ok(Value::Object(body).to_string())
}

fn question(options: &Options, request: &Request) -> String {
    let closed = request.prompt.contains("yes or no");
    match options.instruction {
        Instruction::Medvlmbench if !request.raw && !closed => format!("{}{CONCISELY}", request.prompt),
        _ => request.prompt.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(more: Value) -> Options {
        let mut options = json!({ "model": "m" });
        options.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        Options::read(options.as_object().expect("an object").clone()).expect("valid")
    }

    fn request(prompt: &str) -> Request {
        Request { prompt: prompt.into(), ..Request::default() }
    }

    fn made(options: &Options, request: &Request, decoding: &Decoding) -> Value {
        serde_json::from_str(&body(options, request, &[], decoding).expect("made")).expect("JSON")
    }

    #[test]
    fn it_is_greedy_and_unlimited_unless_asked_otherwise() {
        let user = json!([{ "role": "user", "content": [{ "type": "text", "text": "Is it?" }] }]);
        let plain = made(&options(json!({})), &request("Is it?"), &Decoding::default());
        assert_eq!(plain, json!({ "model": "m", "messages": user, "temperature": 0.0, "seed": 0 }));
        let decoding = Decoding {
            max_new_tokens: 9,
            temperature: 0.5,
            top_p: 0.25,
            seed: 3,
            stop: vec!["\n".into()],
            ..Decoding::default()
        };
        let full = json!({
            "model": "m", "messages": user, "temperature": 0.5, "seed": 3, "top_p": 0.25, "max_tokens": 9, "stop": ["\n"]
        });
        assert_eq!(made(&options(json!({})), &request("Is it?"), &decoding), full);
    }

    #[test]
    fn a_row_changes_what_is_sent() {
        let row = json!({
            "system": "Be brief.", "limit": "max_completion_tokens", "omit": ["temperature", "seed"],
            "body": { "reasoning_effort": "low" }
        });
        let decoding = Decoding { max_new_tokens: 9, ..Decoding::default() };
        let body = made(&options(row.clone()), &request("Is it?"), &decoding);
        assert_eq!((&body["max_completion_tokens"], &body["reasoning_effort"]), (&json!(9), &json!("low")));
        assert!(body.get("temperature").is_none() && body.get("seed").is_none() && body.get("max_tokens").is_none());
        assert_eq!(body["messages"][0], json!({ "role": "system", "content": "Be brief." }));
        let raw = Request { raw: true, ..request("Is it?") };
        assert_eq!(made(&options(row), &raw, &decoding)["messages"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn the_published_instruction_spares_questions_that_are_closed() {
        let published = options(json!({ "instruction": "medvlmbench" }));
        let text = |options: &Options, prompt: &str| {
            let body = made(options, &request(prompt), &Decoding::default());
            body["messages"][0]["content"][0]["text"].as_str().map(String::from).expect("text")
        };
        assert_eq!(text(&published, "What is it?"), format!("What is it?{CONCISELY}"));
        assert_eq!(text(&published, "Answer yes or no. Is it?"), "Answer yes or no. Is it?");
        assert_eq!(text(&options(json!({})), "What is it?"), "What is it?");
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        for wrong in [json!({ "modle": "m" }), json!({ "timeout": 0.0 }), json!({ "body": { "messages": [] } })] {
            assert!(Options::read(wrong.as_object().expect("an object").clone()).is_err(), "{wrong}");
        }
        let missing = Request { images: vec![0], ..request("Is it?") };
        assert!(body(&options(json!({})), &missing, &[], &Decoding::default()).is_err());
    }
}
