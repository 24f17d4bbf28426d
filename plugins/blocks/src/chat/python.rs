//! Jinja as `transformers.utils.chat_template_utils` sets it up, where templates count on Python.

use minijinja::{
    Environment, Error, ErrorKind, Output, State, Value,
    syntax::SyntaxConfig,
    value::{Kwargs, ValueKind},
};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// What `strftime_now` writes for each directive: 26 July 2024, a Friday, at midnight, so that prompts do not depend on
/// the day of a run. It is the date that templates of LLaMA 3 take where they are told none.
const NOW: [(&str, &str); 20] = [
    ("Y", "2024"),
    ("y", "24"),
    ("m", "07"),
    ("-m", "7"),
    ("B", "July"),
    ("b", "Jul"),
    ("d", "26"),
    ("-d", "26"),
    ("e", "26"),
    ("j", "208"),
    ("A", "Friday"),
    ("a", "Fri"),
    ("H", "00"),
    ("I", "12"),
    ("p", "AM"),
    ("M", "00"),
    ("S", "00"),
    ("F", "2024-07-26"),
    ("T", "00:00:00"),
    ("%", "%"),
];

pub fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(write);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("tojson", to_json);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> { Err(refused(message)) });
    environment.add_function("strftime_now", strftime_now);
    Ok(environment)
}

/// Without the tags that mark what an assistant said; they write nothing.
pub fn without_generation(source: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(source.len()), source);
    while let Some((before, after)) = rest.split_once("{%") {
        out.push_str(before);
        out.push_str("{%");
        rest = after;
        let Some((tag, after)) = rest.split_once("%}") else { break };
        let name = tag.trim_matches(['-', '+']).trim();
        // A block that always runs trims white space in the same way.
        let replaced = match name {
            "generation" => tag.replace(name, "if true"),
            "endgeneration" => tag.replace(name, "endif"),
            _ => continue,
        };
        out.push_str(&replaced);
        out.push_str("%}");
        rest = after;
    }
    out + rest
}

/// Writes values as Python does.
fn write(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => Ok(out.write_str("None")?),
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "True" } else { "False" })?),
        _ => minijinja::escape_formatter(out, state, value),
    }
}

/// `json.dumps` with `ensure_ascii=False`.
fn to_json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    let mut bytes = Vec::new();
    let written = match indent {
        Some(width) => {
            let width = vec![b' '; width];
            value.serialize(&mut Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(&width)))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut bytes, Spaced)),
    };
    written.map_err(|e| refused(format!("no JSON can be made of it: {e}")))?;
    String::from_utf8(bytes).map_err(|e| refused(e.to_string()))
}

fn strftime_now(format: &str) -> Result<String, Error> {
    let (mut out, mut rest) = (String::new(), format);
    while let Some((before, after)) = rest.split_once('%') {
        let found = NOW.iter().find_map(|(directive, text)| Some((*text, after.strip_prefix(directive)?)));
        let (text, after) =
            found.ok_or_else(|| refused(format!("`{format}` asks for a part of a date unknown here")))?;
        out.push_str(before);
        out.push_str(text);
        rest = after;
    }
    Ok(out + rest)
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// JSON on one line, with a space after each comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}
