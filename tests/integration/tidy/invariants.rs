//! Reads the invariants of `ARCHITECTURE.md` and looks up the tests that they name.
//!
//! An invariant is a table row or list item below a heading that says "Invariants". It names each test as
//! `path/of/file.rs::name_of_test`, or says "no test yet".

/// Invariants without a test, and tests that do not exist.
pub fn violations(page: &str, sources: &[(String, String)]) -> Vec<String> {
    let rows = rows(page);
    if rows.is_empty() {
        return vec!["ARCHITECTURE.md: no invariants below a heading `Invariants`".into()];
    }
    let mut violations = Vec::new();
    for row in rows {
        let tests: Vec<(&str, &str)> = quoted(&row).filter_map(|word| word.split_once(".rs::")).collect();
        if tests.is_empty() && !row.contains("no test yet") {
            violations.push(format!("ARCHITECTURE.md: names no test: {row}"));
        }
        for (path, name) in tests {
            let source = sources.iter().find(|(file, _)| file.strip_suffix(".rs") == Some(path));
            if !source.is_some_and(|(_, text)| has_test(text, name)) {
                violations.push(format!("ARCHITECTURE.md: there is no test {path}.rs::{name}"));
            }
        }
    }
    violations
}

/// Table rows and list items, each with its continuation lines.
fn rows(page: &str) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        let item = line.trim_start_matches(|c: char| c.is_ascii_digit());
        if line.starts_with('#') {
            inside = line.to_lowercase().contains("invariants");
        } else if !inside || line.trim().is_empty() {
            continue;
        } else if line.starts_with("|-") || line.starts_with("| -") || line.starts_with("|:") {
            rows.pop();
        } else if line.starts_with('|') || line.starts_with("* ") || line.starts_with("- ") || item.starts_with(". ") {
            rows.push(line.into());
        } else if let Some(row) = rows.last_mut().filter(|_| line.starts_with(' ')) {
            row.push_str(line);
        }
    }
    rows
}

fn quoted(row: &str) -> impl Iterator<Item = &str> {
    row.split('`').skip(1).step_by(2)
}

/// Whether a source has a function of this name with `#[test]` among its attributes.
fn has_test(text: &str, name: &str) -> bool {
    let Some((before, _)) = text.split_once(&format!("fn {name}(")) else { return false };
    let attributes = before.rsplit(['}', ';']).next().unwrap_or_default();
    attributes.contains("#[test]")
}

#[test]
fn a_missing_test_is_found() {
    let sources = [("a/b.rs".to_string(), "fn x() {}\n#[test]\nfn holds() {}\nfn helper() {}\n".to_string())];
    let page = |rows: &str| format!("# Map\n1. other\n## Invariants\nSome prose.\n\n{rows}\n## Next\n2. other\n");
    let found = |rows: &str| violations(&page(rows), &sources).len();
    assert_eq!(found("| rule | test |\n|---|---|\n| one | `a/b.rs::holds` |"), 0);
    assert_eq!(found("1. one\n   `a/b.rs::holds`\n2. two: no test yet"), 0);
    assert_eq!(found("1. one `a/b.rs::helper`\n2. two `a/c.rs::holds`\n3. three"), 3);
    assert_eq!(found(""), 1);
}
