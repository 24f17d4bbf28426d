//! A run to a submission. Whatever is there is packed, then checked as every submission is; what breaks a rule is not kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufWriter, Write},
    path::Path,
};

use super::{
    conceal::Seal,
    opened::{samples_of, stem},
    samples,
    verify::{Options, Verdict, verify},
};
use crate::{
    dataset::Access,
    error::{Error, Result},
    evidence,
    ids::digest,
    prediction,
    run::{Cell, Plan, RunRecord, adapt, predict, score, to_json},
    submission::{
        self, Division, FORMAT, INDEX, Index, Member, RUN, Rule, Source, Violation, cell_file, manifest_file,
        scorer_file,
    },
};

/// What a submitter says.
#[derive(Debug, Clone)]
pub struct About {
    /// The division.
    pub division: Division,
    /// Who submits.
    pub submitter: String,
    /// How to reach them.
    pub contact: String,
    /// What they want to say.
    pub note: String,
}

/// Packs a run into `out`, unless it breaks a rule; the verdict says which.
pub fn pack(plan: &Plan, record: &RunRecord, about: About, out: &Path, options: &Options) -> Result<Verdict> {
    let staging = tempfile::tempdir().map_err(|e| Error::failed(format!("no temporary directory: {e}")))?;
    let mut stale = Vec::new();
    let members = members(plan, record, about, staging.path(), &mut stale)?;
    let dir = out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let mut file = tempfile::Builder::new().suffix(".zip").tempfile_in(dir).map_err(Error::io(dir))?;
    {
        let mut writer = BufWriter::new(file.as_file_mut());
        submission::write(&members, &mut writer, out)?;
        writer.flush().map_err(Error::io(out))?;
    }
    let mut verdict = verify(file.path(), options)?;
    verdict.violations.extend(stale);
    verdict.violations.sort();
    verdict.violations.dedup();
    verdict.valid = verdict.violations.is_empty();
    if verdict.valid {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(mode).map_err(Error::io(out))?;
        file.persist(out).map_err(|e| Error::Io { path: out.into(), source: e.error })?;
    }
    Ok(verdict)
}

fn members(
    plan: &Plan,
    record: &RunRecord,
    about: About,
    staging: &Path,
    stale: &mut Vec<Violation>,
) -> Result<Vec<Member>> {
    let mut members = vec![Member { name: RUN.into(), source: Source::Bytes(to_json(&portable(plan, record)?)?) }];
    let mut seals: BTreeMap<String, Option<Seal>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for cell in &plan.cells {
        let side = samples_of(&cell.id);
        if !seals.contains_key(&side) {
            let dataset = cell.dataset()?;
            let read = predict::samples(cell, &dataset, plan.suite.limit)?;
            let open = cell.manifest.access == Access::Open;
            let seal = if open { None } else { Some(Seal::of(cell, &dataset, &read)?) };
            let bytes = match &seal {
                Some(seal) => seal.samples(),
                None => samples::lines(&read)?.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect(),
            };
            members.push(Member { name: side.clone(), source: Source::Bytes(bytes) });
            seals.insert(side.clone(), seal);
        }
        let mut file = |name: String, path: &Path| {
            if seen.insert(name.clone()) {
                members.push(Member { name, source: Source::File(path.into()) });
            }
        };
        file(manifest_file(&cell.id.dataset), &cell.manifest.path);
        for source in &cell.scorers {
            file(scorer_file(&stem(&source.component)), &source.component);
        }
        if score::read(&cell.dir(&plan.dir)).is_some() && !is_fresh(plan, cell)? {
            let what = "its metrics are not of what is there now; `medvlm score` brings them up to date";
            stale.push(Violation::new(Rule::Metrics, cell.id.to_string(), what));
        }
        members.extend(files(plan, cell, seals[&side].as_ref(), staging)?);
    }
    let blank = Index {
        format: FORMAT,
        medvlm: score::VERSION.into(),
        division: about.division,
        submitter: about.submitter,
        contact: about.contact,
        note: about.note,
        adapters: adapters(plan)?,
        files: submission::digests(&members)?,
        digest: String::new(),
    };
    members.push(Member { name: INDEX.into(), source: Source::Bytes(blank.to_bytes()?) });
    Ok(members)
}

