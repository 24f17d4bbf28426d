//! What the host adds to a model: the same calls in this process and through a worker, and a whole cell from files to
//! `predictions.jsonl`. The mock plugin answers in about the time that two BLAKE3 digests of an image take, which the
//! in-process row shows.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use medvlm::{
    config::{SearchPath, Suite},
    ids::CellId,
    model::{Catalog, Model, Place, worker},
    run::{Catalogs, Filter, Observer, Settings, crew, plan},
};
use plugin_api::{Image, Open, client, message::ZeroShot};
use tempfile::TempDir;

const BATCH: usize = 32;
const SAMPLES: u32 = 2048;
const SIDE: u32 = 28;

struct Quiet;

impl Observer for Quiet {
    fn begin(&self, _: &CellId, _: &str, _: usize, _: usize) {}
    fn advance(&self, _: usize) {}
    fn end(&self, _: usize) {}
    fn note(&self, _: &str) {}
}

fn dist() -> PathBuf {
    std::env::var_os("MEDVLM_DIST")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist"), PathBuf::from)
        .canonicalize()
        .expect("dist/ is not laid out: run `cargo xtask build`")
}

fn places() -> [(&'static str, Place); 2] {
    let settings = worker::Settings { program: dist().join("medvlm"), timeout: Duration::from_secs(60) };
    [("in-process", Place::InProcess), ("worker", Place::Worker(settings))]
}

/// One call of 32 images of 224 x 224.
fn call(c: &mut Criterion) {
    let mut catalog = Catalog::default();
    catalog.add(dist().join("plugins/mock.so")).unwrap();
    let pixels: Vec<Vec<u8>> = (0..BATCH).map(|i| vec![i as u8; 224 * 224 * 3]).collect();
    let images: Vec<Image<'_>> = pixels.iter().map(|rgb| Image { width: 224, height: 224, rgb }).collect();
    let classes = ZeroShot { classes: vec![vec!["well".into()], vec!["ill".into()]] };
    let mut group = c.benchmark_group("call of 32 images");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, place) in places() {
        let mut model = Model::open(&catalog.plugins()[0], "mock", Open::default(), place).unwrap();
        group.bench_function(name, |b| b.iter(|| client::zero_shot(model.door(), &images, &classes).unwrap()));
    }
    group.finish();
}

/// A cell of 2,048 small pictures: files, decoding, worker, `predictions.jsonl`.
fn cell(c: &mut Criterion) {
    let dir = TempDir::new().unwrap();
    let suite = write_dataset(dir.path());
    let search = SearchPath {
        plugins: vec![dist().join("plugins")],
        scorers: vec![dist().join("scorers")],
        datasets: vec![dir.path().join("data")],
    };
    let catalogs = Catalogs::load(&search).unwrap();
    let mut group = c.benchmark_group("cell of 2048 samples");
    group.throughput(Throughput::Elements(SAMPLES.into())).sample_size(10);
    for (name, place) in places() {
        let settings = Settings { place, device: "cpu".into(), dtype: "f32".into(), batch_size: BATCH, adapter: None };
        let runs = dir.path().join("runs");
        let plan = plan::plan(Suite::read(&suite).unwrap(), &catalogs, settings, runs, &Filter::default()).unwrap();
        group.bench_function(name, |b| {
            b.iter(|| {
                let _ = fs::remove_dir_all(&plan.dir);
                crew::predict(&plan, None, &Quiet).unwrap()
            });
        });
    }
    group.finish();
}

fn write_dataset(dir: &Path) -> PathBuf {
    let pictures = dir.join("data/dots");
    fs::create_dir_all(&pictures).unwrap();
    let mut table = String::from("file,label\n");
    for i in 0..SAMPLES {
        let picture = image::RgbImage::from_fn(SIDE, SIDE, |x, y| image::Rgb([i as u8, x as u8, y as u8]));
        picture.save(pictures.join(format!("{i}.bmp"))).unwrap();
        writeln!(table, "{i}.bmp,{}", i % 2).unwrap();
    }
    fs::write(pictures.join("table.csv"), table).unwrap();
    let class = |name: &str| format!("[[class]]\nname = \"{name}\"\nprompts.published = [\"{name}\"]\n");
    let manifest = format!(
        "title = \"dots\"\ncitation = \"\"\nlicence = \"\"\naccess = \"open\"\nobtain = \"\"\nbundled = \"dots\"\n\
         reader = \"csv\"\nfiles = [\"table.csv\"]\n[fields]\nimage = \"file\"\n[diagnosis]\nlabel = \"label\"\n{}{}\
         [splits.test]\n[scorers]\ndiagnosis = [\"accuracy\"]\n",
        class("well"),
        class("ill")
    );
    fs::write(dir.join("data/dots.toml"), manifest).unwrap();
    let suite = dir.join("suite.toml");
    fs::write(&suite, "models = [\"mock\"]\n[[dataset]]\nid = \"dots\"\n").unwrap();
    suite
}

criterion_group!(benches, call, cell);
criterion_main!(benches);
