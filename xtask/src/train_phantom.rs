//! `train-phantom`: retrains one of the bundled models, which are committed in their plugins' folders.

use anyhow::{Result, bail};

use crate::workspace::{Workspace, run as run_command};

/// The verb; what follows the model's name goes to the training program.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<u8> {
    let (model, rest) = arguments.split_first().map_or(("", arguments), |(model, rest)| (model.as_str(), rest));
    let (package, example) = match model {
        "clip" => ("plugin-contrastive", "train_phantom_clip"),
        "vlm" => ("plugin-llava", "train_phantom_vlm"),
        _ => bail!("train-phantom needs the name of a model, `clip` or `vlm`"),
    };
    let train = ["run", "--package", package, "--example", example, "--"];
    run_command(workspace.cargo(train).args(rest))?;
    Ok(0)
}
