//! How numbers read.

use super::MetricReport;

/// Three decimals below 10, otherwise four significant digits or the whole number; `–` where undefined.
pub(super) fn number(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(v) if !v.is_finite() => v.to_string(),
        Some(v) => {
            let decimals = match v.abs() {
                size if size < 9.9995 => 3,
                size if size < 99.995 => 2,
                size if size < 999.95 => 1,
                _ => 0,
            };
            // A minus sign before zero would suggest a loss that rounding has already removed.
            let text = format!("{v:.decimals$}");
            if text.trim_start_matches(['-', '0', '.']).is_empty() { text.replace('-', "") } else { text }
        }
    }
}

/// `[low, high]`, or nothing where the interval is undefined.
pub(super) fn interval(metric: &MetricReport) -> Option<String> {
    let (low, high) = (metric.low?, metric.high?);
    Some(format!("[{}, {}]", number(Some(low)), number(Some(high))))
}

/// A count with thousands separators.
pub(super) fn count(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 sample`, `2 samples`.
pub(super) fn counted(n: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_what_can_be_read() {
        let shown = [0.8764, 1.0, -0.0001, 12.3456, 123.456, 12_345.6].map(|v| number(Some(v)));
        assert_eq!(shown, ["0.876", "1.000", "0.000", "12.35", "123.5", "12346"]);
        assert_eq!(number(None), "–");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "sample"), "1 sample");
    }
}
