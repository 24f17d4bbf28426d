//! The Porter stemmer (Porter 1980) as nltk has it: `PorterStemmer()`, whose mode is `NLTK_EXTENSIONS`.

/// The stem of a word, in lower case.
pub fn stem(word: &str) -> String {
    let lower = word.to_lowercase();
    if let Some(irregular) = irregular(&lower) {
        return irregular.into();
    }
    let mut word: Vec<char> = lower.chars().collect();
    if word.len() <= 2 {
        return lower;
    }
    plurals(&mut word);
    past_and_gerund(&mut word);
    if word.ends_with(&['y']) && word.len() > 2 && is_consonant(&word, word.len() - 2) {
        replace(&mut word, 1, "i");
    }
    double_suffixes(&mut word);
    apply(&mut word, STEP_3, |stem, _| measure(stem) > 0);
    let removable =
        |stem: &[char], suffix: &str| measure(stem) > 1 && (suffix != "ion" || matches!(stem.last(), Some('s' | 't')));
    apply(&mut word, STEP_4, removable);
    final_letters(&mut word);
    word.into_iter().collect()
}

fn irregular(word: &str) -> Option<&'static str> {
    Some(match word {
        "sky" | "skies" => "sky",
        "dying" => "die",
        "lying" => "lie",
        "tying" => "tie",
        "news" => "news",
        "innings" | "inning" => "inning",
        "outings" | "outing" => "outing",
        "cannings" | "canning" => "canning",
        "howe" => "howe",
        "proceed" => "proceed",
        "exceed" => "exceed",
        "succeed" => "succeed",
        _ => return None,
    })
}

/// Step 1a.
fn plurals(word: &mut Vec<char>) {
    let ies = if word.len() == 4 { "ie" } else { "i" };
    apply(word, &[("sses", "ss"), ("ies", ies), ("ss", "ss"), ("s", "")], |_, _| true);
}

/// Step 1b.
fn past_and_gerund(word: &mut Vec<char>) {
    if ends_with(word, "ied") {
        let ied = if word.len() == 4 { "ie" } else { "i" };
        return replace(word, 3, ied);
    }
    if ends_with(word, "eed") {
        if measure(&word[..word.len() - 3]) > 0 {
            replace(word, 3, "ee");
        }
        return;
    }
    let suffix = ["ed", "ing"].into_iter().find(|suffix| {
        ends_with(word, suffix) && consonants(&word[..word.len() - suffix.len()]).any(|consonant| !consonant)
    });
    let Some(suffix) = suffix else { return };
    replace(word, suffix.len(), "");
    if ["at", "bl", "iz"].iter().any(|end| ends_with(word, end)) {
        word.push('e');
    } else if ends_with_double_consonant(word) {
        if !matches!(word.last(), Some('l' | 's' | 'z')) {
            word.pop();
        }
    } else if measure(word) == 1 && ends_with_short_syllable(word) {
        word.push('e');
    }
}

/// Step 2.
fn double_suffixes(word: &mut Vec<char>) {
    while ends_with(word, "alli") && measure(&word[..word.len() - 4]) > 0 {
        replace(word, 4, "al");
    }
    // The `l` of `logi` counts as part of the stem, so that the short `geo` has a measure.
    if ends_with(word, "logi") {
        if measure(&word[..word.len() - 3]) > 0 {
            word.pop();
        }
        return;
    }
    apply(word, STEP_2, |stem, _| measure(stem) > 0);
}

/// Steps 5a and 5b.
fn final_letters(word: &mut Vec<char>) {
    if word.ends_with(&['e']) {
        let stem = &word[..word.len() - 1];
        let measure = measure(stem);
        if measure > 1 || (measure == 1 && !ends_with_short_syllable(stem)) {
            word.pop();
        }
    }
    if ends_with(word, "ll") && measure(&word[..word.len() - 1]) > 1 {
        word.pop();
    }
}

/// Applies the first rule whose suffix the word has, if its condition on the stem and the suffix holds.
fn apply(word: &mut Vec<char>, rules: &[(&str, &str)], condition: impl Fn(&[char], &str) -> bool) {
    if let Some((suffix, replacement)) = rules.iter().find(|(suffix, _)| ends_with(word, suffix))
        && condition(&word[..word.len() - suffix.len()], suffix)
    {
        replace(word, suffix.len(), replacement);
    }
}

fn ends_with(word: &[char], suffix: &str) -> bool {
    word.len() >= suffix.len() && suffix.chars().rev().eq(word.iter().rev().take(suffix.len()).copied())
}

fn replace(word: &mut Vec<char>, length: usize, replacement: &str) {
    word.truncate(word.len() - length);
    word.extend(replacement.chars());
}

/// Whether each letter is a consonant: none of `aeiou`, and no `y` after a consonant.
fn consonants(word: &[char]) -> impl Iterator<Item = bool> {
    word.iter().scan(false, |before, c| {
        *before = match c {
            'a' | 'e' | 'i' | 'o' | 'u' => false,
            'y' => !*before,
            _ => true,
        };
        Some(*before)
    })
}

fn is_consonant(word: &[char], at: usize) -> bool {
    consonants(&word[..=at]).last() == Some(true)
}

/// How many vowels are followed by a consonant.
fn measure(stem: &[char]) -> usize {
    let mut vowel = false;
    consonants(stem).filter(|&consonant| std::mem::replace(&mut vowel, !consonant) && consonant).count()
}

fn ends_with_double_consonant(word: &[char]) -> bool {
    matches!(word, [.., a, b] if a == b) && is_consonant(word, word.len() - 1)
}

/// Consonant, vowel, consonant other than `w`, `x` and `y`; or a vowel and a consonant only.
fn ends_with_short_syllable(word: &[char]) -> bool {
    let mut last = consonants(word).skip(word.len().saturating_sub(3));
    match (last.next(), last.next(), last.next()) {
        (Some(true), Some(false), Some(true)) => !matches!(word.last(), Some('w' | 'x' | 'y')),
        (Some(false), Some(true), None) => true,
        _ => false,
    }
}

const STEP_2: &[(&str, &str)] = &[
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
];

const STEP_3: &[(&str, &str)] =
    &[("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", "")];

const STEP_4: &[(&str, &str)] = &[
    ("al", ""),
    ("ance", ""),
    ("ence", ""),
    ("er", ""),
    ("ic", ""),
    ("able", ""),
    ("ible", ""),
    ("ant", ""),
    ("ement", ""),
    ("ment", ""),
    ("ent", ""),
    ("ion", ""),
    ("ou", ""),
    ("ism", ""),
    ("ate", ""),
    ("iti", ""),
    ("ous", ""),
    ("ive", ""),
    ("ize", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_nltk() {
        // Made by scorers/text_vectors.py.
        let vectors: Vec<(String, String)> =
            serde_json::from_str(include_str!("../../porter.json")).expect("valid JSON");
        assert!(vectors.len() > 300);
        for (word, expected) in vectors {
            assert_eq!(stem(&word), expected, "{word}");
        }
    }
}
