//! Images and patients that a model may learn from and is evaluated on as well.
//!
//! An image is found again by the digest of its pixels, or by its looks when it was compressed anew, resized or cropped to
//! a square; a patient by name, where two splits are of one publication.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    config::Suite,
    error::{Error, Result},
    ids::Usage,
    run::{Catalogs, Plan, to_json, write_atomically},
};

mod neighbours;
mod parts;
mod prints;

use neighbours::Neighbours;
use parts::{Part, Skipped};
use prints::Print;

/// File name in a run directory.
pub const FILE: &str = "leaks.json";

/// What was compared, and what is on both sides.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// The splits that were compared.
    pub compared: Vec<Compared>,
    /// Splits that could not be read, by name, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped: BTreeMap<String, String>,
    /// Pairs of splits that share something.
    pub leaks: Vec<Leak>,
}

/// A split that was compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// `dataset.split`.
    pub name: String,
    /// Whether it may be learnt from.
    pub training: bool,
    /// Its images.
    pub images: usize,
    /// Images that cannot be decoded, and so were not compared.
    pub unreadable: usize,
    /// Images without contrast, of which only exact copies are found.
    pub without_contrast: usize,
    /// Its patients.
    pub patients: usize,
}

/// What one split to learn from and one that is evaluated share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leak {
    /// The split to learn from.
    pub train: String,
    /// The split that is evaluated.
    pub test: String,
    /// Images of the latter whose pixels are in the former.
    pub same: usize,
    /// Images of the latter that are nearly in the former.
    pub near: usize,
    /// Each of these images with the nearest that it has on the other side.
    pub images: Vec<Pair>,
    /// Patients of both.
    pub patients: Vec<Patient>,
    /// Why the suite allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
}

/// An image of each side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Signs that differ, of 255; nothing where all pixels are the same.
    pub distance: Option<u32>,
    /// The image to learn from.
    pub train: Place,
    /// The image that is evaluated.
    pub test: Place,
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// Its file, with the position inside it.
    pub image: String,
    /// The samples that show it.
    pub samples: Vec<String>,
}

/// A patient of both sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Patient {
    /// Name of the patient.
    pub patient: String,
    /// Samples of the split to learn from.
    pub train: usize,
    /// Samples of the split that is evaluated.
    pub test: usize,
}

/// Compares the datasets of a suite; `progress` gets the split, its images that are done, and all.
pub fn of_suite(suite: &Suite, catalogs: &Catalogs, progress: &mut dyn FnMut(&str, usize, usize)) -> Result<Findings> {
    let (parts, skipped) = parts::of_suite(suite, catalogs)?;
    let mut findings = compare(&parts, skipped, progress)?;
    findings.allow(suite);
    Ok(findings)
}

/// Compares datasets (`dataset`) and splits (`dataset.split`).
pub fn of_names(
    names: &[String],
    roots: &BTreeMap<String, PathBuf>,
    catalogs: &Catalogs,
    progress: &mut dyn FnMut(&str, usize, usize),
) -> Result<Findings> {
    let (parts, skipped) = parts::of_names(names, roots, catalogs)?;
    compare(&parts, skipped, progress)
}

/// Compares what a plan fits adapters on with everything that it evaluates, and writes down what it allows.
///
/// # Errors
/// A split that an adapter is evaluated on shares something with one that an adapter is fitted on, and the suite does
/// not allow it.
pub fn guard(plan: &Plan, progress: &mut dyn FnMut(&str, usize, usize)) -> Result<Findings> {
    let parts = parts::of_plan(plan)?;
    if parts.is_empty() {
        return Ok(Findings::default());
    }
    let mut findings = compare(&parts, Vec::new(), progress)?;
    findings.allow(&plan.suite);
    let adapted = |leak: &&Leak| {
        let mut cells = plan.cells.iter().filter(|cell| cell.id.usage != Usage::ZeroShot);
        cells.any(|cell| format!("{}.{}", cell.id.dataset, cell.id.split) == leak.test)
    };
    if let Some(leak) = findings.leaks.iter().filter(adapted).find(|leak| leak.allowed.is_none()) {
        let Leak { train, test, .. } = leak;
        return Err(Error::usage(format!(
            "{leak}, and adapters are fitted on `{train}` and evaluated on `{test}`: choose another split, or allow it in the \
             suite with [[allow_leak]] train = \"{train}\", test = \"{test}\", reason = \"…\"; `medvlm data leaks` lists the pairs",
        )));
    }
    write_atomically(&plan.dir.join(FILE), &to_json(&findings)?)?;
    Ok(findings)
}

/// What a run's guard found, as rows of a report's provenance.
pub fn provenance(plan: &Plan) -> Vec<(String, String)> {
    let written = std::fs::read(plan.dir.join(FILE)).ok();
    let findings: Option<Findings> = written.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let rows = findings.into_iter().flat_map(|findings| findings.leaks).map(|leak| {
        let why = leak
            .allowed
            .as_ref()
            .map_or_else(|| "no adapter is evaluated on it".into(), |reason| format!("allowed: {reason}"));
        ("leak".to_string(), format!("{leak} ({why})"))
    });
    rows.collect()
}

