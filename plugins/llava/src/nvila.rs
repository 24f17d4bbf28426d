//! Architecture `nvila`: NVILA (Liu et al. 2024).
//!
//! Reference: as of [`crate::vila`], with `transformers.Qwen2ForCausalLM`. An image is looked at in several scales, see
//! [`Scales`]; several images in a prompt are squashed to a tile each, as the authors' `generate_content` does, unless
//! option `several` is `tiles`.

mod scales;

use bridge::{
    Options, Place,
    convert::config,
    reader::{Generator, Manner},
};
use plugin_api::{Open, Result, register};

use crate::vila::{Custom, OPTIONS, Vila, Wording, config::LANGUAGE};
pub use scales::{Grid, Scales, stitch};

register!("nvila", "NVILA: SigLIP at several scales, joined tokens and a language model", [Generate, Choose], open);

/// Qwen2's template, where the tokenizer comes without.
const TEMPLATE: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ \
    '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}{{ '<|im_start|>' + message['role'] + \
    '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ \
    '<|im_start|>assistant\n' }}{% endif %}";
/// What ends a turn and a text.
const ENDS: [&str; 2] = ["<|im_end|>", "<|endoftext|>"];

/// Opens a checkpoint as it was published. Option `several` is `squash`, the default, or `tiles`; option `bos` is `once`,
/// the default, or `tokenizer`.
///
/// # Errors
/// A file is missing or corrupt, a tensor is missing, unused or misshapen, or an option is unknown.
pub fn open(open: Open) -> Result<Generator<Vila>> {
    let place = Place::of(&open, "nvila")?;
    let options = Options::new("nvila", &open.options, &[&Manner::OPTIONS[..], &OPTIONS, &["several"]].concat())?;
    let custom = Custom {
        language: "qwen2",
        wording: Wording::chat(&place.dir.join(LANGUAGE), TEMPLATE, "").map_err(config)?,
        ends: ENDS,
        several_closely: options.choice("several", &[("squash", false), ("tiles", true)])?.unwrap_or(false),
        max_new_tokens: 4096,
    };
    Vila::new(&place, &options, custom)
}
