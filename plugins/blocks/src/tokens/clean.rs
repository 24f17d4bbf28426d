//! What open_clip does to a text before a tokenizer of `transformers` sees it: `open_clip.tokenizer._clean_whitespace`
//! (3.3.0), that is `ftfy.fix_text` (6.3), HTML entities, white space.
//!
//! Of ftfy, all but `fix_encoding` is here: text that was decoded with a wrong encoding stays as it is.

use std::borrow::Cow;

use html_escape::decode_html_entities;
use unicode_normalization::UnicodeNormalization;

/// Windows-1252 of the bytes 0x80 to 0x9F; 0 where it has none.
const WINDOWS: [u32; 32] = [
    0x20AC, 0, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017D, 0, 0,
    0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0, 0x017E, 0x0178,
];

/// The text with straight quotes, plain letters for ligatures and full-width forms, no entities or control characters,
/// composed, and with single spaces only.
pub fn clean(text: &str) -> String {
    let mut entities = true;
    let mut fixed = String::with_capacity(text.len());
    for segment in text.split_inclusive('\n') {
        // Once a text looks like HTML, the reference leaves the entities of the rest to the steps below.
        entities &= !segment.contains('<');
        fixed.push_str(&fix(segment, entities));
    }
    let unescaped = decode_html_entities(&fixed).into_owned();
    decode_html_entities(&unescaped).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fix(text: &str, entities: bool) -> String {
    let mut text = text.to_string();
    loop {
        let unescaped = if entities { decode_html_entities(&text) } else { Cow::Borrowed(text.as_str()) };
        let mut plain = String::with_capacity(unescaped.len());
        for c in unescaped.chars() {
            push_plain(&mut plain, c);
        }
        let lines = plain.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n");
        let visible: String = without_terminal_escapes(&lines).chars().filter(|&c| !is_control(c)).collect();
        let fixed: String = visible.nfc().collect();
        if fixed == text {
            return fixed;
        }
        text = fixed;
    }
}

/// C1 controls as Windows means them, ligatures, full-width and half-width forms, quotes.
fn push_plain(out: &mut String, c: char) {
    let c = match c {
        '\u{80}'..='\u{9f}' => char::from_u32(WINDOWS[c as usize - 0x80]).filter(|&c| c != '\0').unwrap_or(c),
        _ => c,
    };
    match c {
        'Ĳ' => out.push_str("IJ"),
        'ĳ' => out.push_str("ij"),
        'ŉ' => out.push_str("'n"),
        'Ǳ' => out.push_str("DZ"),
        'ǲ' => out.push_str("Dz"),
        'ǳ' => out.push_str("dz"),
        'Ǆ' => out.push_str("DŽ"),
        'ǅ' => out.push_str("Dž"),
        'ǆ' => out.push_str("dž"),
        'Ǉ' => out.push_str("LJ"),
        'ǈ' => out.push_str("Lj"),
        'ǉ' => out.push_str("lj"),
        'Ǌ' => out.push_str("NJ"),
        'ǋ' => out.push_str("Nj"),
        'ǌ' => out.push_str("nj"),
        'ﬀ' => out.push_str("ff"),
        'ﬁ' => out.push_str("fi"),
        'ﬂ' => out.push_str("fl"),
        'ﬃ' => out.push_str("ffi"),
        'ﬄ' => out.push_str("ffl"),
        'ﬅ' => out.push_str("ſt"),
        'ﬆ' => out.push_str("st"),
        '\u{3000}' => out.push(' '),
        '\u{ff01}'..='\u{ffef}' => out.extend(std::iter::once(c).nfkc()),
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => out.push('\''),
        '\u{201c}'..='\u{201f}' => out.push('"'),
        _ => out.push(c),
    }
}

/// Without `ESC [`, digits and semicolons, and a letter.
fn without_terminal_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        out.push_str(before);
        let end = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        rest = match end.strip_prefix(|c: char| c.is_ascii_alphabetic()) {
            Some(after) => after,
            None => {
                out.push_str("\u{1b}[");
                after
            }
        };
    }
    out + rest
}

/// Characters that ftfy removes.
fn is_control(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffc}')
}

#[cfg(test)]
mod tests {
    use super::clean;

    /// The right-hand sides are what `open_clip.tokenizer._clean_whitespace` returned.
    #[test]
    fn equals_the_reference() {
        for (text, expected) in [
            ("", ""),
            ("  a\t b\r\nc\u{a0}d ", "a b c d"),
            ("\u{201c}x-ray\u{201d} isn\u{2019}t", "\"x-ray\" isn't"),
            ("ﬁbrosis ﬂuid Ｘ－ｒａｙ\u{3000}ﾀ", "fibrosis fluid X-ray タ"),
            ("na\u{ef}ve cafe\u{301}", "na\u{ef}ve caf\u{e9}"),
            ("T1 &lt; T2 &amp;amp; P&eacute;rez &hellip; &#x2019;", "T1 < T2 & P\u{e9}rez \u{2026} '"),
            ("<b>&ldquo;a&rdquo;</b>", "<b>\u{201c}a\u{201d}</b>"),
            ("\u{1b}[36;44mblue\u{1b}[0m \u{7}bell\u{feff}", "blue bell"),
            (
                "10 \u{b5}m \u{2265} 5\u{b0} \u{4f60}\u{597d} \u{1f600}",
                "10 \u{b5}m \u{2265} 5\u{b0} \u{4f60}\u{597d} \u{1f600}",
            ),
            ("it\u{92}s \u{85} ok", "it's \u{2026} ok"),
        ] {
            assert_eq!(clean(text), expected, "of {text:?}");
        }
    }
}
