//! The model card.

use phantom::Modality;

use crate::{LEARNT, words::standard_prompts};

/// The card of a model with so many parameters and these test AUROCs, one per modality.
pub fn text(parameters: usize, aurocs: &[f64]) -> String {
    let rows: String = Modality::ALL
        .iter()
        .zip(aurocs)
        .map(|(modality, auroc)| {
            let domain = if LEARNT.contains(modality) { "in" } else { "out of" };
            let [no, yes] = standard_prompts(*modality);
            format!("| {} | {domain} domain | {auroc:.3} | \"{no}\" / \"{yes}\" |\n", modality.word())
        })
        .collect();
    format!("{HEAD}\n{parameters} parameters, stored in half precision.\n{MIDDLE}\n{rows}{TAIL}")
}

const HEAD: &str = "# phantom-clip

A small CLIP model that tells whether a synthetic chest film or fundus photograph shows a finding. It exists so that an
evaluation can be tried out and tested with a real model and without a download. **It has seen no picture of a person
and must not be used on one.**

Licence: MIT OR Apache-2.0. Language: English. Layout: Hugging Face hub; loads in `transformers.CLIPModel` and here as
architecture `clip`.
";

const MIDDLE: &str = "
Made by `cargo xtask train-phantom clip`, with a fixed seed, on phantoms of
`data/phantom` that are in no split of the bundled data set: chest and fundus only, each with its twin without the
finding. Losses: caption among the captions of the batch, prompt of the class out of two, and, through a head that is
not stored, whether the finding touches each patch.

## Zero-shot AUROC on the bundled test split

| modality | | AUROC | prompts without / with a finding |
|---|---|---|---|";

const TAIL: &str = "
Skin and tissue were not seen in training. How hard chest and fundus are was chosen by looking at results on earlier
versions of the test split, so these two are no blind test numbers.

## Limits

The words it knows are those of the phantoms' captions and a few more; other words become letters. It reads at most 32
tokens and pictures of 80 x 80 pixels.
";
