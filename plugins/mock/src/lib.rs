//! A plugin without weights that answers deterministically, and misbehaves when its row says so.
//!
//! Options of a row: `behave` (see [`Behaviour`]), `poison` (misbehave only for images whose first pixel has
//! this red value, or prompts that contain this text; always when absent) and `once` (a file that is made at the
//! first misbehaviour, after which the model behaves).

use std::{fs, path::PathBuf, thread, time::Duration};

use plugin_api::{
    Array, Capability, Classes, Data, Decoding, Description, Error, Generation, Image, Inspect, Inspection, Matrix,
    Model, Open, Request, Result, Rows, Sink, Train, Trained, digest, export_plugin, message::Progress, register,
};
use serde::Deserialize;

export_plugin!();
register!(
    "mock",
    "answers deterministically from digests, and misbehaves on request",
    [ZeroShot, Features, Generate, Choose, EmbedText, Train],
    Mock::open
);

/// What the model does instead of answering.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Behaviour {
    /// Answers.
    #[default]
    Well,
    /// Returns an error.
    Error,
    /// Panics.
    Panic,
    /// Aborts the process.
    Abort,
    /// Ends the process by a signal that cannot be caught, as the kernel does when memory runs out.
    Kill,
    /// Recurses until the stack is full.
    Overflow,
    /// Never answers.
    Hang,
    /// Answers after 50 ms.
    Slow,
    /// Answers with values that are no numbers.
    Nan,
    /// Answers with one row or one answer too few.
    WrongShape,
    /// Prints to standard output before it answers.
    Print,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    behave: Behaviour,
    poison: Option<serde_json::Value>,
    once: Option<PathBuf>,
    feature_dim: Option<u32>,
}

struct Mock {
    options: Options,
}

impl Mock {
    fn open(config: Open) -> Result<Self> {
        let options = serde_json::from_value(serde_json::Value::Object(config.options))
            .map_err(|e| Error::config(format!("options of a mock model: {e}")))?;
        Ok(Self { options })
    }

    fn feature_dim(&self) -> usize {
        self.options.feature_dim.unwrap_or(8) as usize
    }

    fn is_poisonous_image(&self, image: &Image<'_>) -> bool {
        match &self.options.poison {
            Some(poison) => poison.as_u64().is_some_and(|red| image.rgb.first().is_some_and(|r| u64::from(*r) == red)),
            None => true,
        }
    }

    fn is_poisonous_prompt(&self, prompt: &str) -> bool {
        self.options.poison.as_ref().is_none_or(|poison| poison.as_str().is_some_and(|word| prompt.contains(word)))
    }

    /// Misbehaves as the row says; `Ok` names a behaviour that shows in the answer itself.
    fn misbehave(&self) -> Result<Behaviour> {
        if let Some(marker) = &self.options.once {
            if marker.exists() {
                return Ok(Behaviour::Well);
            }
            fs::write(marker, "")?;
        }
        match self.options.behave {
            Behaviour::Error => Err(Error::input("this sample is poisonous")),
            Behaviour::Panic => panic!("as the row says"),
            Behaviour::Abort => std::process::abort(),
            Behaviour::Kill => {
                std::process::Command::new("kill").args(["-9", &std::process::id().to_string()]).status()?;
                loop {
                    thread::sleep(Duration::from_secs(1));
                }
            }
            Behaviour::Overflow => Err(Error::input(overflow(&[0; 1024]).to_string())),
            Behaviour::Hang => loop {
                thread::sleep(Duration::from_secs(1));
            },
            Behaviour::Slow => {
                thread::sleep(Duration::from_millis(50));
                Ok(Behaviour::Well)
            }
            Behaviour::Print => {
                print_line("a plugin that prints");
                Ok(Behaviour::Well)
            }
            shown => Ok(shown),
        }
    }

    fn rows(&self, images: &[Image<'_>], columns: usize, salt: &str) -> Result<Rows> {
        let poisoned = images.iter().any(|image| self.is_poisonous_image(image));
        let behaviour = if poisoned { self.misbehave()? } else { Behaviour::Well };
        let mut rows: Vec<Vec<f32>> = images.iter().map(|image| numbers(image.rgb, salt, columns)).collect();
        match behaviour {
            Behaviour::Nan => {
                for (row, _) in rows.iter_mut().zip(images).filter(|(_, image)| self.is_poisonous_image(image)) {
                    row.fill(f32::NAN);
                }
            }
            Behaviour::WrongShape => drop(rows.pop()),
            _ => {}
        }
        Ok(Rows { matrix: Matrix::from_rows(&rows), inputs: images.iter().map(|image| digest(image.rgb)).collect() })
    }
}

impl Model for Mock {
    fn describe(&self) -> Description {
        use Capability::{Choose, EmbedText, Features, Generate, Train, ZeroShot};
        Description {
            capabilities: vec![ZeroShot, Features, Generate, Choose, EmbedText, Train],
            feature_dim: self.feature_dim() as u32,
            ..Description::default()
        }
    }

