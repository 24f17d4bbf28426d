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
    bracketed(metric.low, metric.high)
}

/// `[low, high]`, or nothing where an end is undefined.
pub(super) fn bracketed(low: Option<f64>, high: Option<f64>) -> Option<String> {
    Some(format!("[{}, {}]", number(Some(low?)), number(Some(high?))))
}

/// A difference with its sign.
pub(super) fn signed(value: Option<f64>) -> String {
    let text = number(value);
    let positive = value.is_some_and(|v| v > 0.0) && text.contains(|c: char| ('1'..='9').contains(&c));
    if positive { format!("+{text}") } else { text }
}

/// A p value to four decimals, or as a power where it is smaller; `–` where there is no test.
pub(super) fn p_value(p: Option<f64>) -> String {
    match p {
        None => "–".into(),
        Some(p) if p < 0.0001 => format!("{p:.1e}"),
        Some(p) => format!("{p:.4}"),
    }
}

/// A share in percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
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
        assert_eq!([Some(0.25), Some(-0.25), Some(0.0001), None].map(signed), ["+0.250", "-0.250", "0.000", "–"]);
        assert_eq!([Some(0.04), Some(3e-7), None].map(p_value), ["0.0400", "3.0e-7", "–"]);
        assert_eq!(percent(0.625), "62 %");
    }
}
