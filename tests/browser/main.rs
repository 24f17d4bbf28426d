//! A report in headless Chromium: it draws, it filters, it opens a sample, and it stays offline.
//!
//! `MEDVLM_REPORT` names the page, one that has at least one wrong prediction. With `MEDVLM_SCREENSHOTS` the
//! pictures are kept in that directory.
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod chromium;
mod leaderboard;
mod scale;

use std::{env, fs, path::Path};

use chromium::Chromium;
use serde_json::Value;

/// Rows on one page of the sample browser.
const PAGE: usize = 50;

#[test]
fn a_report_draws_filters_and_opens_a_sample() {
    let Some((mut browser, page)) = report() else { return };
    open_report(&mut browser, Path::new(&page));
    assert_drawn(&screenshot(&mut browser, "top"));

    let samples = first_cell(&page);
    let page_is_drawn = "document.getElementById('rows').ariaBusy === 'false'";
    let wrong: Vec<&Value> =
        samples.iter().filter(|s| s["correct"] == false && s.get("error").is_none_or(Value::is_null)).collect();
    assert!(!wrong.is_empty(), "{page} has no wrong prediction to look for");
    assert_eq!(visible_rows(&mut browser), samples.len().min(PAGE));

    browser.click("[data-outcome=wrong]");
    browser.wait_until(page_is_drawn);
    assert_eq!(visible_rows(&mut browser), wrong.len().min(PAGE));
    assert_eq!(browser.evaluate("document.querySelector('[data-outcome=wrong]').ariaPressed"), "true");
    let outcomes =
        browser.evaluate("[...document.querySelectorAll('#rows tbody tr td:last-child')].map(d => d.textContent)");
    assert!(outcomes.as_array().is_some_and(|o| o.iter().all(|o| o == "wrong")), "{outcomes}");
    assert_drawn(&screenshot(&mut browser, "wrong"));

    browser.click("#rows tbody tr button");
    browser.wait_until("document.getElementById('detail').open");
    let detail = browser.evaluate("document.getElementById('detail').innerText");
    for field in ["id", "target", "prediction"] {
        let text = wrong[0][field].as_str().unwrap_or_default().trim();
        assert!(detail.as_str().is_some_and(|d| d.contains(text)), "{field} `{text}` is not shown in {detail}");
    }
    assert_drawn(&screenshot(&mut browser, "sample"));
    browser.press("Escape");
    assert_eq!(browser.evaluate("document.getElementById('detail').open"), false);

    browser.click("[data-outcome=all]");
    browser.click("#search");
    browser.type_text("no sample says this");
    browser.wait_until("document.getElementById('status').textContent.startsWith('0 of ')");
    assert_eq!(visible_rows(&mut browser), 0);

    assert!(browser.errors().is_empty(), "{:?}", browser.errors());
    let requests = browser.requests();
    assert!(requests.iter().all(|r| r.starts_with("file://") || r.starts_with("data:")), "{requests:?}");
    assert_eq!(requests.iter().filter(|r| r.starts_with("file://")).count(), 1, "{requests:?}");
}

#[test]
fn text_from_data_never_becomes_an_element() {
    let Some((mut browser, page)) = report() else { return };
    let html = fs::read_to_string(&page).expect("the report");
    let first = first_cell(&page)[0].clone();
    let attack = |field: &str| {
        let text = serde_json::to_string(&first[field]).expect("JSON").replace('<', "\\u003c");
        let evil = "\\u003c/script>\\u003cimg src=x onerror=\\\"window.hacked=1\\\">";
        (format!("\"{field}\":{text}"), format!("\"{field}\":\"{evil}\""))
    };
    let html = ["id", "prediction"].map(attack).iter().fold(html, |html, (from, to)| {
        assert!(html.contains(from), "{from} is not in the page");
        html.replacen(from, to, 1)
    });
    let changed = tempfile::Builder::new().suffix(".html").tempfile().expect("a file");
    fs::write(changed.path(), html).expect("the changed page");

    open_report(&mut browser, changed.path());
    browser.click("#rows tbody tr button");
    browser.wait_until("document.getElementById('detail').open");
    let title = browser.evaluate("document.getElementById('detail-title').textContent");
    assert_eq!(title, "</script><img src=x onerror=\"window.hacked=1\">");
    assert_eq!(browser.evaluate("document.querySelectorAll('img[src=x]').length"), 0);
    assert_eq!(browser.evaluate("typeof window.hacked"), "undefined");
}

/// Opens a report in the browser and checks that its sample browser came up.
fn open_report(browser: &mut Chromium, path: &Path) {
    browser.open(path);
    assert_eq!(browser.evaluate("document.getElementById('browser').hidden"), false);
    browser.wait_until("document.getElementById('rows').ariaBusy === 'false'");
    assert!(browser.errors().is_empty(), "{:?}", browser.errors());
}

/// A browser and the page to open, or nothing and a line that says why.
fn report() -> Option<(Chromium, String)> {
    let Ok(page) = env::var("MEDVLM_REPORT") else {
        eprintln!("skipped: MEDVLM_REPORT is unset");
        return None;
    };
    let Some(browser) = Chromium::start() else {
        eprintln!("skipped: chromium is not installed");
        return None;
    };
    Some((browser, page))
}

/// The samples of the page's first cell, read without the browser.
fn first_cell(page: &str) -> Vec<Value> {
    let html = fs::read_to_string(page).expect("the report");
    let parts = html.split("data-part=\"c0/").skip(1).filter_map(|part| part.split_once("\">"));
    let samples = parts.filter(|(name, _)| name.parse::<usize>().is_ok());
    let rows = samples.map(|(_, rest)| rest.split_once("</script>").expect("its end").0);
    rows.flat_map(|rows| serde_json::from_str::<Vec<Value>>(rows).expect("JSON")).collect()
}

fn visible_rows(browser: &mut Chromium) -> usize {
    let script = "[...document.querySelectorAll('#rows tbody tr')].filter(r => r.checkVisibility()).length";
    browser.evaluate(script).as_u64().expect("a number") as usize
}

fn screenshot(browser: &mut Chromium, name: &str) -> Vec<u8> {
    let png = browser.screenshot();
    if let Some(directory) = env::var_os("MEDVLM_SCREENSHOTS") {
        fs::write(Path::new(&directory).join(format!("{name}.png")), &png).expect("the picture is kept");
    }
    png
}

/// A picture of the expected size in which text and lines cover at least a hundredth, but not all.
fn assert_drawn(png: &[u8]) {
    let picture = image::load_from_memory(png).expect("a PNG").to_rgb8();
    assert!(picture.width() >= 1000 && picture.height() >= 700, "{:?}", picture.dimensions());
    let paper = picture.get_pixel(2, 2);
    let inked = picture.pixels().filter(|&p| p != paper).count() as f64 / picture.pixels().len() as f64;
    assert!((0.01..0.99).contains(&inked), "{inked} of the picture is drawn on");
    let colours: std::collections::HashSet<_> = picture.pixels().collect();
    assert!(colours.len() > 50, "{} colours", colours.len());
}
