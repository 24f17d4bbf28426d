//! The samples of a report, a part at a time: small reports keep their parts inside the page, large ones beside it.
//!
//! ```text
//! c<cell>/<k>        samples k * CHUNK to (k + 1) * CHUNK of the split, those that were predicted
//! c<cell>/outcomes   a letter for each sample of the split: correct, wrong, failed, answered, or - for absent
//! c<cell>/key<j>     a number for each sample to order by, little-endian f32 in base64, NaN where there is none
//! p<set>/<k>         pictures k * PICTURES to (k + 1) * PICTURES of the samples of a split, as data addresses
//! ```
//!
//! A page reads the parts that it shows and forgets those that it has not shown for a while, so that neither who writes
//! nor who reads ever holds all samples.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::SampleReport;
use crate::error::{Error, Result};

/// Samples of a part.
pub(super) const CHUNK: u32 = 500;
/// Pictures of a part.
pub(super) const PICTURES: u32 = 50;
/// The folder of parts beside a page.
pub const PARTS: &str = "report";

/// Where parts go.
pub trait Parts {
    /// Takes a part: its name, and JSON without any `<`.
    fn put(&mut self, name: &str, json: String) -> Result<()>;
}

/// Parts that stay inside the page.
#[derive(Debug, Clone, Default)]
pub struct EmbeddedParts(pub(super) Vec<(String, String)>);

/// What a page must know of its samples.
#[derive(Debug, Clone, Default)]
pub struct Pages {
    pub(super) cells: Vec<CellIndex>,
    pub(super) embedded: EmbeddedParts,
    pub(super) folder: Option<&'static str>,
    /// Digest of the parts that lie beside the page.
    pub(super) digest: String,
}

/// What a page must know of a cell's samples.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CellIndex {
    /// Samples of the split.
    length: u32,
    /// What the samples can be ordered by, with the number of the key.
    orders: Vec<String>,
}

/// Writes the samples of one cell.
pub struct CellPages<'a> {
    number: usize,
    classes: &'a [String],
    chunk: u32,
    rows: String,
    outcomes: Vec<u8>,
    keys: Vec<(String, Vec<f32>)>,
}

/// Writes the pictures of one split.
pub struct PicturePages {
    set: usize,
    chunk: u32,
    addresses: Vec<Option<String>>,
}

#[derive(Serialize)]
struct SampleData<'a> {
    id: &'a str,
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    patient: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    image: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    withheld: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<&'a str>,
    target: &'a str,
    prediction: &'a str,
    probabilities: Vec<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correct: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    scores: &'a [(String, Option<f64>)],
    groups: &'a [(String, String)],
}

impl Parts for EmbeddedParts {
    fn put(&mut self, name: &str, json: String) -> Result<()> {
        self.0.push((name.into(), json));
        Ok(())
    }
}

impl Pages {
    /// Samples inside the page.
    pub fn embedded(cells: Vec<CellIndex>, embedded: EmbeddedParts) -> Self {
        Self { cells, embedded, folder: None, digest: String::new() }
    }

    /// Samples in the folder [`PARTS`] beside the page; `digest` is that of all parts.
    pub fn beside(cells: Vec<CellIndex>, digest: String) -> Self {
        Self { cells, embedded: EmbeddedParts::default(), folder: Some(PARTS), digest }
    }
}

impl<'a> CellPages<'a> {
    /// The samples of a cell, given by its position in the report, whose split has `length` samples.
    pub fn new(number: usize, length: usize, classes: &'a [String]) -> Self {
        let (rows, outcomes, keys) = (String::new(), vec![b'-'; length], Vec::new());
        Self { number, classes, chunk: 0, rows, outcomes, keys }
    }

    /// Takes the next sample; they come in the order of the split.
    pub fn push(&mut self, sample: &SampleReport, parts: &mut dyn Parts) -> Result<()> {
        if sample.index / CHUNK != self.chunk {
            self.flush(parts)?;
            self.chunk = sample.index / CHUNK;
        }
        self.rows.push(if self.rows.is_empty() { '[' } else { ',' });
        self.rows.push_str(&json(&SampleData::new(sample))?);
        if self.outcomes.len() <= sample.index as usize {
            self.outcomes.resize(sample.index as usize + 1, b'-');
        }
        self.outcomes[sample.index as usize] = match (&sample.error, sample.correct) {
            (Some(_), _) => b'f',
            (None, Some(true)) => b'c',
            (None, Some(false)) => b'w',
            (None, None) => b'a',
        };
        let confidence = sample.probabilities.iter().copied().reduce(f64::max);
        let truth = self.classes.iter().position(|class| *class == sample.target);
        let loss = truth.and_then(|class| sample.probabilities.get(class)).map(|p| -p.max(1e-12).ln());
        self.note("confidence", confidence, sample.index);
        self.note("loss", loss, sample.index);
        for (name, value) in &sample.scores {
            self.note(name, *value, sample.index);
        }
        Ok(())
    }

    /// Writes what is left.
    pub fn finish(mut self, parts: &mut dyn Parts) -> Result<CellIndex> {
        self.flush(parts)?;
        let number = self.number;
        parts.put(&format!("c{number}/outcomes"), json(&String::from_utf8_lossy(&self.outcomes))?)?;
        for (j, (_, values)) in self.keys.iter_mut().enumerate() {
            values.resize(self.outcomes.len(), f32::NAN);
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            parts.put(&format!("c{number}/key{j}"), json(&STANDARD.encode(bytes))?)?;
        }
        let orders = self.keys.into_iter().map(|(name, _)| name).collect();
        Ok(CellIndex { length: self.outcomes.len() as u32, orders })
    }

