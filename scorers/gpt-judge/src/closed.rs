//! Closed questions, which need no judge.

/// The answer holds the truth anywhere, as MedVLMBench counts: `no` is in `normal`.
pub fn substring(prediction: &str, reference: &str) -> bool {
    prediction.to_lowercase().contains(&reference.to_lowercase())
}

/// The answer begins with the words of the truth. For `yes` and `no` that is the verdict; what follows explains it.
pub fn first_word(prediction: &str, reference: &str) -> bool {
    let (said, truth) = (words(prediction), words(reference));
    !truth.is_empty() && said.starts_with(&truth)
}

fn words(text: &str) -> Vec<String> {
    text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_the_first_word_and_a_substring_is_anything() {
        assert!(first_word("Yes, it is.", "yes") && first_word("**No**", "no") && first_word("left lung", "Left"));
        assert!(!first_word("It is normal", "no") && !first_word("not really", "no") && !first_word("", "no"));
        assert!(!first_word("yes", "") && !first_word("yes", "no"));
        assert!(substring("It is normal", "No") && !substring("it is", "no"));
    }
}