    fn zero_shot(&self, images: &[Image<'_>], classes: &Classes) -> Result<Rows> {
        self.rows(images, classes.prompts.len(), &classes.prompts.concat().join("\n"))
    }

    fn features(&self, images: &[Image<'_>]) -> Result<Rows> {
        self.rows(images, self.feature_dim(), "features")
    }

    fn generate(&self, requests: &[Request], images: &[Image<'_>], decoding: &Decoding, sink: &Sink<'_>) -> Result<()> {
        // Answers come in reverse order, as a model that batches continuously may give them.
        for request in requests.iter().rev() {
            let behaviour = if self.is_poisonous_prompt(&request.prompt) { self.misbehave()? } else { Behaviour::Well };
            if behaviour == Behaviour::WrongShape {
                continue;
            }
            sink.finished(&answer(request, images, decoding))?;
        }
        Ok(())
    }

    fn choose(&self, requests: &[Request], _: &[Image<'_>]) -> Result<Vec<Vec<f32>>> {
        let rate = |request: &Request| {
            request.options.iter().map(|o| numbers(o.as_bytes(), &request.prompt, 1)[0] - 1.0).collect()
        };
        Ok(requests.iter().map(rate).collect())
    }

    fn embed_text(&self, texts: &[String]) -> Result<Vec<Matrix>> {
        let embed = |text: &String| {
            let rows: Vec<Vec<f32>> =
                text.split_whitespace().map(|word| numbers(word.as_bytes(), "embed", self.feature_dim())).collect();
            Matrix::from_rows(&rows)
        };
        Ok(texts.iter().map(embed).collect())
    }

    fn train(&self, job: &Train, sink: &Sink<'_>) -> Result<Trained> {
        let mut seen = String::new();
        for index in 0..job.samples {
            let (sample, images) = sink.sample(index)?;
            seen.push_str(&format!("{:?} {}", sample.labels, images.len()));
            sink.progress(&Progress { done: u64::from(index) + 1, total: u64::from(job.samples), loss: Some(1.0) })?;
        }
        let file = job.out.join("adapter_model.safetensors");
        fs::write(&file, digest(seen.as_bytes()))?;
        Ok(Trained { files: vec![file], parameters: 1 })
    }

    fn inspect(&self, request: &Inspect, images: &[Image<'_>]) -> Result<Inspection> {
        let mut seen = Inspection::default();
        if let Some(prompt) = &request.prompt {
            let asked =
                Request { prompt: prompt.clone(), images: (0..images.len() as u32).collect(), ..Request::default() };
            let mut generation = answer(&asked, images, &request.decoding);
            generation.prompt_ids = prompt.bytes().map(u32::from).collect();
            generation.generated_ids = generation.text.bytes().map(u32::from).collect();
            seen.generation = Some(generation);
        }
        if !request.texts.is_empty() {
            let rows = images.iter().map(|image| numbers(image.rgb, &request.texts.join("\n"), request.texts.len()));
            let data = rows.collect::<Vec<_>>().concat();
            let shape = vec![images.len() as u64, request.texts.len() as u64];
            seen.arrays.push(("logits".into(), Array { shape, data: Data::F32(data) }));
        }
        Ok(seen)
    }
}

/// `yes`, `no`, or a word made from the digest of the images.
fn answer(request: &Request, images: &[Image<'_>], decoding: &Decoding) -> Generation {
    let pixels: Vec<&[u8]> = request.images.iter().filter_map(|i| images.get(*i as usize)).map(|i| i.rgb).collect();
    let input = digest(&[request.prompt.as_bytes(), &pixels.concat()].concat());
    let closed = ["is ", "are ", "does ", "do "].iter().any(|verb| request.prompt.to_lowercase().starts_with(verb));
    let text = match (closed, input.as_bytes()[0] % 2) {
        (true, 0) => "yes".to_string(),
        (true, _) => "no".to_string(),
        (false, _) => format!("finding {}", &input[..4]),
    };
    let budget = if decoding.max_new_tokens == 0 { usize::MAX } else { decoding.max_new_tokens as usize };
    let finish = if text.len() > budget { "length" } else { "stop" };
    let text: String = text.chars().take(budget).collect();
    Generation {
        index: request.index,
        finish: finish.into(),
        prompt_tokens: request.prompt.len() as u32,
        new_tokens: text.len() as u32,
        text,
        input,
        ..Generation::default()
    }
}

/// Numbers in [-1, 1) from a digest.
fn numbers(bytes: &[u8], salt: &str, count: usize) -> Vec<f32> {
    let seed = digest(&[salt.as_bytes(), bytes].concat());
    (0..count)
        .map(|i| {
            let hex = digest(format!("{seed}{i}").as_bytes());
            u16::from_str_radix(&hex[..4], 16).map_or(0.0, f32::from) / 32768.0 - 1.0
        })
        .collect()
}

#[allow(unconditional_recursion, reason = "this is what the row asks for")]
fn overflow(frame: &[u64; 1024]) -> u64 {
    let mut next = *frame;
    next[0] += 1;
    std::hint::black_box(overflow(std::hint::black_box(&next))) + next[1023]
}

#[allow(clippy::print_stdout, reason = "shows that a plugin's prints do not reach the protocol")]
fn print_line(line: &str) {
    println!("{line}");
}
