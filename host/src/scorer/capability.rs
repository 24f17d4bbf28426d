//! What a suite can grant to a scorer beside its input: a judge, and token embeddings.

use std::sync::Arc;

use wasmtime::{
    StoreContextMut,
    component::{ComponentType, Lift, Linker, Lower},
};

use super::sandbox::{Denied, State};

/// Names of the capabilities.
pub(super) const NAMES: [&str; 2] = [JUDGE, EMBED];
/// Chat completions.
pub const JUDGE: &str = "judge";
/// Token embeddings.
pub const EMBED: &str = "embed";

/// Fuel that a scorer is given for each byte of an answer, to work on it.
const FUEL_PER_BYTE: u64 = 50_000;

/// A message of a chat.
#[derive(Debug, Clone, PartialEq, ComponentType, Lift)]
#[component(record)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

/// What a judge is asked.
#[derive(Debug, Clone, PartialEq, ComponentType, Lift)]
#[component(record)]
pub struct Request {
    /// The chat so far.
    pub messages: Vec<Message>,
    /// 0 is greedy.
    pub temperature: f32,
    /// Most tokens of the answer.
    #[component(name = "max-tokens")]
    pub max_tokens: u32,
    /// Seed of the sampler.
    pub seed: Option<u64>,
    /// JSON schema that the answer should follow.
    #[component(name = "response-schema")]
    pub response_schema: Option<String>,
}

/// What a judge says.
#[derive(Debug, Clone, PartialEq, ComponentType, Lower)]
#[component(record)]
pub struct Response {
    /// The answer.
    pub text: String,
    /// Tokens of the prompt; 0 where unknown.
    #[component(name = "prompt-tokens")]
    pub prompt_tokens: u32,
    /// Tokens of the answer; 0 where unknown.
    #[component(name = "completion-tokens")]
    pub completion_tokens: u32,
}

/// Why a judge says nothing.
#[derive(Debug, Clone, PartialEq, ComponentType, Lower)]
#[component(variant)]
pub enum JudgeError {
    /// Nobody may be asked, and nothing is recorded.
    #[component(name = "denied")]
    Denied(String),
    /// Requests or money are used up.
    #[component(name = "budget-exhausted")]
    BudgetExhausted,
    /// The judge could not be reached.
    #[component(name = "transport")]
    Transport(String),
    /// The judge refused the request.
    #[component(name = "rejected")]
    Rejected(String),
}

/// Token embeddings of one text.
#[derive(Debug, Clone, PartialEq, ComponentType, Lower)]
#[component(record)]
pub struct Matrix {
    /// Number of tokens.
    pub rows: u32,
    /// Width.
    pub columns: u32,
    /// Row by row.
    pub data: Vec<f32>,
}

/// The answers to one request, in the order of the raters.
pub type Answers = Vec<Result<Response, JudgeError>>;

/// Performs `judge`.
pub trait Judge: Send + Sync {
    /// The answers to each request: those of every rater, or that of the first alone. An error ends the scoring.
    fn answer(&self, requests: &[Request], all_raters: bool) -> Result<Vec<Answers>, String>;
}

/// Performs `embed`.
pub trait Embed: Send + Sync {
    /// Embeddings of each text, or why there are none. The outer error ends the scoring.
    fn embed(&self, texts: &[String]) -> Result<Result<Vec<Matrix>, String>, String>;
}

/// What a scorer is granted.
#[derive(Clone, Default)]
pub struct Grants {
    /// Chat completions.
    pub judge: Option<Arc<dyn Judge>>,
    /// Token embeddings.
    pub embed: Option<Arc<dyn Embed>>,
}

/// Grants that let a scorer be described and its scores be aggregated; whoever calls them is told that it may not.
struct Idle;

const IDLE: &str = "nobody is asked except while samples are scored";

impl Grants {
    /// Lets a scorer that needs these capabilities load, without performing them.
    pub fn idle(judge: bool, embed: bool) -> Self {
        Self {
            judge: judge.then(|| Arc::new(Idle) as Arc<dyn Judge>),
            embed: embed.then(|| Arc::new(Idle) as Arc<dyn Embed>),
        }
    }

    pub(super) fn hold(&self, name: &str) -> bool {
        match name {
            JUDGE => self.judge.is_some(),
            EMBED => self.embed.is_some(),
            _ => false,
        }
    }
}

impl Judge for Idle {
    fn answer(&self, _: &[Request], _: bool) -> Result<Vec<Answers>, String> {
        Err(IDLE.into())
    }
}

impl Embed for Idle {
    fn embed(&self, _: &[String]) -> Result<Result<Vec<Matrix>, String>, String> {
        Err(IDLE.into())
    }
}

/// Answers the imports of the capabilities that are granted.
pub(super) fn link(linker: &mut Linker<State>, grants: &Grants) -> wasmtime::Result<()> {
    type Store<'a> = StoreContextMut<'a, State>;
    if let Some(judge) = grants.judge.clone() {
        let mut interface = linker.instance("medvlm:scorer/judge@0.1.0")?;
        let first = judge.clone();
        interface.func_wrap("complete-many", move |mut store: Store, (requests,): (Vec<Request>,)| {
            let answers = first.answer(&requests, false).map_err(Denied::new)?;
            let answers: Answers = answers.into_iter().flatten().collect();
            refuel(&mut store, answers.iter().map(spoken).sum())?;
            Ok((answers,))
        })?;
        interface.func_wrap("complete-panel", move |mut store: Store, (requests,): (Vec<Request>,)| {
            let answers = judge.answer(&requests, true).map_err(Denied::new)?;
            refuel(&mut store, answers.iter().flatten().map(spoken).sum())?;
            Ok((answers,))
        })?;
    }
    if let Some(embed) = grants.embed.clone() {
        let mut interface = linker.instance("medvlm:scorer/embed@0.1.0")?;
        interface.func_wrap("embed-many", move |mut store: Store, (texts,): (Vec<String>,)| {
            let matrices = embed.embed(&texts).map_err(Denied::new)?;
            refuel(&mut store, matrices.iter().flatten().map(|matrix| size_of_val(matrix.data.as_slice())).sum())?;
            Ok((matrices,))
        })?;
    }
    Ok(())
}

/// Fuel is proportional to the input, and answers are input.
fn refuel(store: &mut StoreContextMut<'_, State>, bytes: usize) -> wasmtime::Result<()> {
    let fuel = store.get_fuel()?;
    store.set_fuel(fuel.saturating_add(FUEL_PER_BYTE * bytes as u64))
}

fn spoken(answer: &Result<Response, JudgeError>) -> usize {
    answer.as_ref().map_or(0, |response| response.text.len())
}
