//! Tokenisers.

use std::borrow::Cow;

use crate::serde::Deserialize;

/// How a text is cut into tokens, as the field `tokeniser` of a scorer's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tokeniser {
    /// At white space.
    Whitespace,
    /// Runs of letters and digits of any script; punctuation is dropped.
    Words,
    /// `13a` of sacrebleu, which equals `mteval-v13a` of WMT: punctuation becomes tokens, but for marks within numbers.
    #[serde(rename = "13a")]
    Mteval13a,
}

impl Tokeniser {
    /// JSON schema of the configuration field.
    pub const SCHEMA: &str = r#"{"enum":["whitespace","words","13a"]}"#;

    /// The text with white space between its tokens.
    pub fn spaced(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Whitespace => text.into(),
            Self::Words => text.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect(),
            Self::Mteval13a => mteval_13a(text).into(),
        }
    }
}

/// The runs of `a-z` and `0-9` of the text in lower case, which are the tokens of ROUGE, with white space between them.
pub fn letters_and_digits(text: &str) -> String {
    let keep = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { ' ' };
    text.to_lowercase().chars().map(keep).collect()
}

fn mteval_13a(text: &str) -> String {
    let mut text = Cow::from(text.trim_end());
    for (from, to) in [("<skipped>", ""), ("-\n", ""), ("\n", " ")] {
        replace(&mut text, from, to);
    }
    if text.contains('&') {
        for (from, to) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
            replace(&mut text, from, to);
        }
    }
    let mut spaced = String::with_capacity(text.len() * 2);
    spaced.push(' ');
    for c in text.chars() {
        if is_mark(c) { spaced.extend([' ', c, ' ']) } else { spaced.push(c) }
    }
    spaced.push(' ');
    if !spaced.bytes().any(|b| matches!(b, b'.' | b',' | b'-')) {
        return spaced;
    }
    let stop = |c: char| matches!(c, '.' | ',');
    let spaced = pairs(&spaced, |a, b| !a.is_ascii_digit() && stop(b), |out, a, b| out.extend([a, ' ', b, ' ']));
    let spaced = pairs(&spaced, |a, b| stop(a) && !b.is_ascii_digit(), |out, a, b| out.extend([' ', a, ' ', b]));
    pairs(&spaced, |a, b| a.is_ascii_digit() && b == '-', |out, a, b| out.extend([a, ' ', b, ' ']))
}

fn replace(text: &mut Cow<'_, str>, from: &str, to: &str) {
    if text.contains(from) {
        *text = text.replace(from, to).into();
    }
}

/// ASCII punctuation except `'`, `,`, `-` and `.`.
fn is_mark(c: char) -> bool {
    c.is_ascii_punctuation() && !matches!(c, '\'' | ',' | '-' | '.')
}

/// `re.sub` with a pattern of two characters: from left to right, without overlaps.
fn pairs(text: &str, found: impl Fn(char, char) -> bool, write: impl Fn(&mut String, char, char)) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text.chars();
    while let Some(a) = rest.next() {
        match rest.clone().next() {
            Some(b) if found(a, b) => {
                write(&mut out, a, b);
                rest.next();
            }
            _ => out.push(a),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(tokeniser: Tokeniser, text: &str) -> Vec<String> {
        tokeniser.spaced(text).split_whitespace().map(str::to_string).collect()
    }

    #[test]
    fn mteval_keeps_numbers_together() {
        // Expected values: `Tokenizer13a` of sacrebleu 2.6.
        let text = "3.5 cm, 1,000 cells (T2-weighted); 5-6 &lt;x&gt; it's a..b.";
        let expected = "3.5 cm , 1,000 cells ( T2 - weighted ) ; 5 - 6 < x > it's a . . b .";
        assert_eq!(tokens(Tokeniser::Mteval13a, text).join(" "), expected);
    }

    #[test]
    fn words_drop_punctuation_of_any_script() {
        assert_eq!(tokens(Tokeniser::Words, "Écho—normal; T2-weighted."), ["Écho", "normal", "T2", "weighted"]);
        assert_eq!(letters_and_digits("Écho T2!").split_whitespace().collect::<Vec<_>>(), ["cho", "t2"]);
    }
}
