//! Which of several choices an answer takes.

/// Whether an answer says yes or no; none if it says neither or both.
///
/// In this order: the first word, the word after `answer` or `answer is`, or the only one of the two among the words.
pub fn yes_or_no(answer: &str) -> Option<bool> {
    let words = words(answer);
    let polarity = |rest: &str| {
        let mut rest = rest.split(' ');
        match (rest.next(), rest.next()) {
            (_, Some("or")) => None,
            (Some("yes"), _) => Some(true),
            (Some("no"), _) => Some(false),
            _ => None,
        }
    };
    let after = |cue: &str| words.split_once(cue).and_then(|(_, rest)| polarity(rest));
    let (yes, no) = (words.contains(" yes "), words.contains(" no "));
    let first = polarity(words.trim_start());
    first.or_else(|| after(" answer ")).or_else(|| after(" answer is ")).or_else(|| (yes != no).then_some(yes))
}

/// Position of the option that an answer takes, by its letter or its text; none if it takes none, or several.
///
/// The first of these decides:
/// 1. the whole answer is a letter or the text of an option,
/// 2. the last letter after `answer`, as in `Answer: B`, `the answer is (b)`,
/// 3. the only letter that labels the start of the answer or is set off, as in `B. Pneumonia`, `(c)`, `**B**`,
/// 4. the only letter after `option` or `choice`,
/// 5. the only option whose text is among the words of the answer,
/// 6. the only capital letter that stands alone and is no word (`I`, or an article).
pub fn choose(answer: &str, options: &[String]) -> Option<usize> {
    let said = words(answer);
    if said == NO_WORD {
        return None;
    }
    let texts: Vec<String> = options.iter().zip(0..).map(|(text, at)| words(unlabelled(text, at))).collect();
    if let Some(equal) = texts.iter().position(|text| *text == said) {
        return Some(equal);
    }
    let letters = Letter::all(answer, options.len());
    let with = |kind: fn(&Letter<'_>) -> bool| letters.iter().filter(move |letter| kind(letter)).map(|l| l.option);
    only(with(|letter| letter.is_whole()))
        .or_else(|| with(|letter| letter.is_cued(&["answer", "answer is"])).next_back())
        .or_else(|| only(with(|letter| letter.is_label() || letter.is_enclosed())))
        .or_else(|| only(with(|letter| letter.is_cued(&["option", "choice", "option is", "choice is"]))))
        .or_else(|| only(mentioned(&said, &texts)))
        .or_else(|| only(with(|letter| letter.is_capital() && !letter.is_word())))
}

/// Position of the option that a reference names by its text or its letter.
pub fn option_of(reference: &str, options: &[String]) -> Option<usize> {
    let named = words(reference);
    if named == NO_WORD {
        return None;
    }
    let by_text = options.iter().zip(0..).position(|(text, at)| {
        let text = words(unlabelled(text, at));
        text == named || text == words(unlabelled(reference, at))
    });
    let letters = || Letter::all(reference, options.len());
    by_text.or_else(|| only(letters().iter().filter(|letter| letter.is_whole()).map(|letter| letter.option)))
}

/// The words of a text in lower case, runs of letters and digits, with one space around each.
pub fn words(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + 2);
    words.push(' ');
    for c in text.chars() {
        match c {
            c if c.is_ascii_alphanumeric() => words.push(c.to_ascii_lowercase()),
            c if c.is_alphanumeric() => words.extend(c.to_lowercase()),
            _ if words.ends_with(' ') => {}
            _ => words.push(' '),
        }
    }
    if !words.ends_with(' ') {
        words.push(' ');
    }
    words
}

/// Whether some words stand in a text, next to each other; both as [`words`] gives them.
pub fn contains_words(text: &str, words: &str) -> bool {
    words != NO_WORD && text.contains(words)
}

/// What [`words`] makes of a text without any.
const NO_WORD: &str = " ";

