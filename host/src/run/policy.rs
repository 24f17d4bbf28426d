//! The data-use policy: samples of a credentialed or agreement-bound dataset do not leave the machine, unless the suite names
//! the place as approved. A refusal is recorded beside the run.

use std::{fs::OpenOptions, io::Write};

use serde::Serialize;

use crate::{
    dataset::Access,
    error::{Error, Result},
    run::{Cell, Plan, granted::JudgeRecord, remote::RemoteRecord},
    scorer::{EMBED, JUDGE},
};

/// File name in a run directory.
pub const REFUSALS: &str = "refusals.jsonl";

#[derive(Serialize)]
struct Refusal<'a> {
    medvlm: &'a str,
    dataset: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scorer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    judge: Option<&'a JudgeRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<&'a RemoteRecord>,
    reason: &'a str,
}

/// The endpoint that would be shown samples of a cell that it must not see.
pub fn forbidden<'a>(cell: &Cell, remotes: &'a [RemoteRecord]) -> Option<&'a RemoteRecord> {
    let remote = remotes.iter().find(|remote| remote.id == cell.id.model && far(remote));
    remote.filter(|_| cell.manifest.access != Access::Open)
}

/// Fails if a remote model would be shown samples that it must not see.
pub fn check_models(plan: &Plan) -> Result<()> {
    for cell in restricted(plan) {
        if let Some(remote) = forbidden(cell, &plan.remotes) {
            let who = format!("the model `{}` would get them", remote.model);
            refuse(plan, cell, None, (None, Some(remote)), &who)?;
        }
    }
    Ok(())
}

/// Fails if a judge or a remote encoder would be shown samples that it must not see.
pub fn check_scorers(plan: &Plan) -> Result<()> {
    let judge = plan.judges.iter().find(|judge| !judge.loopback && !judge.approved);
    let encoder = plan.embed.as_ref().map(|embed| &embed.record.model);
    let encoder = plan.remotes.iter().find(|remote| encoder == Some(&remote.model) && far(remote));
    for cell in restricted(plan) {
        for scorer in &cell.scorers {
            let asks = |capability: &str| scorer.capabilities.iter().any(|name| name == capability);
            if let Some(judge) = judge.filter(|_| asks(JUDGE)) {
                let who = format!("scorer `{}` would send them to the judge `{}`", scorer.id, judge.model);
                refuse(plan, cell, Some(&scorer.id), (Some(judge), None), &who)?;
            }
            if let Some(encoder) = encoder.filter(|_| asks(EMBED)) {
                let who = format!("scorer `{}` would send their texts to the model `{}`", scorer.id, encoder.model);
                refuse(plan, cell, Some(&scorer.id), (None, Some(encoder)), &who)?;
            }
        }
    }
    Ok(())
}

fn restricted(plan: &Plan) -> impl Iterator<Item = &Cell> {
    plan.cells.iter().filter(|cell| cell.manifest.access != Access::Open)
}

fn far(remote: &RemoteRecord) -> bool {
    !remote.loopback && !remote.approved
}

/// Records and reports that samples must not go to a judge or to a remote model.
fn refuse(
    plan: &Plan,
    cell: &Cell,
    scorer: Option<&str>,
    place: (Option<&JudgeRecord>, Option<&RemoteRecord>),
    who: &str,
) -> Result<()> {
    let dataset = &cell.manifest.id;
    let (judge, remote) = place;
    let (endpoint, table) = match (judge, remote) {
        (Some(judge), _) => (judge.endpoint.as_str(), "judge"),
        (None, remote) => (remote.map_or("", |remote| remote.endpoint.as_str()), "remote"),
    };
    let reason = format!(
        "samples of `{dataset}` must not leave this machine, but {who} at {endpoint}: name an endpoint on this machine, or, \
         where the terms of the dataset allow it, add approved = true to its [{table}] table"
    );
    record(plan, &Refusal { medvlm: env!("CARGO_PKG_VERSION"), dataset, scorer, judge, remote, reason: &reason })?;
    Err(Error::usage(reason))
}

