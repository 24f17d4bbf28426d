//! Progress: a bar where standard error is a terminal, lines where it is not.

use std::{
    io::{IsTerminal, stderr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{ids::CellId, run::Observer};

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Shows how far a run has come.
pub struct Progress {
    cells: usize,
    terminal: bool,
    state: Mutex<State>,
}

struct State {
    bar: ProgressBar,
    cell: Option<CellId>,
    name: String,
    begun: usize,
    last_line: Instant,
}

impl Progress {
    /// For a run of so many cells; 0 where that is not known beforehand.
    pub fn new(cells: usize) -> Self {
        let state =
            State { bar: ProgressBar::hidden(), cell: None, name: String::new(), begun: 0, last_line: Instant::now() };
        Self { cells, terminal: stderr().is_terminal(), state: Mutex::new(state) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Progress {
    fn begin(&self, cell: &CellId, work: &str, done: usize, total: usize) {
        self.with(|state| {
            if state.cell.as_ref() != Some(cell) {
                state.begun += 1;
                state.cell = Some(cell.clone());
            }
            let of = if self.cells > 0 { format!("/{}", self.cells) } else { String::new() };
            state.name = format!("[{}{of}] {cell}: {work}", state.begun);
            let target = if self.terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
            state.bar = ProgressBar::with_draw_target(Some(total as u64), target);
            if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {per_sec} eta {eta}") {
                state.bar.set_style(style);
            }
            state.bar.set_prefix(state.name.clone());
            state.bar.set_position(done as u64);
            state.bar.reset_eta();
            state.last_line = Instant::now();
            if !self.terminal && done < total {
                eprintln!("{} {done}/{total} on disk", state.name);
            }
        });
    }

    fn advance(&self, samples: usize) {
        self.with(|state| {
            state.bar.inc(samples as u64);
            if !self.terminal && state.last_line.elapsed() >= LINE_EVERY {
                state.last_line = Instant::now();
                let (done, total) = (state.bar.position(), state.bar.length().unwrap_or_default());
                eprintln!("{} {done}/{total}, {:.0} s to go", state.name, state.bar.eta().as_secs_f64());
            }
        });
    }

    fn end(&self, failed: usize) {
        self.with(|state| {
            state.bar.finish_and_clear();
            let total = state.bar.length().unwrap_or_default();
            let failures = if failed > 0 { format!(", {failed} failed") } else { String::new() };
            eprintln!("{} {total} done{failures}", state.name);
        });
    }

    fn note(&self, line: &str) {
        self.with(|state| state.bar.suspend(|| eprintln!("note: {line}")));
    }
}
