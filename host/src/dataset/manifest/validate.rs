//! What a manifest must not say, found when it is read.

use super::{Class, DEFAULT, Diagnosis, Manifest, PUBLISHED, Partition, Question, Reader, Rule, Uncertain};
use crate::{dataset::columns, ids::check_name};

impl Manifest {
    /// One sentence about the first thing that cannot work.
    pub(super) fn validate(&self) -> std::result::Result<(), String> {
        if self.tasks().is_empty() {
            return Err("no task: add [diagnosis], [[question]] or [caption]".into());
        }
        if self.splits.is_empty() {
            return Err("no split: add [splits.test]".into());
        }
        if self.diagnosis.is_some() != (self.classes.len() >= 2) {
            return Err("[diagnosis] and at least two [[class]] tables go together".into());
        }
        let both = |files: &[String], any_of: &[String]| !files.is_empty() && !any_of.is_empty();
        if both(&self.files, &self.any_of) || self.splits.values().any(|split| both(&split.files, &split.any_of)) {
            return Err("`files` and `any_of` exclude each other".into());
        }
        if self.questions.len() > 1 && self.questions.iter().any(|question| question.name.is_none()) {
            return Err("with several [[question]] tables each needs a `name`".into());
        }
        if !matches!(self.reader, Reader::Npz | Reader::ImageFolder) && self.fields.image.is_none() {
            return Err("no image: add `image` to [fields]".into());
        }
        if let Some(rule) = &self.diagnosis {
            self.validate_labels(rule)?;
        }
        if let Some(partition) = &self.partition {
            validate_partition(partition)?;
        }
        if self.array.is_some() != (self.reader == Reader::NpzPerImage) {
            return Err("[array] and the reader `npz-per-image` go together".into());
        }
        let variants = |class: &Class| class.prompts.keys().cloned().collect::<Vec<_>>();
        for class in &self.classes {
            if !class.prompts.contains_key(PUBLISHED) || class.prompts.values().any(Vec::is_empty) {
                return Err(format!("class `{}` needs prompts, at least of the variant `{PUBLISHED}`", class.name));
            }
            if variants(class) != variants(&self.classes[0]) {
                return Err(format!(
                    "class `{}` has other variants of prompts than `{}`",
                    class.name, self.classes[0].name
                ));
            }
        }
        let needs_files = self.reader != Reader::ImageFolder && self.files.is_empty() && self.any_of.is_empty();
        for (name, split) in &self.splits {
            check_name("split", name).map_err(|e| e.to_string())?;
            if needs_files && !split.has_files() {
                return Err(format!("split `{name}` has no files: add `files` to it or to the manifest"));
            }
            if let Some(task) = split.counts.keys().find(|task| !self.tasks().contains(task)) {
                return Err(format!("split `{name}` counts samples of `{task}`, which the manifest does not offer"));
            }
            if split.closed.is_some() && self.questions.is_empty() {
                return Err(format!("split `{name}` counts closed questions, and the manifest has no [[question]]"));
            }
        }
        let columns = self.columns.iter().chain(self.splits.values().flat_map(|split| &split.columns));
        let mut columns = columns.map(|(name, source)| (name, columns::check(source)));
        columns.try_for_each(|(name, checked)| checked.map_err(|e| format!("column `{name}`: {e}")))?;
        self.questions.iter().try_for_each(validate_question)?;
        self.templates.iter().try_for_each(|(name, source)| validate_template(name, source))
    }

    fn validate_labels(&self, rule: &Diagnosis) -> std::result::Result<(), String> {
        let own = self.classes.iter().filter(|class| class.column.is_some()).count();
        if (rule.label.is_some(), own) != (true, 0) && (rule.label.is_some(), own) != (false, self.classes.len()) {
            return Err("the labels need either `label` in [diagnosis] or `column` in each [[class]]".into());
        }
        if own > 0 && !rule.multi_label {
            return Err("classes with a `column` of their own need `multi_label = true` in [diagnosis]".into());
        }
        let policies = self.splits.values().filter_map(|split| split.uncertain);
        let asked = rule.uncertain != Uncertain::default() || policies.count() > 0 || !rule.uncertain_values.is_empty();
        if asked && (own == 0 || rule.uncertain_values.is_empty()) {
            return Err("`uncertain` needs `uncertain_values` in [diagnosis] and `column` in each [[class]]".into());
        }
        Ok(())
    }
}

fn validate_partition(partition: &Partition) -> std::result::Result<(), String> {
    let shares: f64 = partition.parts.values().sum();
    if partition.parts.values().any(|share| !(0.0..=1.0).contains(share)) || (shares - 1.0).abs() > 1e-9 {
        return Err("the `parts` of [partition] must be shares that sum to 1".into());
    }
    let names: Vec<&str> = partition.parts.keys().map(String::as_str).collect();
    if partition.rule == Rule::Python && (names != ["test", "train"] || partition.group.is_some()) {
        return Err("the rule `python` needs the parts `train` and `test`, and takes no `group`".into());
    }
    if partition.rule == Rule::FairMedFm && (names != ["test", "train"] || partition.group.is_none()) {
        return Err("the rule `fairmedfm` needs a `group`, and the parts `train` and `test`".into());
    }
    Ok(())
}

fn validate_question(question: &Question) -> std::result::Result<(), String> {
    match question.options.len() {
        0 if question.letter => Err("`letter` and `options` of a [[question]] go together".into()),
        27.. => Err("a [[question]] has more `options` than the alphabet has letters".into()),
        _ => Ok(()),
    }
}

fn validate_template(name: &str, source: &str) -> std::result::Result<(), String> {
    let environment = minijinja::Environment::new();
    let template = environment.template_from_str(source).map_err(|e| format!("template `{name}`: {e}"))?;
    if name == DEFAULT && template.undeclared_variables(false).contains("answer") {
        return Err(format!("template `{name}`: it looks at the answer; give it another name"));
    }
    Ok(())
}
