//! Rows become samples: filters, the label rule, questions, patients and groups.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Choice, Filter, Manifest, PatientRule, Question, Sample, Split, Target,
    reader::{Row, Table, require, text_of, texts_of},
};
use crate::{
    error::{Error, Result},
    ids::Task,
};

mod labels;

/// The samples that the rows of a split give for a task.
pub fn samples(manifest: &Manifest, split: &str, task: Task, tables: &[Table]) -> Result<Vec<Sample>> {
    let rules = manifest.split(split)?;
    let columns = columns_used(manifest, task, rules);
    let mut samples = Vec::new();
    let mut total = 0usize;
    for table in tables {
        require(table, &columns)?;
        for (number, row) in table.rows.iter().enumerate() {
            total += 1;
            if accepts(manifest, rules, row) {
                let common = Common::of(manifest, row, || format!("{split}-{}", total - 1));
                let place = |message| Error::invalid(&table.file, format!("row {}: {message}", number + 1));
                if let (true, Some(column)) = (row.images.is_empty(), &manifest.fields.image) {
                    return Err(place(format!("column `{column}` names no image")));
                }
                samples.extend(of_row(manifest, rules, task, row, &common).map_err(place)?);
            }
        }
    }
    let mut seen = BTreeSet::new();
    for (index, sample) in samples.iter_mut().enumerate() {
        sample.index = u32::try_from(index).map_err(|_| Error::failed("a split has more than 2^32 samples"))?;
        if !seen.insert(sample.id.clone()) {
            let message = format!("two samples of split `{split}` are named `{}`", sample.id);
            return Err(Error::invalid(&manifest.path, message));
        }
    }
    Ok(samples)
}

/// Whether a row meets the conditions of the manifest and of a split.
pub fn accepts(manifest: &Manifest, split: &Split, row: &Row) -> bool {
    let missing = |filter: &&Filter| split.optional && !row.cells.contains_key(&filter.column);
    let mut filters = manifest.filters.iter().filter(|filter| !missing(filter)).chain(&split.filters);
    filters.all(|filter| filter.accepts(row))
}

/// The text of a row's cell, where there is one.
pub fn cell(row: &Row, column: &str) -> Option<String> {
    row.cells.get(column).and_then(text_of)
}

/// What all samples of a row share.
struct Common {
    id: String,
    patient: Option<String>,
    groups: BTreeMap<String, String>,
    meta: BTreeMap<String, String>,
}

impl Common {
    fn of(manifest: &Manifest, row: &Row, by_position: impl FnOnce() -> String) -> Self {
        let id = match &manifest.fields.id {
            Some(column) => cell(row, column),
            None => row.name.clone(),
        };
        let values = |columns: &[String]| {
            columns.iter().filter_map(|column| Some((column.clone(), cell(row, column)?))).collect()
        };
        Self {
            id: id.unwrap_or_else(by_position),
            patient: manifest.patient_rules.iter().find_map(|rule| rule.patient(row)),
            groups: values(&manifest.fields.groups),
            meta: values(&manifest.fields.meta),
        }
    }

    fn sample(&self, row: &Row, target: Target) -> Sample {
        Sample {
            index: 0,
            id: self.id.clone(),
            images: row.images.clone(),
            question: None,
            prompt: None,
            closed: None,
            options: Vec::new(),
            target,
            unknown: Vec::new(),
            patient: self.patient.clone(),
            groups: self.groups.clone(),
            meta: self.meta.clone(),
        }
    }
}

fn of_row(
    manifest: &Manifest,
    split: &Split,
    task: Task,
    row: &Row,
    common: &Common,
) -> std::result::Result<Vec<Sample>, String> {
    match (task, &manifest.diagnosis, &manifest.caption) {
        (Task::Diagnosis, Some(rule), _) => {
            let policy = split.uncertain.unwrap_or(rule.uncertain);
            let labels = labels::labels(manifest, rule, policy, row)?;
            Ok(vec![Sample { unknown: labels.unknown, ..common.sample(row, Target::Labels(labels.of)) }])
        }
        (Task::Caption, _, Some(caption)) => {
            let report = cell(row, &caption.report);
            let sample = |report| Sample {
                question: Some(caption.prompt.clone()),
                ..common.sample(row, Target::Answers(vec![report]))
            };
            Ok(report.map(sample).into_iter().collect())
        }
        (Task::Vqa, _, _) => {
            Ok(manifest.questions.iter().filter_map(|question| vqa_sample(question, row, common)).collect())
        }
        _ => Ok(Vec::new()),
    }
}