    /// Keeps a number to order by.
    fn note(&mut self, name: &str, value: Option<f64>, index: u32) {
        let Some(value) = value else { return };
        let at = self.keys.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.keys.push((name.into(), Vec::new()));
            self.keys.len() - 1
        });
        let values = &mut self.keys[at].1;
        values.resize(index as usize, f32::NAN);
        values.push(value as f32);
    }

    fn flush(&mut self, parts: &mut dyn Parts) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.rows.push(']');
        parts.put(&format!("c{}/{}", self.number, self.chunk), std::mem::take(&mut self.rows))
    }
}

impl PicturePages {
    /// The pictures of a split, given by its position among those of the report.
    pub fn new(set: usize) -> Self {
        Self { set, chunk: 0, addresses: Vec::new() }
    }

    /// Takes the picture of the next sample, a JPEG or PNG.
    pub fn push(&mut self, index: u32, picture: Option<&[u8]>, parts: &mut dyn Parts) -> Result<()> {
        if index / PICTURES != self.chunk {
            self.flush(parts)?;
            self.chunk = index / PICTURES;
        }
        self.addresses.resize((index % PICTURES) as usize, None);
        self.addresses.push(picture.map(data_address));
        Ok(())
    }

    /// Writes what is left.
    pub fn finish(mut self, parts: &mut dyn Parts) -> Result<()> {
        self.flush(parts)
    }

    fn flush(&mut self, parts: &mut dyn Parts) -> Result<()> {
        let addresses = std::mem::take(&mut self.addresses);
        match addresses.iter().any(Option::is_some) {
            true => parts.put(&format!("p{}/{}", self.set, self.chunk), json(&addresses)?),
            false => Ok(()),
        }
    }
}

impl<'a> SampleData<'a> {
    fn new(sample: &'a SampleReport) -> Self {
        Self {
            id: &sample.id,
            index: sample.index,
            patient: sample.patient.as_deref(),
            image: sample.pictured,
            withheld: sample.withheld,
            question: sample.question.as_deref(),
            target: &sample.target,
            prediction: &sample.prediction,
            probabilities: sample.probabilities.iter().map(|&p| p as f32).collect(),
            correct: sample.correct,
            error: sample.error.as_deref(),
            scores: &sample.scores,
            groups: &sample.groups,
        }
    }
}

/// JSON that stays inside its script element: `<` occurs in strings only, where it can be written as an escape.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    let text = serde_json::to_string(value).map_err(|e| Error::failed(format!("the report data: {e}")))?;
    Ok(text.replace('<', "\\u003c"))
}

fn data_address(bytes: &[u8]) -> String {
    let kind = if bytes.starts_with(b"\x89PNG") { "png" } else { "jpeg" };
    format!("data:image/{kind};base64,{}", STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn sample(index: u32, effusion: f64) -> SampleReport {
        let correct = Some(effusion > 0.5);
        let probabilities = vec![1.0 - effusion, effusion];
        SampleReport {
            id: format!("<{index}>"),
            index,
            target: "b".into(),
            probabilities,
            correct,
            ..Default::default()
        }
    }

    #[test]
    fn samples_lie_in_the_part_of_their_position_and_keys_have_a_place_for_each() {
        let classes = ["a".to_string(), "b".to_string()];
        let mut parts = EmbeddedParts::default();
        let mut pages = CellPages::new(3, 1200, &classes);
        for index in [0, 499, 1100] {
            pages.push(&sample(index, if index == 499 { 0.25 } else { 0.75 }), &mut parts).expect("taken");
        }
        let index = pages.finish(&mut parts).expect("written");
        assert_eq!((index.length, index.orders), (1200, vec!["confidence".to_string(), "loss".into()]));
        let names: Vec<&str> = parts.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["c3/0", "c3/2", "c3/outcomes", "c3/key0", "c3/key1"]);
        assert!(parts.0.iter().all(|(_, json)| !json.contains('<')));
        let rows: Value = serde_json::from_str(&parts.0[0].1).expect("JSON");
        assert_eq!((&rows[0]["id"], &rows[1]["index"]), (&"<0>".into(), &499.into()));
        let outcomes: String = serde_json::from_str(&parts.0[2].1).expect("JSON");
        assert_eq!((&outcomes[..1], &outcomes[499..500], &outcomes[500..501], outcomes.len()), ("c", "w", "-", 1200));
        let losses: String = serde_json::from_str(&parts.0[4].1).expect("JSON");
        let bytes = STANDARD.decode(losses).expect("base64");
        let loss = |at: usize| f32::from_le_bytes(bytes[4 * at..4 * at + 4].try_into().expect("four bytes"));
        assert!((loss(499) + 0.25_f32.ln()).abs() < 1e-6 && loss(1).is_nan() && loss(1199).is_nan());
    }

    #[test]
    fn pictures_lie_in_the_part_of_their_position() {
        let mut parts = EmbeddedParts::default();
        let mut pages = PicturePages::new(1);
        for index in 0..120 {
            pages
                .push(index, (index == 51 || index == 52).then_some(b"\x89PNG".as_slice()), &mut parts)
                .expect("taken");
        }
        pages.finish(&mut parts).expect("written");
        assert_eq!(parts.0.len(), 1, "parts without a picture are not written");
        let addresses: Vec<Option<String>> = serde_json::from_str(&parts.0[0].1).expect("JSON");
        assert_eq!((parts.0[0].0.as_str(), addresses.len(), &addresses[0]), ("p1/1", 50, &None));
        assert_eq!(addresses[1].as_deref(), Some("data:image/png;base64,iVBORw=="));
    }
}
