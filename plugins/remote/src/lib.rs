//! Models behind OpenAI-compatible chat endpoints: vLLM, SGLang, Ollama, OpenAI's own, Gemini's.
//!
//! A row names the model as its endpoint does; where that is, the host says, and the key comes from the environment of
//! whoever runs it. Options of a row are the fields of [`Options`].

mod body;
mod options;
mod picture;

use std::{
    future::Future,
    pin::pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chat::{Caller, Client, Failure, Reply};
use futures_util::future::{Either, join_all, select};
use plugin_api::{
    Capability, Decoding, Description, Error, ErrorKind, Generation, Image, Inspect, Inspection, Model, Open, Request,
    Result, Sink, digest, export_plugin, message::Progress, register,
};
use rayon::prelude::*;

use options::Options;

export_plugin!();
register!("remote", "any vision model behind an OpenAI-compatible chat endpoint", [Generate], Remote::open);

/// How often the host hears that requests are under way, and can ask to stop.
const BEAT: Duration = Duration::from_millis(500);

struct Remote {
    options: Options,
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Remote {
    fn open(config: Open) -> Result<Self> {
        let options = Options::read(config.options)?;
        let client = Client::new(options.connection()?).map_err(Error::config)?;
        Ok(Self { options, client, runtime: chat::runtime()? })
    }

    /// Asks for one answer. The outer error ends the whole call: no other request would be answered either.
    async fn ask(&self, index: u32, body: &str, caller: &Caller<'_>) -> Result<Generation> {
        let input = digest(body.as_bytes());
        let failed = |message: String| {
            Ok(Generation {
                index,
                finish: "error".into(),
                error: Some(message),
                input: input.clone(),
                ..Default::default()
            })
        };
        match self.client.answer(body, &(), caller).await {
            Ok(reply) => withheld(&reply).map_or_else(|| Ok(generation(index, reply, input.clone())), failed),
            Err(Failure::Transport(message) | Failure::Rejected(message)) => failed(message),
            Err(Failure::Hopeless(message) | Failure::Unreachable(message)) => Err(Error::config(message)),
            Err(stopped @ (Failure::Stopped | Failure::Unaffordable)) => {
                Err(Error::new(ErrorKind::Cancelled, stopped.to_string()))
            }
        }
    }
}

impl Model for Remote {
    fn describe(&self) -> Description {
        Description { capabilities: vec![Capability::Generate], ..Description::default() }
    }

    fn generate(&self, requests: &[Request], images: &[Image<'_>], decoding: &Decoding, sink: &Sink<'_>) -> Result<()> {
        let bodies: Vec<String> = requests
            .par_iter()
            .map(|request| body::body(&self.options, request, images, decoding))
            .collect::<Result<_>>()?;
        let ended = Ended::default();
        let note = |line: &str| ended.unless(sink.log(line));
        let caller = Caller { stop: &|| ended.is_set(), note: &note };
        let one = async |request: &Request, body: &str| match self.ask(request.index, body, &caller).await {
            Ok(generation) => ended.unless(sink.finished(&generation)),
            Err(error) => ended.because(error),
        };
        let all = join_all(requests.iter().zip(&bodies).map(|(request, body)| one(request, body)));
        let total = requests.len() as u64;
        let beat = || ended.unless(sink.progress(&Progress { total, ..Progress::default() }));
        self.runtime.block_on(beating(all, beat));
        ended.verdict()
    }

    fn inspect(&self, request: &Inspect, images: &[Image<'_>]) -> Result<Inspection> {
        let Some(prompt) = request.prompt.clone().filter(|_| request.texts.is_empty()) else {
            return Err(Error::input("a remote model answers a prompt: it has no numbers for class texts"));
        };
        let images_asked = (0..images.len() as u32).collect();
        let asked = Request { prompt, raw: request.raw, images: images_asked, ..Request::default() };
        let body = body::body(&self.options, &asked, images, &request.decoding)?;
        let caller = Caller { stop: &|| false, note: &|_| {} };
        let generation = self.runtime.block_on(self.ask(0, &body, &caller))?;
        match generation.error {
            Some(message) => Err(Error::new(ErrorKind::Other, message)),
            None => Ok(Inspection { generation: Some(generation), ..Inspection::default() }),
        }
    }
}

/// Whether and why a call comes to its end early. What is under way is heard to its end.
#[derive(Default)]
struct Ended {
    set: AtomicBool,
    cause: Mutex<Option<Error>>,
}

impl Ended {
    fn is_set(&self) -> bool {
        self.set.load(Ordering::Relaxed)
    }

    fn unless(&self, done: Result<()>) {
        if let Err(error) = done {
            self.because(error);
        }
    }

    /// The first error counts: those after it are its consequences.
    fn because(&self, error: Error) {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.set.store(true, Ordering::Relaxed);
    }

    fn verdict(self) -> Result<()> {
        self.cause.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

/// Awaits `work`, and calls `beat` meanwhile.
async fn beating<T>(work: impl Future<Output = T>, beat: impl Fn()) -> T {
    let mut work = pin!(work);
    loop {
        match select(work.as_mut(), pin!(tokio::time::sleep(BEAT))).await {
            Either::Left((done, _)) => return done,
            Either::Right(_) => beat(),
        }
    }
}

fn generation(index: u32, reply: Reply, input: String) -> Generation {
    Generation {
        index,
        text: reply.text,
        finish: reply.finish,
        prompt_tokens: reply.prompt_tokens.unwrap_or_default(),
        new_tokens: reply.completion_tokens.unwrap_or_default(),
        input,
        ..Generation::default()
    }
}

/// Why an answer without text is none: a filter held it back, or the model wanted something else than to answer.
fn withheld(reply: &Reply) -> Option<String> {
    let spoke = !reply.text.is_empty() || ["stop", "length"].contains(&reply.finish.as_str());
    (!spoke).then(|| format!("the endpoint gives no text (finish: {})", reply.finish))
}