fn vqa_sample(question: &Question, row: &Row, common: &Common) -> Option<Sample> {
    let answers = row.cells.get(&question.answer).map(texts_of).filter(|answers| !answers.is_empty())?;
    let closed_here = question.closed_when.as_ref().map(|filter| filter.accepts(row));
    let options = options(question, row);
    let answers = match right_option(question, &options, &answers) {
        Some(Choice { letter, text }) => [&[letter.clone(), text.clone()], &answers[1..]].concat(),
        None => answers,
    };
    Some(Sample {
        id: question.name.as_ref().map_or_else(|| common.id.clone(), |name| format!("{}.{name}", common.id)),
        question: Some(cell(row, &question.question)?),
        closed: question.closed.or(closed_here),
        options,
        ..common.sample(row, Target::Answers(answers))
    })
}

fn options(question: &Question, row: &Row) -> Vec<Choice> {
    let letters = ('A'..='Z').map(String::from);
    let lettered = question.options.iter().zip(letters);
    lettered.filter_map(|(column, letter)| Some(Choice { letter, text: cell(row, column)? })).collect()
}

/// The option that the answer names; an answer that names none stays what it is, and no choice of a model equals it.
fn right_option<'a>(question: &Question, options: &'a [Choice], answers: &[String]) -> Option<&'a Choice> {
    let named = |choice: &Choice| if question.letter { choice.letter.clone() } else { choice.text.to_lowercase() };
    let answer =
        answers.first().map(|answer| if question.letter { answer.to_uppercase() } else { answer.to_lowercase() })?;
    options.iter().find(|choice| named(choice) == answer)
}

impl Filter {
    /// Whether a row meets the condition.
    pub fn accepts(&self, row: &Row) -> bool {
        let text = cell(row, &self.column).unwrap_or_default();
        let among = |values: &Vec<String>| values.iter().any(|value| same(value, &text));
        self.equals.as_ref().is_none_or(|value| same(value, &text))
            && self.one_of.as_ref().is_none_or(among)
            && !self.not.as_ref().is_some_and(among)
            && self.starts.as_ref().is_none_or(|start| starts(&text, start))
    }
}

impl PatientRule {
    fn patient(&self, row: &Row) -> Option<String> {
        let text = cell(row, &self.column)?;
        let rest = text.strip_prefix(&self.starts)?;
        let length = self.until.as_ref().and_then(|mark| rest.find(mark)).unwrap_or(rest.len());
        Some(text[..self.starts.len() + length].to_string())
    }
}

fn starts(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
}

fn same(a: &str, b: &str) -> bool {
    a.trim().eq_ignore_ascii_case(b.trim())
}

fn columns_used(manifest: &Manifest, task: Task, split: &Split) -> BTreeSet<String> {
    let mut columns: BTreeSet<&String> = manifest.fields.id.iter().collect();
    columns.extend(split.filters.iter().map(|filter| &filter.column));
    if !split.optional {
        columns.extend(manifest.filters.iter().map(|filter| &filter.column));
        columns.extend(manifest.fields.groups.iter().chain(&manifest.fields.meta));
        columns.extend(manifest.patient_rules.iter().map(|rule| &rule.column));
    }
    match task {
        Task::Diagnosis => {
            columns.extend(manifest.diagnosis.iter().filter_map(|rule| rule.label.as_ref()));
            columns.extend(manifest.classes.iter().filter_map(|class| class.column.as_ref()));
        }
        Task::Caption => columns.extend(manifest.caption.iter().map(|caption| &caption.report)),
        Task::Vqa => {
            for question in &manifest.questions {
                columns.extend([&question.question, &question.answer]);
                columns.extend(&question.options);
                columns.extend(question.closed_when.iter().map(|filter| &filter.column));
            }
        }
    }
    columns.into_iter().cloned().collect()
}

#[cfg(test)]
pub mod tests;
