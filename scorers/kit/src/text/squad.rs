//! Normalisation of answers.

/// The normalisation of SQuAD's `evaluate-v1.1.py` (Rajpurkar et al. 2016): lower case, ASCII punctuation deleted, the
/// words `a`, `an` and `the` dropped, white space collapsed.
///
/// Two deviations: a decimal point stays, so that "3.5 cm" does not equal "35 cm"; and where nothing but articles would
/// be left, they stay, so that the choice "A" does not equal an empty answer.
pub fn normalise(text: &str) -> String {
    let bare = drop_punctuation(&text.to_lowercase());
    let normal = collapse(&drop_articles(&bare));
    if normal.is_empty() { collapse(&bare) } else { normal }
}

fn drop_punctuation(text: &str) -> String {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let decimal_point = |at: usize| digit(text[..at].chars().next_back()) && digit(text[at + 1..].chars().next());
    let kept = |&(at, c): &(usize, char)| !c.is_ascii_punctuation() || (c == '.' && decimal_point(at));
    text.char_indices().filter(kept).map(|(_, c)| c).collect()
}

/// Replaces each article that stands between non-letters by a space.
fn drop_articles(text: &str) -> String {
    let word = |c: char| c.is_alphanumeric();
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(word) {
        let end = rest[start..].find(|c| !word(c)).map_or(rest.len(), |length| start + length);
        result.push_str(&rest[..start]);
        match &rest[start..end] {
            "a" | "an" | "the" => result.push(' '),
            other => result.push_str(other),
        }
        rest = &rest[end..];
    }
    result + rest
}

fn collapse(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
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
