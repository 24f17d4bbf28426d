//! The model card.

use crate::{LEARNT, evaluate::Answered};

/// The card of a model with so many parameters that answers the test split like this.
pub fn text(parameters: usize, answered: &[Answered]) -> String {
    let row = |Answered { modality, closed, open }: &Answered| {
        let domain = if LEARNT.contains(modality) { "in" } else { "out of" };
        format!("| {} | {domain} domain | {closed:.3} | {open:.3} |\n", modality.word())
    };
    let rows: String = answered.iter().map(row).collect();
    format!("{HEAD}\n{parameters} parameters, stored in half precision.\n{MIDDLE}\n{rows}{TAIL}")
}

const HEAD: &str = "# phantom-vlm

A small LLaVA that answers questions on synthetic chest films and fundus photographs, and reports on them. It exists so
that an evaluation can be tried out and tested with a real model and without a download. **It has seen no picture of a
person and must not be used on one.**

Licence: MIT OR Apache-2.0. Language: English. Layout: Hugging Face hub; loads in
`transformers.LlavaForConditionalGeneration` and here as architecture `llava`.
";

const MIDDLE: &str = "
Made by `cargo xtask train-phantom vlm`, with a fixed seed, on phantoms of `data/phantom` that are in no split of the
bundled data set: chest and fundus only, each with its twin without the finding, with questions and reports as in that
data set and some in other words. The vision tower is that of `phantom-clip`, unchanged; the projector and the language
model, whose queries share heads of keys, were trained from scratch on the tokens of the answers.

## Answers to the questions of the bundled test split

Part of the answers that are word by word those of the data set, decoded greedily.

| modality | | yes or no | open |
|---|---|---|---|";

const TAIL: &str = "
Skin and tissue were not seen in training. How hard chest and fundus are was chosen by looking at results on earlier
versions of the test split, so these two are no blind test numbers. Age and sex in a report are guessed: a picture hardly
shows them.

## Limits

It knows the words of the questions and reports on chest and fundus; any other text can be written, but means nothing to
it. It reads pictures of 80 x 80 pixels.
";
