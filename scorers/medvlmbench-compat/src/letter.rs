//! Which letter MedVLMBench's fork takes from an answer.

/// The letter of an answer in lower case, of the first `options` letters. Four patterns are tried in turn, and of each
/// only the first hit:
/// 1. `answer`, `option` or `choice`, perhaps `is`, a colon or a dash, an opening bracket, and a letter, whatever follows;
/// 2. a letter in brackets;
/// 3. a letter in double asterisks;
/// 4. a letter that stands alone, articles and pronouns included.
///
/// The cue words are inferred from the known vectors.
pub fn letter(answer: &str, options: usize) -> Option<char> {
    let valid = |letter: Option<char>| letter.filter(|letter| ('a'..='z').take(options).any(|l| l == *letter));
    valid(after_cue(answer))
        .or_else(|| valid(enclosed(answer, &[("(", ")"), ("[", "]")])))
        .or_else(|| valid(enclosed(answer, &[("**", "**")])))
        .or_else(|| valid(alone(answer)))
}

fn after_cue(answer: &str) -> Option<char> {
    answer.char_indices().find_map(|(at, _)| {
        let rest = &answer[at..];
        let rest = ["answer", "option", "choice"].iter().find_map(|cue| rest.strip_prefix(cue))?;
        let is = rest.trim_start().strip_prefix("is").filter(|_| rest.starts_with(char::is_whitespace));
        is.and_then(letter_after_marks).or_else(|| letter_after_marks(rest))
    })
}

fn letter_after_marks(rest: &str) -> Option<char> {
    let rest = rest.trim_start();
    let rest = rest.strip_prefix([':', '-']).unwrap_or(rest).trim_start();
    let rest = rest.strip_prefix(['(', '[']).unwrap_or(rest).trim_start();
    rest.chars().next().filter(char::is_ascii_lowercase)
}

fn enclosed(answer: &str, marks: &[(&str, &str)]) -> Option<char> {
    answer.char_indices().find_map(|(at, _)| {
        marks.iter().find_map(|(open, close)| {
            let mut rest = answer[at..].strip_prefix(open)?.chars();
            let letter = rest.next().filter(char::is_ascii_lowercase)?;
            rest.as_str().starts_with(close).then_some(letter)
        })
    })
}

fn alone(answer: &str) -> Option<char> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    answer.split(|c| !word(c)).find_map(|part| {
        let mut chars = part.chars();
        chars.next().filter(|c| chars.next().is_none() && c.is_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::letter;

    #[test]
    fn letters_are_found_with_the_quirks() {
        for (answer, expected) in [
            ("answer: b", Some('b')),
            ("(c)", Some('c')),
            ("because b", Some('b')),
            ("i think c.", None),
            ("answer: f", None),
            ("answer: chest", Some('c')),
            ("this is a ct", Some('a')),
            ("the answer is (d)", Some('d')),
            ("**e**", Some('e')),
            ("", None),
        ] {
            assert_eq!(letter(answer, 5), expected, "{answer}");
        }
    }
}