/// An option's text without the letter that some datasets put before it: `B: `, `B. `, `B) `, `(B) `.
fn unlabelled(option: &str, at: usize) -> &str {
    let rest = option.trim().trim_start_matches('(');
    let mut chars = rest.chars();
    let labelled = chars.next().and_then(letter_position) == Some(at)
        && matches!(chars.next(), Some(':' | '.' | ')'))
        && matches!(chars.next(), None | Some(' '));
    if labelled { rest[2..].trim_start() } else { option }
}

fn letter_position(c: char) -> Option<usize> {
    c.is_ascii_alphabetic().then(|| usize::from(c.to_ascii_uppercase() as u8 - b'A'))
}

/// The options whose words stand in the answer at a place that is not within a longer option's.
fn mentioned(answer: &str, options: &[String]) -> impl Iterator<Item = usize> {
    let mut found: Vec<(usize, usize, usize)> = Vec::new();
    for (option, words) in options.iter().enumerate().filter(|(_, words)| words.len() > " a ".len()) {
        // Neighbours share the space between them, so the search goes on with the last byte.
        let mut start = 0;
        while let Some(at) = answer[start..].find(words.as_str()) {
            let end = start + at + words.len();
            found.push((option, start + at, end));
            start = end - 1;
        }
    }
    let within =
        |a: &(usize, usize, usize), b: &(usize, usize, usize)| b.1 <= a.1 && a.2 <= b.2 && b.2 - b.1 > a.2 - a.1;
    found.clone().into_iter().filter(move |a| !found.iter().any(|b| within(a, b))).map(|(option, _, _)| option)
}

/// The value, if all are equal and there is one.
fn only(mut values: impl Iterator<Item = usize>) -> Option<usize> {
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

/// A letter of an option that stands alone in an answer.
struct Letter<'a> {
    option: usize,
    letter: char,
    before: &'a str,
    after: &'a str,
}

impl<'a> Letter<'a> {
    fn all(answer: &'a str, options: usize) -> Vec<Self> {
        let alone = |(at, letter): (usize, char)| {
            let option = letter_position(letter).filter(|&option| option < options)?;
            let (before, after) = (&answer[..at], &answer[at + 1..]);
            let joined = |c: Option<char>, next: Option<char>| {
                let word = |c: char| c.is_alphanumeric() || c == '_';
                c.is_some_and(word) || (matches!(c, Some('-' | '\'' | '’')) && next.is_some_and(word))
            };
            let (mut left, mut right) = (before.chars().rev(), after.chars());
            let free = !joined(left.next(), left.next()) && !joined(right.next(), right.next());
            free.then_some(Self { option, letter, before, after })
        };
        answer.char_indices().filter_map(alone).collect()
    }

    fn is_whole(&self) -> bool {
        !self.before.contains(char::is_alphanumeric) && !self.after.contains(char::is_alphanumeric)
    }

    /// Follows one of some cues, which end with a word, with nothing but marks between.
    fn is_cued(&self, cues: &[&str]) -> bool {
        let marks = |c: char| !c.is_alphanumeric();
        let before = self.before.trim_end_matches(marks);
        let between = &self.before[before.len()..];
        let sentence_ended = between.contains(['.', '!', '?', ';', ',']);
        let ends_with = |cue: &&str| {
            let words = before.rsplit(marks).filter(|word| !word.is_empty());
            let mut cue = cue.rsplit(' ').peekable();
            let matched = words.take_while(|word| cue.next_if(|cue| cue.eq_ignore_ascii_case(word)).is_some()).count();
            matched > 0 && cue.peek().is_none()
        };
        !sentence_ended && !self.is_word() && cues.iter().any(ends_with)
    }

    /// Begins the answer and is followed by a mark that sets it off.
    fn is_label(&self) -> bool {
        let set_off = matches!(self.after.chars().next(), Some('.' | ')' | ']' | ':' | ',' | '*' | '\n'));
        set_off && !self.before.contains(char::is_alphanumeric)
    }

