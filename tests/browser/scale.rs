//! Reports of 1,000 and of 200,000 samples: written in bounded memory, open in seconds, and browse in a bounded heap.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use integration_tests::Bench;

use crate::chromium::Chromium;

/// What the page may keep in memory, whatever the number of samples.
const HEAP: f64 = 120e6;
/// Seconds until samples can be browsed.
const OPEN: f64 = 10.0;
/// Megabytes beyond those of the small report that the writer may take for 200,000 samples.
const GROWTH: f64 = 700.0;

struct Measured {
    page: f64,
    beside: usize,
    writer: f64,
    opened: f64,
    searched: f64,
    heap: f64,
}

#[test]
fn reports_of_a_thousand_and_of_two_hundred_thousand_samples_open_in_seconds() {
    let Some(mut browser) = Chromium::start() else {
        eprintln!("skipped: chromium is not installed");
        return;
    };
    let [small, large] = [1_000, 200_000].map(|count| {
        let bench = run(count);
        let measured = measure(&bench, &mut browser, count);
        eprintln!(
            "{count} samples: page {:.2} MB and {} files beside it, written in {:.0} MB, browsable after {:.2} s, searched in \
             {:.2} s, heap {:.1} MB",
            measured.page / 1e6,
            measured.beside,
            measured.writer,
            measured.opened,
            measured.searched,
            measured.heap / 1e6
        );
        measured
    });
    assert_eq!(small.beside, 0, "a small report is one file");
    assert!(large.beside > 400 && large.page < 2e6, "a large one has its samples beside it");
    for measured in [&small, &large] {
        assert!(measured.opened < OPEN && measured.heap < HEAP);
    }
    assert!(large.writer - small.writer < GROWTH);
}

/// A scored run of one model on so many samples, which share eight pictures.
fn run(count: usize) -> Bench {
    let bench = Bench::new();
    bench.mock(&[("mock", "")]);
    bench.dots(8);
    let mut table = String::from("file,label,patient,part,question,answer\n");
    for i in 0..count {
        let (label, part) = (if i % 3 == 0 { "ill" } else { "well" }, if i % 8 < 4 { "a" } else { "b" });
        table.push_str(&format!("{}.png,{label},p{},{part},Is picture number-{i} ill?,{label}\n", i % 8, i / 2));
    }
    bench.write("data/dots/table.csv", table);
    let manifest = bench.read("data/dots.toml");
    bench.write("data/dots.toml", manifest.replace("id = \"file\"", "id = \"question\""));
    let suite = "models = ['mock']\nscorers = ['accuracy']\nbootstrap = { resamples = 20 }\n[[dataset]]\nid = 'dots'\n";
    bench.write("suite.toml", format!("{suite}task = 'diagnosis'\n"));
    bench.medvlm(&["run", "suite.toml", "--batch-size", "512"]).well();
    bench
}

fn measure(bench: &Bench, browser: &mut Chromium, count: usize) -> Measured {
    let page = bench.path("runs/suite/report.html");
    fs::remove_file(&page).expect("the report of the run");
    let writer = peak(bench.command().args(["report", "runs/suite"]));
    let bytes = fs::read(&page).expect("the report is written again");
    let start = Instant::now();
    browser.open(&page);
    browser.wait_until("document.getElementById('rows').ariaBusy === 'false'");
    let opened = start.elapsed().as_secs_f64();
    let status = |browser: &mut Chromium| browser.evaluate("document.getElementById('status').textContent").to_string();
    let shown = status(browser);
    assert!(shown.contains(&format!("of {} samples", grouped(count))), "{shown}");

    // The far end of the split, in another order, and only what is wrong.
    browser.evaluate("(() => { const o = document.getElementById('order'); o.value = '-loss'; o.dispatchEvent(new Event('change')); })()");
    browser.wait_until("document.getElementById('rows').ariaBusy === 'false'");
    for outcome in ["wrong", "correct", "all"] {
        browser.click(&format!("[data-outcome={outcome}]"));
        browser.wait_until("document.getElementById('rows').ariaBusy === 'false'");
        let told = browser.evaluate(&format!("document.querySelector('[data-outcome={outcome}] span').textContent"));
        assert!(status(browser).contains(&format!("{} of", told.as_str().unwrap_or_default())), "{told}");
    }
    for _ in 0..30 {
        browser.click("#forth");
        browser.wait_until("document.getElementById('rows').ariaBusy === 'false'");
    }
    let start = Instant::now();
    browser.click("#search");
    browser.type_text(&format!("number-{} ", count - 1));
    browser.wait_until("document.querySelectorAll('#rows tbody tr').length === 1 && document.getElementById('rows').ariaBusy === 'false'");
    let searched = start.elapsed().as_secs_f64();
    browser.click("#rows tbody tr button");
    browser.wait_until("document.getElementById('detail').open");
    let detail = browser.evaluate("document.getElementById('detail').innerText").to_string();
    assert!(detail.contains(&format!("{} in dots.test.diagnosis", count - 1)), "{detail}");
    assert!(browser.errors().is_empty(), "{:?}", browser.errors());
    let requests = browser.requests();
    assert!(requests.iter().all(|r| r.starts_with("file://") || r.starts_with("data:")), "{requests:?}");
    let heap = browser.heap();
    Measured {
        page: bytes.len() as f64,
        beside: files(&bench.path("runs/suite/report")),
        writer,
        opened,
        searched,
        heap,
    }
}

/// The most memory that a command takes, in megabytes.
fn peak(command: &mut Command) -> f64 {
    let mut child = command.stdout(std::process::Stdio::null()).spawn().expect("the program starts");
    let mut most = 0.0_f64;
    while child.try_wait().expect("a child").is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        most = most.max(kilobytes.unwrap_or_default() / 1e3);
        thread::sleep(Duration::from_millis(5));
    }
    assert!(child.wait().expect("a child").success());
    most
}

fn files(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

fn grouped(count: usize) -> String {
    format!("{},{:03}", count / 1000, count % 1000)
}
