//! The answer normaliser of VQA v2: as it is meant, and as MedVLMBench has it.

use super::contractions::restore;

/// The marks that the official normaliser knows, as a set of bytes; colons, apostrophes, asterisks and percent signs
/// survive.
const MARKS: u128 = set(b";/[]\"{}()=+\\_-><@`,?!");
/// `re.UNICODE`, which the original passes in the place of the greatest number of replacements.
const PERIODS: usize = 32;

/// See [`Normaliser::Vqa`](super::Normaliser::Vqa).
pub fn normalise(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut before = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let in_number = is_digit(before) && is_digit(rest.clone().next());
        match c {
            ',' if in_number => {}
            '.' if !in_number => {}
            c if contains(MARKS, c) => bare.push(' '),
            c => bare.push(c),
        }
        before = Some(c);
    }
    join_words(&bare, false)
}

/// See [`Normaliser::Medvlmbench`](super::Normaliser::Medvlmbench).
pub fn normalise_as_medvlmbench(text: &str) -> String {
    let bytes = text.as_bytes();
    // A mark is one byte, and no byte of a longer character equals it, so bytes will do.
    let triple = |t: &[u8]| t[0].is_ascii_digit() && t[1] == b',' && t[2].is_ascii_digit();
    let in_number = bytes.windows(3).any(triple);
    let touching = bytes.windows(2).fold(0, |touching, pair| match *pair {
        [mark, b' '] | [b' ', mark] if mark.is_ascii() => touching | 1 << mark,
        _ => touching,
    });
    let deleted = if in_number { MARKS } else { MARKS & touching };
    let kept = |c: char| match c {
        c if contains(deleted, c) => None,
        c if contains(MARKS, c) => Some(' '),
        c => Some(c),
    };
    let bare: String = text.chars().filter_map(kept).collect();
    let joined = join_words(&drop_periods(&bare), true);
    if joined.contains(',') { joined.replace(',', "") } else { joined }
}

const fn set(bytes: &[u8]) -> u128 {
    let (mut set, mut at) = (0, 0);
    while at < bytes.len() {
        set |= 1 << bytes[at];
        at += 1;
    }
    set
}

fn contains(set: u128, c: char) -> bool {
    c.is_ascii() && set >> (c as u32) & 1 == 1
}

/// Deletes the first periods that no digit follows.
fn drop_periods(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut deleted = 0;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '.' && deleted < PERIODS && !is_digit(rest.clone().next()) {
            deleted += 1;
        } else {
            kept.push(c);
        }
    }
    kept
}

/// Lower-case words without articles, with digits for numerals and restored contractions.
fn join_words(text: &str, only_official_contractions: bool) -> String {
    let lower = text.to_lowercase();
    let mut joined = String::with_capacity(lower.len() + 8);
    for word in lower.split_whitespace().map(digits) {
        if matches!(word, "a" | "an" | "the") {
            continue;
        }
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(restore(word, only_official_contractions).unwrap_or(word));
    }
    joined
}

fn digits(word: &str) -> &str {
    match word {
        "none" | "zero" => "0",
        "one" => "1",
        "two" => "2",
        "three" => "3",
        "four" => "4",
        "five" => "5",
        "six" => "6",
        "seven" => "7",
        "eight" => "8",
        "nine" => "9",
        "ten" => "10",
        other => other,
    }
}

/// Python's `\d` matches every decimal digit; numbers in answers are ASCII.
fn is_digit(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medvlmbench_normalises_with_its_quirks() {
        assert_eq!(normalise_as_medvlmbench("left-sided pleural effusion"), "left sided pleural effusion");
        assert_eq!(normalise_as_medvlmbench("1,000 cells, and more; a-b"), "1000 cells and more ab");
        assert_eq!(normalise_as_medvlmbench("3.5 cm. mass"), "3.5 cm mass");
        assert_eq!(normalise_as_medvlmbench("T2-weighted MRI: axial"), "t2 weighted mri: axial");
        assert_eq!(normalise_as_medvlmbench("a.b.c"), "abc");
        assert_eq!(normalise_as_medvlmbench(&".".repeat(40)), ".".repeat(8));
        assert_eq!(normalise_as_medvlmbench("the  a an"), "");
    }

    #[test]
    fn vqa_normalises_each_mark_where_it_stands() {
        assert_eq!(normalise("1,000 cells, and more; a-b"), "1000 cells and more b");
        assert_eq!(normalise("non-small - cell"), "non small cell");
        assert_eq!(normalise("3.5 cm. mass v1.x"), "3.5 cm mass v1x");
        assert_eq!(normalise(&".".repeat(40)), "");
        assert_eq!(normalise("Im sure there are two, dont ask"), "i'm sure there are 2 don't ask");
    }
}
