//! `medvlm infer`: one model, ad hoc; the contract for numeric parity checks.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use clap::Args;
use plugin_api::{Array, Data, Decoding, Image, Inspect, Inspection, client};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};

use super::ModelArgs;
use crate::{
    config::{RemoteTable, SearchPath},
    dataset::{Pixels, decode_image},
    error::{COMPLETE, Error, Result},
    model::weights,
    run::{
        Catalogs,
        plan::{self, ModelSource},
        predict, remote,
    },
};

/// Arguments of `medvlm infer`.
#[derive(Args)]
pub struct InferArgs {
    /// The model, as `medvlm list models` names it, or `remote:NAME` for one behind an OpenAI-compatible endpoint
    model: String,
    /// Endpoint of a remote model [default: the row's own, else $OPENAI_BASE_URL]; the key is taken from $OPENAI_API_KEY
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// Checkpoint directory laid out as on the Hugging Face hub, instead of the row's own
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// An image; repeat for several, their order is kept
    #[arg(long = "image", value_name = "FILE")]
    images: Vec<PathBuf>,
    /// A class text of a contrastive model; repeat for several, their order is kept
    #[arg(long = "text", value_name = "TEXT")]
    texts: Vec<String>,
    /// The bare question to a generative model; its published template is applied
    #[arg(long)]
    prompt: Option<String>,
    /// Leave the prompt as it is
    #[arg(long, requires = "prompt")]
    raw: bool,
    /// Upper limit of new tokens [default: the model's own]
    #[arg(long, value_name = "N")]
    max_new_tokens: Option<u32>,
    #[command(flatten)]
    place: ModelArgs,
    /// Write what was computed (pixel_values, image_embeds, text_embeds, logits, …) to a safetensors file
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl InferArgs {
    /// Computes and prints.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        if self.images.is_empty() && self.texts.is_empty() && self.prompt.is_none() {
            return Err(Error::usage("nothing to infer: give --image with --text or --prompt"));
        }
        let catalogs = Catalogs::load(search)?;
        let mut tables = Vec::new();
        if let Some(base_url) = &self.base_url {
            RemoteTable::relocate(&mut tables, base_url);
        }
        let (row, plugin) = remote::find(&self.model, &catalogs, &tables)?;
        if self.base_url.is_some() && !row.is_remote() {
            return Err(Error::usage(format!("--base-url is for remote models, and `{}` is none", self.model)));
        }
        let checkpoint = weights::find(&row, plugin, self.weights.as_deref())?;
        // The child goes first: a broken library must not take this process along.
        let settings = self.place.settings(1)?;
        plan::probe(plugin, &settings.place)?;
        let source = ModelSource { row: row.clone(), plugin: plugin.clone(), weights: checkpoint };
        let pixels: Vec<Pixels> = self.images.iter().map(|path| read_image(path)).collect::<Result<_>>()?;
        let images: Vec<Image<'_>> =
            pixels.iter().map(|p| Image { width: p.width, height: p.height, rgb: &p.rgb }).collect();
        let request = Inspect {
            texts: self.texts.clone(),
            prompt: self.prompt.clone(),
            raw: self.raw,
            decoding: Decoding {
                max_new_tokens: self.max_new_tokens.unwrap_or(row.max_new_tokens),
                ..Decoding::default()
            },
        };
        let mut model = predict::open_model(&source, &settings)?;
        let seen = client::inspect(model.door(), &request, &images)
            .map_err(|e| Error::failed(format!("model `{}`: {e}", self.model)))?;
        if let Some(path) = &self.dump {
            write_safetensors(path, &seen.arrays)?;
        }
        if self.json {
            println!("{}", self.to_json(&seen));
        } else {
            self.print(&seen);
        }
        Ok(COMPLETE)
    }

    fn to_json(&self, seen: &Inspection) -> Value {
        let shapes: BTreeMap<&str, &[u64]> =
            seen.arrays.iter().map(|(name, array)| (name.as_str(), array.shape.as_slice())).collect();
        let mut object = json!({ "model": self.model, "images": self.images, "texts": self.texts, "arrays": shapes });
        if let Some(rows) = matrix(&seen.arrays, "logits") {
            object["logits"] = json!(rows);
        }
        if let Some(answer) = &seen.generation {
            object["text"] = json!(answer.text);
            object["finish"] = json!(answer.finish);
            object["prompt_ids"] = json!(answer.prompt_ids);
            object["generated_ids"] = json!(answer.generated_ids);
        }
        object
    }

    fn print(&self, seen: &Inspection) {
        if let Some(answer) = &seen.generation {
            println!("{}", answer.text);
        }
        for (path, logits) in self.images.iter().zip(matrix(&seen.arrays, "logits").unwrap_or_default()) {
            println!("{}", path.display());
            let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = logits.iter().map(|l| (l - highest).exp()).sum();
            for (text, logit) in self.texts.iter().zip(&logits) {
                println!("  {:6.2} %  {logit:9.4}  {text}", 100.0 * (logit - highest).exp() / sum);
            }
        }
        for (name, array) in &seen.arrays {
            eprintln!("{name} {:?}", array.shape);
        }
    }
}

/// Reads and decodes an image file.
pub(super) fn read_image(path: &Path) -> Result<Pixels> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    decode_image(&bytes, &path.display().to_string())
}

fn matrix(arrays: &[(String, Array)], name: &str) -> Option<Vec<Vec<f32>>> {
    let (_, array) = arrays.iter().find(|(n, _)| n == name)?;
    match (&array.data, array.shape.as_slice()) {
        (Data::F32(values), [_, columns]) if *columns > 0 => {
            Some(values.chunks(*columns as usize).map(<[f32]>::to_vec).collect())
        }
        _ => None,
    }
}

fn write_safetensors(path: &Path, arrays: &[(String, Array)]) -> Result<()> {
    let broken = |e: safetensors::SafeTensorError| Error::failed(format!("{}: {e}", path.display()));
    let views: Vec<(&str, TensorView<'_>)> = arrays
        .iter()
        .map(|(name, array)| {
            let (dtype, bytes): (Dtype, &[u8]) = match &array.data {
                Data::U8(v) => (Dtype::U8, v),
                Data::I64(v) => (Dtype::I64, bytemuck::cast_slice(v)),
                Data::F32(v) => (Dtype::F32, bytemuck::cast_slice(v)),
            };
            let shape = array.shape.iter().map(|n| *n as usize).collect();
            Ok((name.as_str(), TensorView::new(dtype, shape, bytes).map_err(broken)?))
        })
        .collect::<Result<_>>()?;
    let bytes = safetensors::serialize(views, None).map_err(broken)?;
    std::fs::write(path, bytes).map_err(Error::io(path))
}
