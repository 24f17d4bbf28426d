//! Records to samples: by question, answer and image, by position only where that agrees with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Problem,
    records::{Record, Said},
};
use crate::{
    dataset::{Dataset, Sample, Target},
    error::Result,
    ids::{CellId, Task},
};

/// Which record belongs to which sample.
#[derive(Debug, Default)]
pub struct Matched {
    /// Numbers of records by position of their sample.
    pub samples: BTreeMap<usize, usize>,
    /// Records that say the same of a sample as another one.
    pub repeated: usize,
    /// Records without a sample.
    pub problems: Vec<Problem>,
}

/// Pairs the records of a file with the samples of a split.
pub fn pair(records: &[Record], dataset: &Dataset, cell: &CellId, samples: &[Sample]) -> Result<Matched> {
    let mut matched = Matched::default();
    if cell.task == Task::Diagnosis {
        by_order(records, samples, &mut matched);
        return Ok(matched);
    }
    let known = Known::new(dataset, cell, samples)?;
    let candidates: Vec<std::result::Result<Vec<usize>, String>> =
        records.iter().map(|record| known.candidates(record)).collect();
    let fits = |number: usize, at: usize| candidates[number].as_ref().is_ok_and(|found| found.contains(&at));
    // A whole file in the order of the split settles what questions alone leave open.
    let in_order = records.len() == samples.len() && (0..records.len()).all(|number| fits(number, number));
    let mut open = Vec::new();
    for (number, record) in records.iter().enumerate() {
        let position = record.position.or(in_order.then_some(number)).filter(|at| fits(number, *at));
        match (position, &candidates[number]) {
            (Some(at), _) => matched.settle(records, number, at, samples),
            (None, Ok(found)) => match found.as_slice() {
                [only] => matched.settle(records, number, *only, samples),
                _ => open.push((number, found)),
            },
            (None, Err(why)) => matched.problem(record, why.clone()),
        }
    }
    for (number, found) in open {
        let free: Vec<usize> = found.iter().copied().filter(|at| !matched.samples.contains_key(at)).collect();
        match free.as_slice() {
            [only] => matched.settle(records, number, *only, samples),
            _ => {
                let named: Vec<&str> = found.iter().take(3).map(|at| samples[*at].id.as_str()).collect();
                let why = format!("fits {} samples ({}, …) and does not tell which", found.len(), named.join(", "));
                matched.problem(&records[number], why);
            }
        }
    }
    Ok(matched)
}

/// Records of diagnoses name no image: the file must be whole, and its labels those of the split.
fn by_order(records: &[Record], samples: &[Sample], matched: &mut Matched) {
    if records.len() != samples.len() {
        let (found, expected) = (records.len(), samples.len());
        let why = format!(
            "the file has {found} records without images, the split {expected} samples, so that none can be told"
        );
        matched.problem(&records[0], why);
        return;
    }
    for (number, (record, sample)) in records.iter().zip(samples).enumerate() {
        match (&sample.target, record.label) {
            (Target::Labels(truth), Some(label)) if *truth != [label] => {
                let why = format!("`true_label` is {label}, but sample `{}` is of class {truth:?}", sample.id);
                matched.problem(record, why);
            }
            _ => matched.settle(records, number, number, samples),
        }
    }
}

impl Matched {
    fn problem(&mut self, record: &Record, why: String) {
        self.problems.push(Problem { place: record.place.clone(), why });
    }

    fn settle(&mut self, records: &[Record], number: usize, at: usize, samples: &[Sample]) {
        let record = &records[number];
        if let Said::Unusable(why) = &record.said {
            return self.problem(record, why.clone());
        }
        match self.samples.get(&at) {
            Some(earlier) if records[*earlier].said == record.said => self.repeated += 1,
            Some(earlier) => {
                let (id, place) = (&samples[at].id, &records[*earlier].place);
                self.problem(record, format!("is another answer to sample `{id}`, which {place} has answered"));
            }
            None => {
                self.samples.insert(at, number);
            }
        }
    }
}

/// What is known of the samples of a split.
struct Known<'a> {
    samples: &'a [Sample],
    /// Samples by their question in any form.
    questions: HashMap<String, BTreeSet<usize>>,
    /// Samples by what is right.
    truths: HashMap<String, BTreeSet<usize>>,
    /// Paths of images with their samples, by the last part.
    images: HashMap<String, Vec<(Vec<String>, usize)>>,
}

