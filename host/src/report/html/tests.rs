//! The page of the example, and of one whose every text attacks it.

use serde_json::Value;

use super::{Pages, Report, to_html};
use crate::report::{CellPages, EmbeddedParts, example};

const ATTACK: &str = "</script><img src=x onerror=\"alert('&')\"><!--";

fn page(report: &Report) -> String {
    to_html(report, &example::pages()).expect("a page")
}

#[test]
fn the_page_shows_numbers_defects_and_sources() {
    let page = page(&example::report());
    for needed in [
        "<title>Phantom chest films</title>",
        "1 prediction failed, 1 prediction absent, 2 scores missing in accuracy",
        "class=\"best\">0.750</a> <span class=\"interval\">[0.500, 1.000]",
        "points=\"0,300 0,150 150,0 300,0\"",
        "points=\"0,0 150,0 300,150\"",
        "ECE <b>0.062</b>",
        "M <b>0.625</b> <span class=\"interval\">[0.500, 0.750]</span> <span class=\"quiet\">12 patients</span>",
        "unknown <b>too small</b>",
        "<td>0.250 (M to F)</td><td>0.625</td>",
        "<code>5d41402abc4b2a76b9719d911017c592</code>",
        "lines 5 to 8",
        "b1946ac92492d2347c6235b4d2611184",
    ] {
        assert!(page.contains(needed), "{needed} is not in the page");
    }
}

#[test]
fn the_page_shows_what_the_cells_say_together() {
    let page = page(&example::report());
    for needed in [
        "phantom-clip <abbr title=\"made for medicine\">◆</abbr>",
        "<abbr title=\"in domain\">●</abbr>",
        "table 2. Doubts: the test set chose the checkpoint",
        "<td>McNemar, exact</td>",
        "<td class=\"count\">0.0625</td>",
        "clip-vit-b32 · zero-shot 0.500 (best of 2 in 75 % of the draws)",
        "<td class=\"count\">-0.375 <span class=\"interval\">[-0.500, -0.125]</span></td><td>specialist</td>",
        "judge-a: 10 graded, 2 missing",
        "the worker was killed by signal 11",
        "2 of 4 requests have no answer",
        "llava is compared with nobody on vqa-rad",
    ] {
        assert!(page.contains(needed), "{needed} is not in the page");
    }
}

#[test]
fn text_from_data_stays_text() {
    let mut report = example::report();
    report.title = ATTACK.into();
    report.provenance[0].1 = ATTACK.into();
    for cell in &mut report.cells[..2] {
        (cell.id, cell.model, cell.dataset) = (ATTACK.into(), ATTACK.into(), ATTACK.into());
        (cell.roc[0].name, cell.precision_recall[0].name) = (ATTACK.into(), ATTACK.into());
        cell.metrics[0].name = ATTACK.into();
        (cell.subgroups[0].group, cell.gaps[0].best) = (ATTACK.into(), ATTACK.into());
        cell.failures.reasons = vec![(ATTACK.into(), 1)];
    }
    let findings = &mut report.findings;
    findings.notes = vec![ATTACK.into()];
    (findings.comparisons[0].pairs[0].a, findings.questions[0].generalist.model) = (ATTACK.into(), ATTACK.into());
    (findings.agreement[0].raters[0].name, report.published[0].doubt) = (ATTACK.into(), ATTACK.into());
    let mut parts = EmbeddedParts::default();
    let mut sample = example::samples(false).remove(0);
    (sample.id, sample.prediction) = (ATTACK.into(), ATTACK.into());
    sample.groups[0] = (ATTACK.into(), ATTACK.into());
    let mut pages = CellPages::new(0, 4, &[]);
    pages.push(&sample, &mut parts).expect("taken");
    let index = pages.finish(&mut parts).expect("written");
    let page = to_html(&report, &Pages::embedded(vec![index], parts)).expect("a page");
    assert!(!page.contains("<img"), "no image element is written into the page");
    assert!(!page.contains("<!--"));
    let rows = &block(&page, "data-part=\"c0/0\"");
    assert_eq!(rows[0]["id"], ATTACK);
    assert_eq!(rows[0]["prediction"], ATTACK);
    assert_eq!(block(&page, "id=\"data\"")["cells"][0]["id"], ATTACK);
}

#[test]
fn a_picture_is_written_once_for_all_cells() {
    let page = page(&example::report());
    assert_eq!(page.matches("data:image/jpeg;base64,/9j/").count(), 4);
    let set = |cell: usize| block(&page, "id=\"data\"")["cells"][cell]["set"].clone();
    assert_eq!((set(0), set(1)), (0.into(), 0.into()));
    assert_eq!(set(2), 1);
}

#[test]
fn the_page_names_no_address_to_load_from() {
    let page = page(&example::report());
    assert!(!page.contains("http://") && !page.contains("https://"));
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn samples_beside_the_page_are_not_in_it() {
    let pages = Pages::beside(example::pages().cells, "d1".into());
    let page = to_html(&example::report(), &pages).expect("a page");
    assert!(!page.contains("data-part=\"c"));
    assert_eq!(block(&page, "id=\"data\"")["folder"], "report");
    let nonce = |digest: &str| {
        let pages = Pages::beside(example::pages().cells, digest.into());
        let page = to_html(&example::report(), &pages).expect("a page");
        page.split("'nonce-").nth(1).map(|rest| rest[..32].to_string())
    };
    assert_ne!(nonce("d1"), nonce("d2"), "the nonce depends on the parts");
}

#[test]
fn a_report_without_cells_is_a_page() {
    let report = Report { title: "Empty".into(), ..Default::default() };
    let page = to_html(&report, &Pages::default()).expect("a page");
    assert!(page.contains("The run has no cells yet."));
}

fn block(page: &str, attribute: &str) -> Value {
    let (_, rest) = page.split_once(&format!("{attribute}>")).expect("the block");
    serde_json::from_str(rest.split_once("</script>").expect("its end").0).expect("JSON")
}
