//! What a suite grants to scorers, performed: recorded answers first, then judges and encoders, and every new answer goes
//! into the cell's evidence before a scorer sees it.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    config::JudgeTable,
    dataset::Access,
    error::{Error, Result},
    evidence::Evidence,
    judge::{self, Endpoint, Judges, Key, Limits, Price},
    run::{Cell, Observer, Plan, cache_dir, embedder::Embedder},
    scorer::{Embed, Grants, Judge},
};

mod session;

use session::Session;
pub use session::Tally;

/// How much may be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Asking {
    /// Nobody; what is not recorded is missing.
    pub offline: bool,
    /// Requests and money for judges.
    pub limits: Limits,
}

/// A judge as `run.json` records it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgeRecord {
    /// Name of the model.
    pub model: String,
    /// Where it was asked.
    pub endpoint: String,
    /// Whether the endpoint is on the same machine.
    pub loopback: bool,
    /// Whether the suite approves of it for credentialed and agreement-bound samples.
    pub approved: bool,
    /// How often it was asked each question.
    pub votes: u32,
}

/// The judges and encoders of a run.
pub struct Granted {
    judges: Option<Arc<Judges>>,
    embedder: Option<Arc<Mutex<Embedder>>>,
    offline: bool,
    observer: Arc<dyn Observer + Send>,
}

/// What one cell's scorers are granted, with the evidence behind it.
pub struct CellGrants(Arc<Session>);

impl Granted {
    /// Prepares what the plan's suite grants; nothing is sent and no model is opened.
    pub fn new(plan: &Plan, asking: Asking, observer: Arc<dyn Observer + Send>) -> Result<Self> {
        let settings: Vec<judge::Settings> = plan.suite.judges.iter().map(settings).collect::<Result<_>>()?;
        if settings.is_empty() && asking.limits != Limits::default() {
            return Err(Error::usage("a budget was given, but the suite grants no [judge]"));
        }
        let judges = match settings.is_empty() {
            true => None,
            false => {
                let cache = cache_dir().map(|dir| dir.join("judge.sqlite"));
                Some(Arc::new(Judges::new(settings, asking.limits, cache.as_deref())?))
            }
        };
        let embedder = plan.embed.clone().map(|source| Arc::new(Mutex::new(Embedder::new(source, &plan.settings))));
        Ok(Self { judges, embedder, offline: asking.offline, observer })
    }

    /// The grants for one cell; none where no scorer of it needs any.
    pub fn open(&self, cell: &Cell, dir: &Path) -> Result<Option<CellGrants>> {
        if cell.scorers.iter().all(|scorer| scorer.capabilities.is_empty()) {
            return Ok(None);
        }
        Ok(Some(CellGrants(Arc::new(Session {
            cell: cell.id.to_string(),
            evidence: Evidence::open(dir)?,
            keep_requests: cell.manifest.access == Access::Open,
            judges: self.judges.clone(),
            embedder: self.embedder.clone(),
            offline: self.offline,
            observer: self.observer.clone(),
            state: Mutex::default(),
            answered: std::sync::Condvar::new(),
        }))))
    }

    /// Whether nobody is asked.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// Tells the user something.
    pub fn note(&self, line: &str) {
        self.observer.note(line);
    }
}

impl CellGrants {
    /// The grants, for a scorer.
    pub fn grants(&self) -> Grants {
        Grants {
            judge: self.0.judges.as_ref().map(|_| self.0.clone() as Arc<dyn Judge>),
            embed: self.0.embedder.as_ref().map(|_| self.0.clone() as Arc<dyn Embed>),
        }
    }

    /// The error that ended a scorer's call, if one did.
    pub fn take_error(&self) -> Option<Error> {
        self.0.state().error.take()
    }

    /// What was needed and what is missing, since the last call; the user hears of it.
    pub fn take_tally(&self, scorer: &str) -> Tally {
        let tally = self.0.take_tally();
        let place = format!("{}: scorer `{scorer}`", self.0.cell);
        if tally.heard > 0 {
            self.0.observer.note(&format!("{place} was given {} new answers{}", tally.heard, self.0.cost()));
        }
        if let Some(reason) = &tally.reason {
            let (missing, needed) = (tally.missing, tally.needed);
            self.0.observer.note(&format!("{place} has no answer to {missing} of {needed} requests: {reason}"));
        }
        tally
    }
}

/// The judges of a suite as they are recorded.
pub fn records(tables: &[JudgeTable]) -> Result<Vec<JudgeRecord>> {
    let record = |table: &JudgeTable| {
        let endpoint = endpoint(table)?;
        Ok(JudgeRecord {
            model: table.model.clone(),
            endpoint: endpoint.to_string(),
            loopback: endpoint.is_loopback(),
            approved: table.approved,
            votes: table.votes,
        })
    };
    tables.iter().map(record).collect()
}

/// Fails if a judge that is not on this machine has no key.
pub fn check_keys(tables: &[JudgeTable]) -> Result<()> {
    for table in tables {
        if !endpoint(table)?.is_loopback() && key(table).is_empty() {
            return Err(Error::usage(format!(
                "the judge `{}` needs a key: set {}, or score later with `medvlm score`",
                table.model, table.key_env
            )));
        }
    }
    Ok(())
}

fn settings(table: &JudgeTable) -> Result<judge::Settings> {
    Ok(judge::Settings {
        model: table.model.clone(),
        votes: table.votes,
        endpoint: endpoint(table)?,
        key: key(table),
        price: table.price.map(|price| Price { input: price.input, output: price.output }),
        retries: table.retries,
        timeout: table.timeout,
        in_flight: table.in_flight,
        omit: table.omit.clone(),
        body: table.body.clone(),
    })
}

fn endpoint(table: &JudgeTable) -> Result<Endpoint> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let base = table.base_url.clone().or_else(|| set("OPENAI_BASE_URL")).or_else(|| set("OPENAI_API_BASE"));
    Endpoint::parse(&base.unwrap_or_else(|| "https://api.openai.com/v1".into()))
}

fn key(table: &JudgeTable) -> Key {
    Key::new(std::env::var(&table.key_env).unwrap_or_default())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
