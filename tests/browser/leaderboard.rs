//! A leaderboard in headless Chromium: it sorts, it searches, it stays offline, and names stay text.

use std::{fs, path::PathBuf};

use integration_tests::Bench;
use serde_json::json;

use crate::chromium::Chromium;

const EVIL: &str = "</script><img src=x onerror=\"window.hacked=1\">";

/// A site of two submissions of two models each, and of a file that is none.
fn site(bench: &Bench) -> PathBuf {
    bench.mock(&[("first", ""), ("second", "feature_dim = 8")]);
    bench.dots(24);
    let suite = "models = ['first', 'second']\nbootstrap = { resamples = 20 }\n[[dataset]]\nid = 'dots'\n";
    bench.write("suites/dots.toml", suite);
    bench.medvlm(&["run", "suites/dots.toml"]).well();
    fs::create_dir_all(bench.path("all")).expect("a directory");
    for (division, out) in [("closed", "all/a.zip"), ("open", "all/b.zip")] {
        let about = ["--submitter", EVIL, "--contact", EVIL, "--note", EVIL, "--out", out];
        let how = ["pack", "runs/dots", "--suite-dir", "suites", "--division", division];
        bench.medvlm(&[&how[..], &about].concat()).well();
    }
    bench.write("all/c.zip", "<b>no archive</b>");
    bench.medvlm(&["leaderboard", "all", "--suite-dir", "suites", "--out", "site", "--title", EVIL]).well();
    bench.path("site/index.html")
}

#[test]
fn a_leaderboard_sorts_searches_and_keeps_names_as_text() {
    let Some(mut browser) = Chromium::start() else {
        eprintln!("skipped: chromium is not installed");
        return;
    };
    let bench = Bench::new();
    let page = site(&bench);
    browser.open(&page);
    assert_eq!(browser.evaluate("document.querySelector('h1').textContent"), EVIL);
    assert_eq!(browser.evaluate("typeof window.hacked"), "undefined");
    assert_eq!(browser.evaluate("document.images.length"), 0);
    let names = "[...document.querySelectorAll('#closed article:first-of-type tbody th')].map(e => e.textContent)";
    let models = |browser: &mut Chromium| browser.evaluate(names);
    let heading = "#closed article:first-of-type thead th:nth-child(2) button";
    browser.click(heading);
    assert_eq!(models(&mut browser), json!(["first", "second"]));
    browser.click(heading);
    assert_eq!(models(&mut browser), json!(["second", "first"]));
    assert_eq!(browser.evaluate("document.querySelector('#closed thead th:nth-child(2)').ariaSort"), "descending");

    let visible = "[...document.querySelectorAll('.division tbody tr')].filter(r => r.checkVisibility()).length";
    let all = browser.evaluate(visible).as_u64().unwrap();
    browser.click("#search");
    browser.type_text("second");
    assert_eq!(browser.evaluate(visible).as_u64().unwrap() * 2, all);
    assert_eq!(browser.evaluate("document.querySelectorAll('#rejected li').length > 0"), true);
    let shot = browser.screenshot();
    if let Some(directory) = std::env::var_os("MEDVLM_SCREENSHOTS") {
        fs::write(PathBuf::from(directory).join("leaderboard.png"), &shot).unwrap();
    }
    assert!(browser.errors().is_empty(), "{:?}", browser.errors());
    assert_eq!(browser.requests().len(), 1, "{:?}", browser.requests());

    let entry = fs::read_dir(bench.path("site/submissions")).unwrap().flatten().next().unwrap().path();
    browser.open(&entry);
    assert_eq!(browser.evaluate("document.querySelector('.note').textContent"), EVIL);
    assert_eq!(browser.evaluate("typeof window.hacked"), "undefined");
    assert!(browser.errors().is_empty(), "{:?}", browser.errors());
}