impl Findings {
    /// Marks what a suite allows.
    fn allow(&mut self, suite: &Suite) {
        for leak in &mut self.leaks {
            let same = suite.allowed_leaks.iter().find(|a| (&a.train, &a.test) == (&leak.train, &leak.test));
            leak.allowed = same.map(|allowed| allowed.reason.clone());
        }
    }
}

impl std::fmt::Display for Leak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shared = Vec::new();
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        if self.same > 0 {
            shared.push(count(self.same, "image"));
        }
        if self.near > 0 {
            shared.push(count(self.near, "near-duplicate"));
        }
        if !self.patients.is_empty() {
            shared.push(count(self.patients.len(), "patient"));
        }
        write!(f, "`{}` has {} of `{}`", self.test, shared.join(", "), self.train)
    }
}

fn compare(parts: &[Part], skipped: Vec<Skipped>, progress: &mut dyn FnMut(&str, usize, usize)) -> Result<Findings> {
    let (training, evaluated): (Vec<&Part>, Vec<&Part>) = parts.iter().partition(|part| part.training);
    let mut findings = Findings { skipped: skipped.into_iter().collect(), ..Findings::default() };
    let mut read = |part: &Part| {
        let prints = prints::prints(part, progress)?;
        let blank = prints.iter().flatten().filter(|print| print.looks.whole.is_none()).count();
        findings.compared.push(Compared {
            name: part.name.clone(),
            training: part.training,
            images: part.images.len(),
            unreadable: prints.iter().filter(|print| print.is_none()).count(),
            without_contrast: blank,
            patients: part.patients.len(),
        });
        Ok::<_, Error>(prints)
    };
    let tests: Vec<Vec<Option<Print>>> = evaluated.iter().map(|part| read(part)).collect::<Result<_>>()?;
    for train in training {
        let known = Known::new(&read(train)?);
        for (test, prints) in evaluated.iter().zip(&tests) {
            findings.leaks.extend(known.leak(train, test, prints));
        }
    }
    Ok(findings)
}

/// The images of a split to learn from.
struct Known {
    pixels: HashMap<String, u32>,
    whole: Neighbours,
    centre: Neighbours,
}

impl Known {
    fn new(prints: &[Option<Print>]) -> Self {
        let numbered = || (0u32..).zip(prints).filter_map(|(number, print)| Some((number, print.as_ref()?)));
        Self {
            // The first of equals, for a later one replaces an earlier.
            pixels: numbered()
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .map(|(n, print)| (print.pixels.clone(), n))
                .collect(),
            whole: Neighbours::new(numbered().filter_map(|(n, print)| Some((n, print.looks.whole?))).collect()),
            centre: Neighbours::new(numbered().filter_map(|(n, print)| Some((n, print.looks.centre?))).collect()),
        }
    }

    /// The image that is the same or nearest, and in how many signs it differs.
    fn find(&self, print: &Print) -> Option<(u32, Option<u32>)> {
        if let Some(same) = self.pixels.get(&print.pixels) {
            return Some((*same, None));
        }
        let whole = print.looks.whole.and_then(|look| self.whole.nearest(&look));
        let centre = print.looks.centre.and_then(|look| self.centre.nearest(&look));
        whole.into_iter().chain(centre).min().map(|(distance, number)| (number, Some(distance)))
    }

    fn leak(&self, train: &Part, test: &Part, prints: &[Option<Print>]) -> Option<Leak> {
        let found: Vec<Option<(u32, Option<u32>)>> =
            prints.par_iter().map(|print| self.find(print.as_ref()?)).collect();
        let place = |part: &Part, at: usize| {
            let item = &part.images[at];
            Place { image: item.name.clone(), samples: item.samples.clone() }
        };
        let pair = |(at, found): (usize, &Option<(u32, Option<u32>)>)| {
            let (number, distance) = (*found)?;
            Some(Pair { distance, train: place(train, number as usize), test: place(test, at) })
        };
        let images: Vec<Pair> = found.iter().enumerate().filter_map(pair).collect();
        let both = |(patient, samples): (&String, &usize)| {
            let train = *train.patients.get(patient)?;
            Some(Patient { patient: patient.clone(), train, test: *samples })
        };
        let related = train.shares_patients_with(test);
        let patients: Vec<Patient> = if related { test.patients.iter().filter_map(both).collect() } else { Vec::new() };
        let same = images.iter().filter(|pair| pair.distance.is_none()).count();
        let near = images.len() - same;
        let (train, test) = (train.name.clone(), test.name.clone());
        let leak = Leak { train, test, same, near, images, patients, allowed: None };
        (same + near + leak.patients.len() > 0).then_some(leak)
    }
}