impl<'a> Known<'a> {
    fn new(dataset: &Dataset, cell: &CellId, samples: &'a [Sample]) -> Result<Self> {
        let mut questions: HashMap<String, BTreeSet<usize>> = HashMap::new();
        let mut add = |asked: &Option<String>, at: usize| {
            questions.entry(plain(asked.as_deref().unwrap_or_default())).or_default().insert(at);
        };
        for template in dataset.manifest().templates.keys() {
            let prompted = dataset.prompted(&cell.split, cell.task, Some(template))?;
            prompted.iter().enumerate().for_each(|(at, sample)| add(&sample.prompt, at));
        }
        let mut truths: HashMap<String, BTreeSet<usize>> = HashMap::new();
        for (at, sample) in samples.iter().enumerate() {
            add(&sample.question, at);
            if let Target::Answers(answers) = &sample.target {
                answers.iter().for_each(|answer| {
                    truths.entry(plain(answer)).or_default().insert(at);
                });
            }
        }
        let mut images: HashMap<String, Vec<(Vec<String>, usize)>> = HashMap::new();
        for (at, sample) in samples.iter().enumerate() {
            for path in sample.images.iter().filter_map(|image| Some(parts(image.file()?.to_str()?))) {
                images.entry(path.last().cloned().unwrap_or_default()).or_default().push((path, at));
            }
        }
        Ok(Self { samples, questions, truths, images })
    }

    /// The samples that a record may be of, or why there are none.
    fn candidates(&self, record: &Record) -> std::result::Result<Vec<usize>, String> {
        let mut found: BTreeSet<usize> = match record.asked.as_slice() {
            [] => (0..self.samples.len()).collect(),
            asked => self
                .asked(asked)
                .ok_or_else(|| format!("its question `{}` is not in the split", shortened(&asked[0])))?,
        };
        if let Some(truth) = &record.truth {
            let right = self.truths.get(&plain(truth));
            found.retain(|at| right.is_some_and(|right| right.contains(at)));
            if found.is_empty() {
                let truth = shortened(truth);
                return Err(format!("no sample of the split with its question has the answer `{truth}`"));
            }
        }
        if let Some(shown) = record.image.as_deref().and_then(|image| self.showing(image)) {
            found.retain(|at| shown.contains(at));
            if found.is_empty() {
                let image = record.image.as_deref().unwrap_or_default();
                return Err(format!("no sample of the split with its question shows `{image}`"));
            }
        }
        match (record.asked.is_empty(), &record.truth, &record.image) {
            (true, None, None) => Err("names neither question, answer nor image".into()),
            _ => Ok(found.into_iter().collect()),
        }
    }

    /// Samples whose question is one of these texts, else the longest that is part of one.
    fn asked(&self, asked: &[String]) -> Option<BTreeSet<usize>> {
        let plain: Vec<String> = asked.iter().map(|asked| plain(asked)).collect();
        if let Some(found) = plain.iter().find_map(|asked| self.questions.get(asked)) {
            return Some(found.clone());
        }
        let within =
            |question: &&String| !question.is_empty() && plain.iter().any(|asked| asked.contains(question.as_str()));
        let longest = self.questions.keys().filter(within).max_by_key(|question| (question.len(), *question))?;
        self.questions.get(longest).cloned()
    }

    /// The samples whose image has the path that ends most like this one; none where the copies name images in other ways.
    fn showing(&self, image: &str) -> Option<BTreeSet<usize>> {
        let image = parts(image);
        let named = self.images.get(image.last()?)?;
        let most = named.iter().map(|(path, _)| common_end(path, &image)).max()?;
        Some(named.iter().filter(|(path, _)| common_end(path, &image) == most).map(|(_, at)| *at).collect())
    }
}

/// Lower case, with single spaces.
fn plain(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The parts of a path, in lower case.
fn parts(path: &str) -> Vec<String> {
    path.split(['/', '\\']).filter(|part| !part.is_empty()).map(str::to_lowercase).collect()
}

/// Number of parts that two paths end in alike.
fn common_end(a: &[String], b: &[String]) -> usize {
    a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    let short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}
