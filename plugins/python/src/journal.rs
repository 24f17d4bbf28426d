//! What a Python process prints: it goes to the log, and the last lines explain an early death.

use std::{
    collections::VecDeque,
    io::{self, PipeReader, Read, Write},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Lines that are kept.
const KEPT: usize = 20;

/// Bytes after which a line is cut: what is printed need not be text.
const LONGEST: usize = 4096;

/// Copies what is printed to standard error, which is the log of a worker.
pub struct Journal {
    last: Arc<Mutex<VecDeque<String>>>,
    thread: JoinHandle<()>,
}

impl Journal {
    /// Reads until every writer of the pipe is gone.
    pub fn new(mut printed: PipeReader) -> Self {
        let last = Arc::new(Mutex::new(VecDeque::new()));
        let kept = last.clone();
        let thread = thread::spawn(move || {
            let mut line = Vec::new();
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = printed.read(&mut bytes) {
                for byte in &bytes[..count] {
                    match byte {
                        b'\n' | b'\r' => keep(&kept, &mut line),
                        _ => line.push(*byte),
                    }
                    if line.len() >= LONGEST {
                        keep(&kept, &mut line);
                    }
                }
            }
            keep(&kept, &mut line);
        });
        Self { last, thread }
    }

    /// Waits a moment for what a process that ended has left in the pipe.
    pub fn settle(&self) {
        let patience = Instant::now() + Duration::from_millis(500);
        while !self.thread.is_finished() && Instant::now() < patience {
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The last lines of a process that ended.
    pub fn last_lines(&self) -> Vec<String> {
        self.settle();
        self.last.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

fn keep(kept: &Mutex<VecDeque<String>>, line: &mut Vec<u8>) {
    // What is no text must not reach a terminal as it is.
    let shown = |c: char| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c };
    let text: String = String::from_utf8_lossy(line).trim_end().chars().map(shown).collect();
    line.clear();
    if text.is_empty() {
        return;
    }
    // A log that cannot be written is no reason to stop.
    let _ = writeln!(io::stderr(), "python: {text}");
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(text);
}
