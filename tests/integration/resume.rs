//! Crashes and interruptions at any time, and the same bytes after all.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use integration_tests::{Bench, dist};

const SAMPLES: u32 = 60;
const PREDICTIONS: &str = "runs/suite/slow@dots.test.diagnosis.zero-shot.s0/predictions.jsonl";

/// A model that takes 50 ms a batch; batches of two make 1.5 s.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.mock(&[("slow", "behave = \"slow\"")]);
    bench.dots(SAMPLES);
    bench.suite(&["slow"], "diagnosis");
    bench
}

const RUN: [&str; 4] = ["run", "suite.toml", "--batch-size", "2"];

/// What an undisturbed run writes.
fn expected(bench: &Bench) -> std::collections::BTreeMap<String, Vec<u8>> {
    bench.medvlm(&["run", "suite.toml", "--out", "whole"]).well();
    bench.files("whole")
}

fn start(bench: &Bench) -> Child {
    bench.command().args(RUN).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn lines(bench: &Bench) -> usize {
    fs::read(bench.path(PREDICTIONS)).map_or(0, |text| text.iter().filter(|b| **b == b'\n').count())
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn signal(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

#[test]
fn a_killed_host_loses_nothing_that_was_flushed_and_ends_with_the_same_bytes() {
    let bench = bench();
    let whole = expected(&bench);
    for step in [1, 9, 17, 31] {
        let mut host = start(&bench);
        wait_until("predictions", || lines(&bench) >= step);
        let workers = children(host.id());
        host.kill().unwrap();
        host.wait().unwrap();
        let kept = lines(&bench);
        assert!(kept >= step && kept < SAMPLES as usize, "{kept}");
        wait_until("the workers to end with their host", || {
            workers.iter().all(|pid| !fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z")))
        });
        let text = fs::read(bench.path(PREDICTIONS)).unwrap();
        // What a crash may leave behind: half a line.
        fs::write(bench.path(PREDICTIONS), [text.as_slice(), b"{\"index\": 59, \"sam"].concat()).unwrap();
    }
    bench.medvlm(&RUN).well();
    assert_eq!(bench.files("runs/suite"), whole);
}

#[test]
fn a_killed_worker_costs_no_sample() {
    let bench = bench();
    let whole = expected(&bench);
    let mut host = start(&bench);
    wait_until("predictions", || lines(&bench) >= 5);
    let workers = children(host.id());
    assert!(!workers.is_empty());
    workers.into_iter().for_each(|worker| signal("-9", worker));
    assert!(host.wait().unwrap().success());
    assert_eq!(bench.files("runs/suite"), whole);
}

#[test]
fn ctrl_c_keeps_the_batch_in_flight_and_the_next_run_goes_on() {
    let bench = bench();
    let whole = expected(&bench);
    let host = start(&bench);
    wait_until("predictions", || lines(&bench) >= 3);
    signal("-INT", host.id());
    let output = host.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted; run the same command again to go on"), "{said}");
    let kept = lines(&bench);
    assert!((3..SAMPLES as usize).contains(&kept), "{kept}");
    let again = bench.medvlm(&RUN).well();
    assert!(again.err.contains(&format!("{kept}/{SAMPLES} on disk")), "{again:#?}");
    assert_eq!(bench.files("runs/suite"), whole);
}

/// A run directory of four pages is full in the middle of a run.
#[test]
fn a_full_disk_is_a_sentence_and_the_next_run_goes_on() {
    let bench = bench();
    let whole = expected(&bench);
    fs::create_dir(bench.path("runs")).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=16k none runs || exit 77
         {} run suite.toml --batch-size 2 --predict-only; code=$?
         cp -r runs kept; exit $code",
        dist().join("medvlm").display()
    );
    let mut small = Command::new("unshare");
    small.args(["-rm", "sh", "-c", &script]).current_dir(bench.path(""));
    small.env("MEDVLM_PLUGIN_PATH", bench.path("plugins")).env("MEDVLM_DATASET_PATH", bench.path("data"));
    let output = small.output();
    let Some(output) = output.ok().filter(|o| !matches!(o.status.code(), Some(77) | None)) else {
        println!("skipped: this machine lets no test mount a small file system");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("predictions.jsonl: No space left on device"), "{said}");
    fs::remove_dir(bench.path("runs")).unwrap();
    fs::rename(bench.path("kept"), bench.path("runs")).unwrap();
    let kept = lines(&bench);
    assert!(kept > 0 && kept < SAMPLES as usize, "{kept}");
    assert!(fs::read(bench.path(PREDICTIONS)).unwrap().ends_with(b"\n"), "only whole lines are left");
    bench.medvlm(&RUN).well();
    assert_eq!(bench.files("runs/suite"), whole);
}
