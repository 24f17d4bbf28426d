//! Reads which modules of the host a source file names, and judges by the layers.

/// Modules of the host from the bottom up.
const LAYERS: [&[&str]; 4] = [
    &["error", "ids", "lock"],
    &[
        "adapter",
        "config",
        "dataset",
        "evidence",
        "judge",
        "model",
        "prediction",
        "report",
        "scorer",
        "stats",
        "submission",
    ],
    &["run"],
    &["cli"],
];

/// What a file below `host/src/` imports that it must not.
pub fn violations(path: &str, text: &str) -> Vec<String> {
    let inside = path.strip_prefix("host/src/").unwrap_or(path);
    let module = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    if module == "lib" || module == "main" {
        return Vec::new();
    }
    let Some(own) = layer(module) else { return vec![format!("{path}: `{module}` belongs to no layer")] };
    let code = code(text);
    let mut violations: Vec<String> = Vec::new();
    for name in imports(&code) {
        let allowed = name == module || layer(name).is_some_and(|other| other < own || own == 0 && other == 0);
        if !allowed {
            violations.push(format!("{path}: imports `{name}`, which is not below `{module}`"));
        }
    }
    if climbs_to_root(&code, inside.split('/').count()) {
        violations.push(format!("{path}: write `crate::` rather than climb to it with `super::`"));
    }
    violations
}

/// The source without its comments.
pub fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// Whether a `super::` chain leaves a module this deep below the crate, one more within its inline modules.
fn climbs_to_root(code: &str, depth: usize) -> bool {
    let mut inline = false;
    code.lines().any(|line| {
        match line {
            "}" => inline = false,
            _ if line.starts_with("mod ") && line.ends_with('{') => inline = true,
            _ => {}
        }
        line.contains(&"super::".repeat(depth + usize::from(inline)))
    })
}

/// The first names behind every `crate::`, those of `crate::{a::x, b}` included.
fn imports(code: &str) -> Vec<&str> {
    let foreign = |c: char| c.is_alphanumeric() || c == '_';
    let mut names = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        if code[..at].ends_with(foreign) {
            continue;
        }
        let rest = &code[at + found.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(heads(group)),
            None => names.push(head(rest)),
        }
    }
    names
}

/// The first names of a group's members, up to its closing brace.
fn heads(group: &str) -> Vec<&str> {
    let (mut depth, mut start) = (0, 0);
    let mut members = Vec::new();
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' if depth == 0 => {
                members.push(&group[start..at]);
                start = at + 1;
            }
            '}' => {
                members.push(&group[start..at]);
                break;
            }
            _ => {}
        }
    }
    members.into_iter().map(head).filter(|name| !name.is_empty()).collect()
}

fn head(path: &str) -> &str {
    let path = path.trim_start();
    &path[..path.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(path.len())]
}

#[test]
fn upward_and_sideways_imports_are_found() {
    let found = |path: &str, text: &str| violations(path, text).len();
    assert_eq!(found("host/src/dataset/read.rs", "use crate::{\n    error::{Error, Result},\n    ids::Task,\n};"), 0);
    assert_eq!(found("host/src/dataset/read.rs", "use crate::{error::Error, model::Row, run};"), 2);
    assert_eq!(found("host/src/stats.rs", "fn f() { crate::scorer::load() }"), 1);
    assert_eq!(found("host/src/run/plan.rs", "use crate::{config::Suite, run::Cell};\n// crate::cli"), 0);
    assert_eq!(found("host/src/run.rs", "use crate::cli::Show;"), 1);
    assert_eq!(found("host/src/ids.rs", "use crate::error::Error;"), 0);
    assert_eq!(found("host/src/stats.rs", "use super::scorer;"), 1);
    assert_eq!(found("host/src/stats/auroc.rs", "use super::Metric;\nmod tests {\n    use super::*;\n}"), 0);
    assert_eq!(found("host/src/stats.rs", "mod tests {\n    use super::*;\n    use super::super::scorer;\n}"), 1);
    assert_eq!(found("host/src/error/file.rs", "mod tests {\n    use super::super::Error;\n}"), 0);
    assert_eq!(found("host/src/tokens.rs", ""), 1);
}