    fn is_enclosed(&self) -> bool {
        matches!(
            (self.before.chars().next_back(), self.after.chars().next()),
            (Some('('), Some(')')) | (Some('['), Some(']')) | (Some('{'), Some('}')) | (Some('*'), Some('*'))
        )
    }

    fn is_capital(&self) -> bool {
        self.letter.is_ascii_uppercase()
    }

    /// Whether it is the English word `a` or `I`: a word follows it that can, and a capital `A` begins a sentence.
    fn is_word(&self) -> bool {
        let Some(rest) = self.after.strip_prefix(' ') else { return false };
        let next = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let begun = self.before.trim_end_matches(|c: char| !c.is_alphanumeric() && !".!?:\n".contains(c));
        let starts_sentence = begun.is_empty() || begun.ends_with(['.', '!', '?', ':', '\n']);
        match self.letter {
            'a' | 'A' if matches!(next, "" | "and" | "as" | "because" | "is" | "or" | "since") => false,
            'A' => starts_sentence,
            letter => matches!(letter, 'a' | 'i' | 'I') && !next.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(answer: &str, options: &[&str]) -> Option<char> {
        let options: Vec<String> = options.iter().map(|option| option.to_string()).collect();
        choose(answer, &options).map(|option| (b'A' + option as u8) as char)
    }

    #[test]
    fn letters_are_found_where_they_are_an_answer() {
        const OPTIONS: &[&str] = &["Lung", "Heart", "Chest", "CT", "None of these"];
        for (answer, letter) in [
            ("B", Some('B')),
            ("b.", Some('B')),
            ("(c)", Some('C')),
            ("**B**", Some('B')),
            ("The answer is **B**.", Some('B')),
            ("Answer: B", Some('B')),
            ("answer is (e) because", Some('E')),
            ("The answer is A because of the lung", Some('A')),
            ("B. Heart", Some('B')),
            ("B) it beats", Some('B')),
            ("Option A is wrong, so the answer: C", Some('C')),
            ("I would choose option D", Some('D')),
            ("I think C.", Some('C')),
            ("Answer: Chest", Some('C')),
            ("It shows the heart", Some('B')),
            ("This is a CT", Some('D')),
            ("none of these", Some('E')),
            ("This is a scan", None),
            ("A scan", None),
            ("Answer: A scan", None),
            ("The answer is a scan", None),
            ("Answer: F", None),
            ("It is A or B", None),
            ("the heart or the lung", None),
            ("(a) or (b)", None),
            ("B-cell lymphoma, vitamin C's lack", None),
            ("because b", None),
            ("I do not know", None),
            ("", None),
        ] {
            assert_eq!(chosen(answer, OPTIONS), letter, "{answer:?}");
        }
    }

    #[test]
    fn a_longer_option_hides_a_shorter_one_within() {
        let options = ["A: effusion", "B: pleural effusion", "C: no effusion"];
        assert_eq!(chosen("There is a pleural effusion.", &options), Some('B'));
        assert_eq!(chosen("effusion", &options), Some('A'));
        assert_eq!(chosen("C: no effusion", &options), Some('C'));
        assert_eq!(chosen("pleural effusion, or only effusion", &options), None);
    }

    #[test]
    fn a_reference_is_a_letter_or_the_text_of_an_option() {
        let options = ["A: lung".to_string(), "B: heart".to_string()];
        assert_eq!((option_of("Heart", &options), option_of("b", &options)), (Some(1), Some(1)));
        assert_eq!((option_of("B: heart", &options), option_of("liver", &options)), (Some(1), None));
    }

    #[test]
    fn yes_and_no_are_words() {
        for (answer, expected) in [
            ("Yes.", Some(true)),
            ("No, there is no fluid; yes, really", Some(false)),
            ("There is no effusion", Some(false)),
            ("The answer is yes: there is no doubt", Some(true)),
            ("it is normal", None),
            ("I know of an abnormality", None),
            ("It could be yes or no", None),
            ("Yes or no", None),
            ("", None),
        ] {
            assert_eq!(yes_or_no(answer), expected, "{answer:?}");
        }
    }
}
