//! Normalisation of answers.

/// The normalisation of SQuAD's `evaluate-v1.1.py` (Rajpurkar et al. 2016): lower case, ASCII punctuation deleted, the
/// words `a`, `an` and `the` dropped, white space collapsed.
///
/// Two deviations: a decimal point stays, so that "3.5 cm" does not equal "35 cm"; and where nothing but articles would
/// be left, they stay, so that the choice "A" does not equal an empty answer.
pub fn normalise(text: &str) -> String {
    let lower = text.to_lowercase();
    let normal = collapse(&lower, true);
    if normal.is_empty() { collapse(&lower, false) } else { normal }
}

/// Drops punctuation, and each article that then stands between non-letters; one space for white space.
fn collapse(text: &str, drop_articles: bool) -> String {
    let mut normal = String::with_capacity(text.len());
    let mut word = None;
    let end_word = |normal: &mut String, word: &mut Option<usize>| {
        if let Some(start) = word.take()
            && drop_articles
            && matches!(&normal[start..], "a" | "an" | "the")
        {
            normal.truncate(start);
            push_space(normal);
        }
    };
    for (at, c) in text.char_indices() {
        if c.is_ascii_punctuation() && !(c == '.' && is_between_digits(text.as_bytes(), at)) {
            continue;
        }
        if c.is_alphanumeric() {
            word.get_or_insert(normal.len());
            normal.push(c);
            continue;
        }
        end_word(&mut normal, &mut word);
        if c.is_whitespace() { push_space(&mut normal) } else { normal.push(c) }
    }
    end_word(&mut normal, &mut word);
    normal.truncate(normal.trim_end().len());
    normal
}

fn push_space(text: &mut String) {
    if !text.is_empty() && !text.ends_with(' ') {
        text.push(' ');
    }
}

fn is_between_digits(text: &[u8], at: usize) -> bool {
    let digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    at > 0 && digit(at - 1) && digit(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_normalised_as_by_squad() {
        // Expected values: `normalize_answer` of SQuAD's evaluate-v1.1.py.
        for (text, expected) in VECTORS {
            assert_eq!(normalise(text), *expected, "{text:?}");
        }
    }

    #[test]
    fn decimal_points_and_lone_articles_stay() {
        assert_eq!(normalise("3.5 cm. mass"), "3.5 cm mass");
        assert_eq!(normalise("grade 2. 3"), "grade 2 3");
        assert_eq!(normalise("A."), "a");
        assert_eq!(normalise("The a an"), "the a an");
    }

    const VECTORS: &[(&str, &str)] = &[
        ("Yes", "yes"),
        ("  yes.\n", "yes"),
        ("The left-sided pleural effusion", "leftsided pleural effusion"),
        ("A chest X-ray (PA view)", "chest xray pa view"),
        ("T2-weighted MRI: axial", "t2weighted mri axial"),
        ("1,000 cells, and more; a-b", "1000 cells and more ab"),
        ("an apple a day", "apple day"),
        ("the\tthe heart", "heart"),
        ("Anatomy of theatre", "anatomy of theatre"),
        ("it's the patient's", "its patients"),
        ("CT — the scan", "ct — scan"),
        ("“a” lesion", "“ ” lesion"),
        ("ÉCG Normal", "écg normal"),
        ("", ""),
        ("!?", ""),
        ("5%", "5"),
        ("a_b", "ab"),
        ("ÄRZTE–the–team", "ärzte– –team"),
        ("ß", "ß"),
    ];
}
