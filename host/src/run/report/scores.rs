//! Sample scores in the order of the samples, read side by side: `scores.jsonl` holds one scorer after the other.

use std::{
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    run::score::{self, ScoreLine},
    scorer::SampleScore,
};

/// A place in the scores of each scorer of a cell.
pub(super) struct Cursors {
    path: PathBuf,
    cursors: Vec<Cursor>,
}

/// The scores of one scorer, of which one is looked at.
struct Cursor {
    scorer: String,
    lines: BufReader<File>,
    /// Lines that are left.
    left: usize,
    number: usize,
    next: Option<SampleScore>,
}

impl Cursors {
    /// Opens the scores of a cell at the lines that its metrics name.
    pub fn open(dir: &Path, metrics: &score::Metrics) -> Result<Self> {
        let path = dir.join(score::SCORES);
        let firsts: Vec<usize> = metrics.scorers.iter().map(|scorer| scorer.lines.0).collect();
        let places = places(&path, &firsts)?;
        let cursor = |(scorer, place): (&score::ScorerMetrics, u64)| {
            let mut file = File::open(&path).map_err(Error::io(&path))?;
            file.seek(SeekFrom::Start(place)).map_err(Error::io(&path))?;
            let left = (scorer.lines.1 + 1).saturating_sub(scorer.lines.0);
            let number = scorer.lines.0;
            let mut cursor =
                Cursor { scorer: scorer.id.clone(), lines: BufReader::new(file), left, number, next: None };
            cursor.advance(&path)?;
            Ok(cursor)
        };
        let cursors = metrics.scorers.iter().zip(places).map(cursor).collect::<Result<_>>()?;
        Ok(Self { path, cursors })
    }

    /// The scores of the sample at a position, which must be greater than the last one that was asked for.
    pub fn at(&mut self, index: u32) -> Result<Vec<(&str, SampleScore)>> {
        let mut found = Vec::new();
        for cursor in &mut self.cursors {
            while cursor.next.as_ref().is_some_and(|score| score.index < index) {
                cursor.advance(&self.path)?;
            }
            if let Some(score) = cursor.next.take_if(|score| score.index == index) {
                cursor.advance(&self.path)?;
                found.push((cursor.scorer.as_str(), score));
            }
        }
        Ok(found)
    }

    /// All scores of one scorer.
    pub fn all(dir: &Path, metrics: &score::Metrics, scorer: &str) -> Result<Vec<SampleScore>> {
        let mut cursors = Self::open(dir, metrics)?;
        cursors.cursors.retain(|cursor| cursor.scorer == scorer);
        let mut scores = Vec::new();
        for cursor in &mut cursors.cursors {
            while let Some(score) = cursor.next.take() {
                scores.push(score);
                cursor.advance(&cursors.path)?;
            }
        }
        Ok(scores)
    }
}

impl Cursor {
    fn advance(&mut self, path: &Path) -> Result<()> {
        self.next = None;
        if self.left == 0 {
            return Ok(());
        }
        let mut text = String::new();
        self.lines.read_line(&mut text).map_err(Error::io(path))?;
        let place = || format!("{}:{}", path.display(), self.number);
        let line: ScoreLine =
            serde_json::from_str(&text).map_err(|e| Error::invalid(place(), format!("no score: {e}")))?;
        if line.scorer != self.scorer {
            let message = format!("is a score of {}, where metrics.json has those of {}", line.scorer, self.scorer);
            return Err(Error::invalid(place(), message));
        }
        (self.left, self.number, self.next) = (self.left - 1, self.number + 1, Some(line.score));
        Ok(())
    }
}

/// Where some lines begin, counted from 1 and ascending.
fn places(path: &Path, wanted: &[usize]) -> Result<Vec<u64>> {
    let mut lines = BufReader::new(File::open(path).map_err(Error::io(path))?);
    let (mut places, mut place, mut number) = (Vec::new(), 0, 1);
    let mut line = Vec::new();
    for wanted in wanted {
        while number < *wanted {
            line.clear();
            let length = lines.read_until(b'\n', &mut line).map_err(Error::io(path))?;
            if length == 0 {
                break;
            }
            (place, number) = (place + length as u64, number + 1);
        }
        places.push(place);
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Bootstrap, run::score::ScorerMetrics};

    fn metrics(scorers: &[(&str, (usize, usize))]) -> score::Metrics {
        let scorer = |(id, lines): &(&str, (usize, usize))| ScorerMetrics {
            id: id.to_string(),
            version: String::new(),
            component: String::new(),
            lines: *lines,
            evidence: None,
            metrics: Vec::new(),
            subgroups: Vec::new(),
        };
        score::Metrics {
            cell: String::new(),
            expected: 4,
            samples: 4,
            failed: 0,
            patients: 4,
            bootstrap: Bootstrap::default(),
            inputs: String::new(),
            scorers: scorers.iter().map(scorer).collect(),
        }
    }

    fn dir(lines: &[(&str, u32, f64)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let line = |(scorer, index, value): &(&str, u32, f64)| {
            let score = SampleScore { index: *index, values: vec![Some(*value)], ..Default::default() };
            let line = ScoreLine { scorer: scorer.to_string(), sample: "s".into(), score };
            serde_json::to_string(&line).expect("JSON") + "\n"
        };
        std::fs::write(dir.path().join(score::SCORES), lines.iter().map(line).collect::<String>()).expect("written");
        dir
    }

    #[test]
    fn scores_of_a_sample_come_together_though_some_scorers_skip_it() {
        let dir = dir(&[("a", 0, 0.0), ("a", 1, 0.1), ("a", 3, 0.3), ("b", 1, 1.1), ("b", 3, 1.3)]);
        let metrics = metrics(&[("a", (1, 3)), ("b", (4, 5))]);
        let mut cursors = Cursors::open(dir.path(), &metrics).expect("opens");
        let mut at = |index: u32| -> Vec<(String, Option<f64>)> {
            let scores = cursors.at(index).expect("readable").into_iter();
            scores.map(|(scorer, score)| (scorer.to_string(), score.values[0])).collect()
        };
        assert_eq!(at(0), [("a".to_string(), Some(0.0))]);
        assert_eq!(at(1), [("a".to_string(), Some(0.1)), ("b".to_string(), Some(1.1))]);
        assert_eq!(at(2), []);
        assert_eq!(at(3), [("a".to_string(), Some(0.3)), ("b".to_string(), Some(1.3))]);
        let all = Cursors::all(dir.path(), &metrics, "b").expect("readable");
        assert_eq!(all.iter().map(|score| score.index).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn lines_of_another_scorer_are_named() {
        let dir = dir(&[("a", 0, 0.0), ("b", 1, 0.1)]);
        let error = Cursors::all(dir.path(), &metrics(&[("a", (1, 2))]), "a").expect_err("mixed").to_string();
        assert!(error.ends_with("scores.jsonl:2: is a score of b, where metrics.json has those of a"), "{error}");
    }
}
