use super::*;
use crate::submission::Rule;

const ATTACK: &str = "</script><img src=x onerror=\"window.hacked=1\">";

fn number(model: &str, value: Option<f64>, interval: Option<(f64, f64)>) -> Number {
    Number {
        cell: format!("{model}@dots.test.diagnosis.zero-shot.s0"),
        model: model.into(),
        data: "dots.test".into(),
        task: "diagnosis".into(),
        usage: "zero-shot".into(),
        seed: 0,
        scorer: "auroc".into(),
        version: "1.0.0".into(),
        metric: "auroc".into(),
        value,
        low: interval.map(|(low, _)| low),
        high: interval.map(|(_, high)| high),
        higher_is_better: true,
        samples: 40,
        failed: 0,
        checked: "re-scored",
    }
}

fn entry(division: Division, submitter: &str, numbers: Vec<Number>) -> Entry {
    Entry {
        file: "a.zip".into(),
        archive: blake3::hash(submitter.as_bytes()).to_hex().to_string(),
        division,
        submitter: submitter.into(),
        contact: "javascript:alert(1)".into(),
        note: ATTACK.into(),
        suite: "quickstart".into(),
        signed: None,
        notes: vec![ATTACK.into()],
        numbers,
    }
}

fn site(board: &Board) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    write_site(board, |name, bytes| {
        files.insert(name.to_string(), String::from_utf8(bytes.to_vec()).expect("text"));
        Ok(())
    })
    .expect("written");
    files
}

#[test]
fn rows_whose_intervals_overlap_share_the_better_rank() {
    let numbers = vec![
        number("best", Some(0.9), Some((0.85, 0.95))),
        number("close", Some(0.84), Some((0.8, 0.88))),
        number("far", Some(0.6), Some((0.5, 0.7))),
        number("none", None, None),
    ];
    let ranks = |board: &Board| -> Vec<(String, Option<usize>)> {
        let groups = groups(board);
        assert_eq!(groups.len(), 1);
        groups.values().flatten().map(|row| (row.number.model.clone(), row.rank)).collect()
    };
    let row = |model: &str, rank| (model.to_string(), rank);
    let board = |numbers| Board { entries: vec![entry(Division::Open, "us", numbers)], ..Board::default() };
    let expected = [row("best", Some(1)), row("close", Some(1)), row("far", Some(3)), row("none", None)];
    assert_eq!(ranks(&board(numbers.clone())), expected);
    let lower = numbers.into_iter().map(|number| Number { higher_is_better: false, ..number }).collect();
    let expected = [row("far", Some(1)), row("close", Some(2)), row("best", Some(2)), row("none", None)];
    assert_eq!(ranks(&board(lower)), expected);
}

#[test]
fn divisions_stay_apart_and_the_rejected_are_not_ranked() {
    let board = Board {
        title: "Board".into(),
        entries: vec![
            entry(Division::Closed, "them", vec![number("a", Some(0.5), None)]),
            entry(Division::Open, "us", vec![number("b", Some(0.9), None)]),
        ],
        rejected: vec![Rejected {
            file: "bad.zip".into(),
            archive: String::new(),
            violations: vec![Violation::new(Rule::Scores, "cell", "line 3")],
        }],
    };
    let files = site(&board);
    assert_eq!(files, site(&board), "the same bytes every time");
    let index = &files["index.html"];
    let (closed, rest) = index.split_once("id=\"open\"").expect("an open division");
    assert!(closed.contains(">a</th>") && !closed.contains(">b</th>") && rest.contains(">b</th>"));
    assert!(rest.contains("<b>Rule 501</b>") && !files["results.csv"].contains("bad.zip"));
    assert_eq!(files["results.csv"].lines().filter(|line| line.contains(",1,")).count(), 2, "each is first in its own");
    assert_eq!(files.keys().filter(|name| name.starts_with("submissions/")).count(), 2);
}

#[test]
fn nothing_that_a_submission_says_becomes_markup_or_a_formula() {
    let mut evil = number(ATTACK, Some(0.5), None);
    evil.checked = "hashes only";
    let board = Board {
        title: ATTACK.into(),
        entries: vec![entry(Division::Open, &format!("=1+1{ATTACK}"), vec![evil])],
        rejected: vec![Rejected {
            file: ATTACK.into(),
            archive: String::new(),
            violations: vec![Violation::new(Rule::PlainNames, ATTACK, ATTACK)],
        }],
    };
    for (name, text) in site(&board).iter().filter(|(name, _)| name.ends_with(".html")) {
        assert!(!text.contains("<img") && text.contains("Content-Security-Policy"), "{name}");
        assert!(!text.contains("href=\"javascript:"), "{name}");
    }
    assert!(site(&board)["results.csv"].contains("'=1+1"));
}