/// The run record without directories of this machine, and with the scorers that are packed.
fn portable(plan: &Plan, record: &RunRecord) -> Result<RunRecord> {
    let mut record = record.clone();
    record.suite.weights.clear();
    record.suite.published = None;
    record.suite.datasets.iter_mut().for_each(|dataset| dataset.root = None);
    let own: BTreeSet<String> = plan.cells.iter().map(|cell| cell.id.to_string()).collect();
    record.cells.retain(|id, _| own.contains(id));
    record.scorers.clear();
    for source in plan.cells.iter().flat_map(|cell| &cell.scorers) {
        if !record.scorers.contains_key(&source.id) {
            let bytes = fs::read(&source.component).map_err(Error::io(&source.component))?;
            record.scorers.insert(source.id.clone(), digest(&bytes));
        }
    }
    Ok(record)
}

fn is_fresh(plan: &Plan, cell: &Cell) -> Result<bool> {
    let predicted = cell.dir(&plan.dir).join(predict::FILE).exists();
    Ok(predicted && score::read_fresh(cell, &plan.dir, plan.suite.limit, &plan.suite.bootstrap)?.is_some())
}

/// The files of a cell that are there, concealed where a seal is given.
fn files(plan: &Plan, cell: &Cell, seal: Option<&Seal>, staging: &Path) -> Result<Vec<Member>> {
    let dir = cell.dir(&plan.dir);
    let id = cell.id.to_string();
    let there = |file: &&str| dir.join(file).exists();
    let Some(seal) = seal else {
        let files = [predict::FILE, evidence::FILE, evidence::NUMBERS, score::SCORES, score::METRICS];
        let member = |file: &str| Member { name: cell_file(&id, file), source: Source::File(dir.join(file)) };
        return Ok(files.into_iter().filter(there).map(member).collect());
    };
    let packed = cell.dir(staging);
    fs::create_dir_all(&packed).map_err(Error::io(&packed))?;
    let mut members = Vec::new();
    let mut put = |file: &str, bytes: Vec<u8>| {
        fs::write(packed.join(file), &bytes).map_err(Error::io(packed.join(file)))?;
        members.push(Member { name: cell_file(&id, file), source: Source::Bytes(bytes) });
        Ok::<(), Error>(())
    };
    for file in [predict::FILE, evidence::FILE, score::SCORES, score::METRICS].into_iter().filter(there) {
        let bytes = fs::read(dir.join(file)).map_err(Error::io(dir.join(file)))?;
        match file {
            predict::FILE => {
                let mut lines = Vec::new();
                for prediction in prediction::read(&dir.join(file))? {
                    let line =
                        serde_json::to_string(&seal.conceal(&prediction)).map_err(|e| Error::failed(e.to_string()))?;
                    lines.extend(format!("{line}\n").into_bytes());
                }
                put(file, lines)?;
            }
            score::METRICS => {
                // They name what they depend on, which is now the files of the archive.
                let Some(mut metrics) = score::read(&dir).filter(|_| packed.join(predict::FILE).exists()) else {
                    continue;
                };
                let (limit, bootstrap) = (plan.suite.limit, &plan.suite.bootstrap);
                metrics.inputs = score::inputs(cell, &packed, limit, bootstrap, score::VERSION)?;
                put(file, to_json(&metrics)?)?;
            }
            _ => put(file, seal.lines(&bytes))?,
        }
    }
    Ok(members)
}

/// Digests of the files of each cell's trained adapter.
fn adapters(plan: &Plan) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let mut adapters = BTreeMap::new();
    for cell in &plan.cells {
        let dir = cell.dir(&plan.dir).join(adapt::DIR);
        if !dir.is_dir() {
            continue;
        }
        let mut files = BTreeMap::new();
        for path in fs::read_dir(&dir).map_err(Error::io(&dir))?.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = fs::read(&path).map_err(Error::io(&path))?;
            files.insert(name, blake3::hash(&bytes).to_hex().to_string());
        }
        adapters.insert(cell.id.to_string(), files);
    }
    Ok(adapters)
}
