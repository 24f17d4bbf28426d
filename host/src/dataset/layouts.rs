//! Every manifest reads a small copy that is laid out as its publisher lays it out.

use std::path::PathBuf;

use super::*;

mod archives;
mod choices;
mod questions;
mod reports;
mod spreadsheets;
mod tables;

/// A copy in a temporary directory.
struct Copy {
    dir: tempfile::TempDir,
    id: &'static str,
}

impl Copy {
    fn of(id: &'static str) -> Self {
        Self { dir: tempfile::tempdir().expect("directory"), id }
    }

    fn path(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        path
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).expect("written");
    }

    /// An image whose pixels differ from those of any other name.
    fn image(&self, name: &str) {
        let digest = *blake3::hash(name.as_bytes()).as_bytes();
        let image = ::image::RgbImage::from_fn(8, 8, |x, y| {
            ::image::Rgb([0, 1, 2].map(|c| digest[((x / 4 * 2 + y / 4) * 3 + c) as usize]))
        });
        image.save(self.path(name)).expect("saved");
    }

    fn open(&self) -> Dataset {
        let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data");
        let catalog = Catalog::load(&[manifests]).expect("the manifests are valid");
        Dataset::open(catalog.get(self.id).expect("known"), Some(self.dir.path())).expect("opened")
    }

    fn samples(&self, split: &str) -> Vec<Sample> {
        let dataset = self.open();
        let task = dataset.manifest().tasks()[0];
        let samples = dataset.prompted(split, task, None).unwrap_or_else(|e| panic!("{split}: {e}"));
        for image in samples.iter().flat_map(|sample| &sample.images) {
            let pixels = dataset.pixels(image).expect("decoded");
            assert_eq!(pixels.rgb.len(), (pixels.width * pixels.height * 3) as usize);
        }
        samples
    }

    /// What is wrong with the copy, but for its size.
    fn problems(&self) -> Vec<String> {
        let report = check(&self.open(), &mut |_, _| {}).expect("checked");
        report.problems().into_iter().filter(|problem| !problem.contains(", expected ")).collect()
    }
}

fn labels(samples: &[Sample]) -> Vec<Vec<u32>> {
    let labels = |sample: &Sample| match &sample.target {
        Target::Labels(labels) => labels.clone(),
        Target::Answers(_) => panic!("no label"),
    };
    samples.iter().map(labels).collect()
}

fn ids(samples: &[Sample]) -> Vec<&str> {
    samples.iter().map(|sample| sample.id.as_str()).collect()
}

fn patients(samples: &[Sample]) -> Vec<&str> {
    samples.iter().map(|sample| sample.patient.as_deref().unwrap_or("-")).collect()
}

/// Prompt and accepted answers.
fn asked(sample: &Sample) -> (&str, Vec<&str>) {
    let Target::Answers(answers) = &sample.target else { panic!("no answer") };
    (sample.prompt.as_deref().expect("a prompt"), answers.iter().map(String::as_str).collect())
}

fn closed(samples: &[Sample]) -> Vec<Option<bool>> {
    samples.iter().map(|sample| sample.closed).collect()
}

fn groups(sample: &Sample) -> Vec<(&str, &str)> {
    sample.groups.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn the_prompts_are_those_of_the_paper_stray_spaces_included() {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data");
    let catalog = Catalog::load(&[manifests]).expect("the manifests are valid");
    let published = |id: &str| -> Vec<String> {
        let prompts = catalog.get(id).expect("known").class_prompts(None).expect("published").concat();
        prompts.iter().map(|p| p.strip_prefix("a photo of ").expect("the template").to_string()).collect()
    };
    assert_eq!(published("pneumonia-mnist"), ["normal", "pneumonia"]);
    assert_eq!(published("breast-mnist"), ["malignant", "normal, benign"]);
    assert_eq!(published("camelyon17"), ["negative tumor", "positive tumor"]);
    assert_eq!(published("ham10000"), ["benign keratosis-like lesions", "actinic keratoses or melanoma"]);
    assert_eq!(published("drishti"), ["normal retina ", "glaucomatous retina"]);
    assert_eq!(published("chest-xray"), ["chest xray with no finding", " chest xray with pneumonia"]);
    assert_eq!(published("gf3300"), ["benign retina", "glaucomatous retina"]);
    assert_eq!(published("chexpert"), ["diseased xray", "normal xray"]);
    assert_eq!(published("papila"), ["benign fundus", "glaucoma fundus"]);
    let laser = "scanning laser ophthalmoscope fundus image";
    assert_eq!(published("harvard-fairvlmed10k"), [format!("a benign {laser}"), format!(" a glaucoma {laser}")]);
    assert_eq!(
        published("derma-mnist")[..2],
        ["actinic keratoses and intraepithelial carcinoma", "basal cell carcinoma"]
    );
    for manifest in catalog.iter().filter(|manifest| !manifest.classes.is_empty()) {
        assert!(manifest.class_prompts(Some("ensemble")).is_ok(), "{}", manifest.id);
    }
}