fn record(plan: &Plan, refusal: &Refusal<'_>) -> Result<()> {
    let path = plan.dir.join(REFUSALS);
    let mut line = serde_json::to_vec(refusal).map_err(|e| Error::failed(e.to_string()))?;
    line.push(b'\n');
    std::fs::create_dir_all(&plan.dir).map_err(Error::io(&plan.dir))?;
    let mut file = OpenOptions::new().append(true).create(true).open(&path).map_err(Error::io(&path))?;
    file.write_all(&line).map_err(Error::io(&path))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use super::*;
    use crate::{
        config::{Conditions, Suite},
        dataset,
        ids::{CellId, Task, Usage},
        model::Place,
        run::{EmbedRecord, EmbedSource, Settings, plan::ScorerSource},
    };

    const MANIFEST: &str = "title = 't'\ncitation = 'c'\nlicence = 'l'\nobtain = 'o'\nreader = 'csv'\nfiles = ['t.csv']\n\
        fields = { image = 'file' }\n[[question]]\nquestion = 'q'\nanswer = 'a'\n[splits.test]\n[templates]\n\
        default = '{{ question }}'\n";

    /// A plan whose only scorer asks for embeddings by a remote model.
    fn plan(dir: &Path, access: &str, remote: RemoteRecord) -> Plan {
        std::fs::write(dir.join("notes.toml"), format!("access = '{access}'\n{MANIFEST}")).expect("writable");
        std::fs::write(dir.join("suite.toml"), "models = ['m']\n[[dataset]]\nid = 'notes'\n").expect("writable");
        let suite = Suite::read(&dir.join("suite.toml")).expect("valid");
        std::fs::remove_file(dir.join("suite.toml")).expect("removable");
        let manifests = dataset::Catalog::load(&[dir.into()]).expect("valid");
        let scorer = ScorerSource {
            id: "bertscore".into(),
            component: dir.into(),
            config: String::new(),
            conditions: Conditions::default(),
            capabilities: vec![EMBED.into()],
        };
        let (model, dataset, split) = ("m".into(), "notes".into(), "test".into());
        let cell = Cell {
            id: CellId { model, dataset, split, task: Task::Vqa, usage: Usage::ZeroShot, seed: 0 },
            model: None,
            manifest: manifests.get("notes").expect("there").clone(),
            evaluation: suite.datasets[0].clone(),
            scorers: vec![scorer],
            fingerprint: BTreeMap::new(),
            granted: String::new(),
        };
        let settings = Settings {
            place: Place::InProcess,
            device: "cpu".into(),
            dtype: "f32".into(),
            batch_size: 1,
            adapter: None,
        };
        let record = EmbedRecord { model: remote.model.clone(), digests: BTreeMap::new() };
        let embed = Some(EmbedSource { record, model: Err("far away".into()) });
        Plan {
            suite,
            dir: dir.join("run"),
            settings,
            cells: vec![cell],
            blocked: Vec::new(),
            excluded: Vec::new(),
            judges: Vec::new(),
            embed,
            remotes: vec![remote],
        }
    }

    #[test]
    fn texts_of_restricted_samples_reach_no_remote_encoder() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let far = RemoteRecord {
            model: "encoder".into(),
            id: "encoder".into(),
            endpoint: "https://encoder.example.org".into(),
            loopback: false,
            approved: false,
            key_env: "KEY".into(),
        };
        for access in ["credentialed", "agreement"] {
            let refused = check_scorers(&plan(dir.path(), access, far.clone())).expect_err("refused").to_string();
            assert!(refused.contains("would send their texts to the model `encoder` at https://encoder"), "{refused}");
            let approved = RemoteRecord { approved: true, ..far.clone() };
            assert!(check_scorers(&plan(dir.path(), access, approved)).is_ok());
            let near = RemoteRecord { loopback: true, ..far.clone() };
            assert!(check_scorers(&plan(dir.path(), access, near)).is_ok());
        }
        assert!(check_scorers(&plan(dir.path(), "open", far)).is_ok());
        let lines = std::fs::read_to_string(dir.path().join("run").join(REFUSALS)).expect("recorded");
        assert!(lines.lines().count() == 2 && lines.lines().all(|line| line.contains("\"scorer\":\"bertscore\"")));
    }
}
