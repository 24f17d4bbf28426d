//! A scorer that does what no scorer should, for the tests of the host's sandbox.
//!
//! It misbehaves on samples whose prediction is `now`; every other sample scores 1. What it could read goes to the note.

use std::{
    collections::HashMap,
    env, fs,
    hash::{BuildHasher, RandomState},
    hint::black_box,
    net::TcpStream,
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use scorer_kit::{Error, Level, Metadata, Sample, Score, Scorer, export_scorer, log, metadata, serde::Deserialize};

/// The scorer; `{}` behaves.
#[derive(Debug, Default, Deserialize)]
#[serde(crate = "scorer_kit::serde", default, deny_unknown_fields)]
pub struct Misbehave {
    mode: Mode,
}

/// What it does.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(crate = "scorer_kit::serde", rename_all = "kebab-case")]
enum Mode {
    #[default]
    Nothing,
    Loop,
    Memory,
    Panic,
    Stack,
    Exit,
    Sleep,
    Refuse,
    NotANumber,
    TooManyValues,
    Chatter,
    Count,
    Environment,
    File,
    Clock,
    Seed,
    Socket,
}

static CALLS: AtomicU32 = AtomicU32::new(0);

impl Scorer for Misbehave {
    fn metadata() -> Metadata {
        metadata("misbehave", "0.1.0", "does what no scorer should").tasks(["vqa"]).value("one", 0.0, 1.0).build()
    }

    fn score(&self, sample: &Sample) -> Result<Score, Error> {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed);
        if sample.prediction != "now" {
            return Ok(Score::of(1.0));
        }
        let note = match self.mode {
            Mode::Nothing => String::new(),
            Mode::Loop => loop {
                black_box(());
            },
            Mode::Memory => hoard(),
            Mode::Panic => panic!("sample {} is cursed", sample.index),
            Mode::Stack => descend(u64::MAX).to_string(),
            Mode::Exit => process::exit(0),
            Mode::Sleep => format!("{:?}", thread::sleep(Duration::from_secs(3600))),
            Mode::Refuse => return Err(Error::BadInput(format!("sample {} is not welcome", sample.index))),
            Mode::NotANumber => return Ok(Score::of(f64::NAN)),
            Mode::TooManyValues => return Ok(Score { values: vec![None; 2], ..Score::default() }),
            Mode::Chatter => format!("{:?}", log(Level::Info, &format!("hello from sample {}", sample.index))),
            Mode::Count => calls.to_string(),
            Mode::Environment => format!("{:?} {:?}", env::vars().collect::<HashMap<_, _>>(), env::args().count()),
            Mode::File => format!("{:?}", fs::read("/etc/passwd").map(|bytes| bytes.len())),
            Mode::Clock => format!("{:?}", SystemTime::now().duration_since(UNIX_EPOCH)),
            Mode::Seed => RandomState::new().hash_one("seed").to_string(),
            Mode::Socket => format!("{:?}", TcpStream::connect("127.0.0.1:80").is_ok()),
        };
        Ok(Score { note: Some(note), ..Score::of(1.0) })
    }
}

fn hoard() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1u8; 1 << 20]));
    }
}

#[inline(never)]
fn descend(depth: u64) -> u64 {
    if depth == 0 { 0 } else { black_box(descend(depth - 1)).rotate_left(1) ^ depth }
}

export_scorer!(Misbehave);
