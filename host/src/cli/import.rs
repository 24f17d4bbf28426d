//! `medvlm import`.

use std::path::PathBuf;

use clap::Args;

use crate::{
    config::SearchPath,
    error::{COMPLETE, Error, INCOMPLETE, Result},
    ids::{Task, Usage},
    run::{
        Catalogs,
        eval::names,
        import::{self, Format, Outcome, Request, import},
    },
};

/// Records without a sample that are listed on standard error.
const LISTED: usize = 20;

/// Arguments of `medvlm import`.
#[derive(Args)]
#[command(after_help = "\
  medvlm import predictions.json --dataset VQA-RAD --model llava-med --out runs/llava-med
  medvlm score runs/llava-med
  medvlm import samples_slake_2025.jsonl --dataset slake --model my-model --out runs/mine
Records are matched by question, answer and image. Those of diagnoses name no image, so their file
must hold the whole split in its order. What cannot be matched for certain is listed, and also in
OUT/import.json. Exit codes: 0 every record is imported and every sample has an answer, 1 not all,
3 the file is no prediction file of the split.")]
pub struct ImportArgs {
    /// MedVLMBench's `predictions.json`, or a sample file of lm-eval or lmms-eval
    file: PathBuf,
    /// Who wrote the file: medvlmbench, lm-eval or lmms-eval [default: guessed]
    #[arg(long, value_name = "WRITER")]
    from: Option<Format>,
    /// The dataset, by its name here or in MedVLMBench
    #[arg(long, value_name = "NAME")]
    dataset: String,
    /// Directory of the dataset's local copy
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The split
    #[arg(long, default_value = "test", value_name = "NAME")]
    split: String,
    /// The task [default: that of the records]
    #[arg(long, value_name = "TASK")]
    task: Option<Task>,
    /// How the model was used, by its name here or in MedVLMBench
    #[arg(long, default_value = "zero-shot", value_name = "USAGE")]
    usage: String,
    /// A name for the model; it need not be one of this program's
    #[arg(long, value_name = "NAME")]
    model: String,
    /// The seed that the predictions were made with
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Run directory
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Put aside what the run directory holds of the same cell
    #[arg(long)]
    redo: bool,
    /// Print JSON, with all records that were not imported
    #[arg(long)]
    json: bool,
}

impl ImportArgs {
    /// Imports, and says what was not.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        let catalogs = Catalogs::load(search)?;
        let usage: Usage = names::usage(&self.usage)?;
        let request = Request {
            dataset: names::dataset(&self.dataset, self.task, &catalogs.datasets)?,
            file: self.file,
            format: self.from,
            root: self.root,
            split: self.split,
            task: self.task,
            usage,
            model: self.model,
            seed: self.seed,
            out: self.out,
            redo: self.redo,
        };
        let outcome = import(&request, &catalogs)?;
        if self.json {
            let text = serde_json::to_string_pretty(&outcome).map_err(|e| Error::failed(e.to_string()))?;
            println!("{text}");
        } else {
            show(&request, &outcome);
        }
        let whole = outcome.problems.is_empty() && outcome.predicted == outcome.samples && outcome.failed == 0;
        Ok(if whole { COMPLETE } else { INCOMPLETE })
    }
}

fn show(request: &Request, outcome: &Outcome) {
    let file = request.file.display();
    for problem in outcome.problems.iter().take(LISTED) {
        eprintln!("{file} {}: {}", problem.place, problem.why);
    }
    if outcome.problems.len() > LISTED {
        let list = request.out.join(import::FILE);
        eprintln!("and {} more, which {} lists", outcome.problems.len() - LISTED, list.display());
    }
    let Outcome { cell, format, records, samples, predicted, failed, repeated, problems } = outcome;
    println!("{cell}");
    println!("  {records} records of {format}: {} not imported, {repeated} repeated", problems.len());
    println!("  {predicted} of {samples} samples have a prediction, {failed} of them failed");
    println!("score it with `medvlm score {}`", request.out.display());
}
