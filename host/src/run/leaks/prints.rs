//! What images are compared by, kept in the cache directory, so that an image is decoded once for all suites.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use rayon::prelude::*;

use super::parts::Part;
use crate::{
    dataset::{Dataset, ImageRef, Look, Looks},
    error::{Error, Result},
    ids::digest,
    run::{adapt, cache_dir, check_interrupt, write_atomically},
};

/// Digest of the pixels, and looks.
#[derive(Debug, Clone, PartialEq)]
pub struct Print {
    /// Digest of the decoded pixels.
    pub pixels: String,
    /// How the image looks.
    pub looks: Looks,
}

/// First bytes of a file of prints; another version of [`Look`] takes another one.
const MAGIC: &[u8] = b"medvlm looks 1\n";
/// Characters of a digest.
const DIGEST: usize = 32;
/// Bytes of a print: the image's name as a digest, the pixels' digest, which looks there are, and these.
const BYTES: usize = 2 * DIGEST + 1 + 2 * Look::BYTES;
/// Images that are decoded between two reports of progress.
const CHUNK: usize = 256;
/// Time after which what is done is written, in case the rest never is.
const SAVE_EVERY: Duration = Duration::from_secs(20);

/// The prints of a part's images, in their order; none of an image that cannot be decoded.
pub fn prints(part: &Part, progress: &mut dyn FnMut(&str, usize, usize)) -> Result<Vec<Option<Print>>> {
    let file = cache_dir().map(|dir| dir.join("looks").join(&part.fingerprint));
    let mut known = file.as_ref().and_then(|file| std::fs::read(file).ok()).map(|b| read(&b)).unwrap_or_default();
    let keys: Vec<String> = part.images.iter().map(|image| digest(image.name.as_bytes())).collect();
    let missing: Vec<usize> = (0..keys.len()).filter(|at| !known.contains_key(&keys[*at])).collect();
    let mut saved = Instant::now();
    let mut done = keys.len() - missing.len();
    for chunk in missing.chunks(CHUNK) {
        check_interrupt()?;
        progress(&part.name, done, keys.len());
        let made: Vec<Option<Print>> =
            chunk.par_iter().map(|at| print(&part.dataset, &part.images[*at].image)).collect();
        known.extend(chunk.iter().zip(made).filter_map(|(at, print)| Some((keys[*at].clone(), print?))));
        done += chunk.len();
        if saved.elapsed() >= SAVE_EVERY {
            save(file.as_ref(), &known)?;
            saved = Instant::now();
        }
    }
    if !missing.is_empty() {
        progress(&part.name, done, keys.len());
        save(file.as_ref(), &known)?;
    }
    Ok(keys.iter().map(|key| known.get(key).cloned()).collect())
}

fn print(dataset: &Dataset, image: &ImageRef) -> Option<Print> {
    let pixels = dataset.pixels(image).ok()?;
    let looks = Looks::of(&pixels);
    Some(Print { pixels: adapt::pixel_digest(&[pixels]), looks })
}

fn save(file: Option<&PathBuf>, prints: &BTreeMap<String, Print>) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    let mut bytes = MAGIC.to_vec();
    for (key, print) in prints {
        bytes.extend(key.as_bytes());
        bytes.extend(print.pixels.as_bytes());
        let looks = [print.looks.whole, print.looks.centre];
        bytes.push(u8::from(looks[0].is_some()) | u8::from(looks[1].is_some()) << 1);
        looks.iter().for_each(|look| bytes.extend(look.map_or_else(|| vec![0; Look::BYTES], Look::to_bytes)));
    }
    write_atomically(file, &bytes).map_err(|e| Error::failed(format!("cannot keep what images look like: {e}")))
}

/// The prints of a file; none of a file of another version, or that was cut.
fn read(bytes: &[u8]) -> BTreeMap<String, Print> {
    let records = bytes.strip_prefix(MAGIC).filter(|records| records.len().is_multiple_of(BYTES));
    let prints = records.into_iter().flat_map(|records| records.chunks(BYTES)).map(|record| {
        let text = |at: usize| std::str::from_utf8(&record[at * DIGEST..][..DIGEST]).ok().map(String::from);
        let flags = record[2 * DIGEST];
        let look = |at: usize| {
            let there = flags & (1 << at) != 0;
            there.then(|| Look::from_bytes(&record[2 * DIGEST + 1 + at * Look::BYTES..][..Look::BYTES])).flatten()
        };
        Some((text(0)?, Print { pixels: text(1)?, looks: Looks { whole: look(0), centre: look(1) } }))
    });
    prints.collect::<Option<_>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_are_read_as_they_were_written_and_a_cut_file_is_none() {
        let look = |byte: u8| Look::from_bytes(&[byte; Look::BYTES]);
        let print = |byte, centre| Print {
            pixels: digest(&[byte]),
            looks: Looks { whole: look(byte), centre: if centre { look(9) } else { None } },
        };
        let prints = BTreeMap::from([(digest(b"a"), print(1, true)), (digest(b"b"), print(2, false))]);
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = dir.path().join("prints");
        save(Some(&file), &prints).expect("saved");
        let bytes = std::fs::read(&file).expect("readable");
        assert_eq!(read(&bytes), prints);
        assert!(read(&bytes[..bytes.len() - 1]).is_empty() && read(&bytes[1..]).is_empty());
    }
}
