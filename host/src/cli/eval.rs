//! `medvlm eval`: the flags of MedVLMBench's `run_eval.py`.

use std::{
    env,
    path::PathBuf,
    process::{Command, ExitStatus},
};

use clap::Args;

use crate::{
    config::SearchPath,
    error::{COMPLETE, Error, INCOMPLETE, INTERRUPTED, Result},
    ids::Task,
    run::{
        Catalogs,
        eval::{self, Evaluation, Request, names},
    },
};

/// Arguments of `medvlm eval`.
#[derive(Args)]
#[command(after_help = "\
  medvlm eval --task vqa --dataset SLAKE --image_path ./data/SLAKE/imgs --model LLaVA-1.5 \\
    --model_path ./llava-v1.5-7b --exp_path ./log --save_pred
  medvlm eval --task diagnosis --usage clip-zs --dataset HAM10000 --image_path ./data/HAM10000 \\
    --model BioMedCLIP --exp_path ./log
Flags may be written with `_` or `-`. Datasets, models and usages have the names of MedVLMBench or
those of `medvlm list`. Results go to EXP_PATH/TASK/DATASET/MODEL/eval_seedSEED/CHECKPOINT:
results.csv and predictions.json as MedVLMBench writes them, its numbers included, beside
report.html and all else that `medvlm run` writes. The same command again goes on where it was
stopped. eval.toml there is the suite; `medvlm run` takes it, and suites of more than one cell.")]
pub struct EvalArgs {
    /// diagnosis, vqa or caption
    #[arg(long)]
    task: Task,
    /// clip-zs, lp, clip-adapter, img-lora-lp or clip-img-lora, for diagnoses [default: clip-zs]
    #[arg(long, value_name = "USAGE")]
    usage: Option<String>,
    /// The dataset, such as SLAKE or HAM10000
    #[arg(long, value_name = "NAME")]
    dataset: String,
    /// The split
    #[arg(long, default_value = "test", value_name = "NAME")]
    split: String,
    /// Directory of the dataset, or of its images
    #[arg(long = "image_path", alias = "image-path", value_name = "DIR")]
    image_path: Option<PathBuf>,
    /// Directory of all results
    #[arg(long = "exp_path", alias = "exp-path", default_value = "./log", value_name = "DIR")]
    exp_path: PathBuf,
    /// The model, such as LLaVA-1.5 or BioMedCLIP
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Directory of its checkpoint, or of an adapter that this program trained [default: the published weights]
    #[arg(long = "model_path", alias = "model-path", value_name = "DIR")]
    model_path: Option<String>,
    /// Write predictions.json too
    #[arg(long = "save_pred", alias = "save-pred", num_args = 0..=1, default_missing_value = "true", default_value = "false", value_name = "BOOL", value_parser = clap::builder::BoolishValueParser::new())]
    save_pred: bool,
    /// Directory of the Hugging Face cache, as HF_HOME
    #[arg(long = "cache_dir", alias = "cache-dir", value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// The seed
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// At most this many samples
    #[arg(long = "max_samples", alias = "max-samples", default_value_t = 0, value_name = "N")]
    max_samples: u32,
    /// cpu or cuda:N
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Element type of the weights: f32, bf16 or f16
    #[arg(long, value_name = "TYPE")]
    dtype: Option<String>,
    /// Samples in a batch
    #[arg(long = "batch_size", alias = "batch-size", value_name = "N")]
    batch_size: Option<u32>,
    /// Flags that do nothing in MedVLMBench either
    #[command(flatten)]
    idle: Idle,
}

/// Flags of the original that have no effect there.
#[derive(Args)]
struct Idle {
    #[arg(long = "gpt_eval", alias = "gpt-eval", hide = true, num_args = 0..=1)]
    gpt_eval: Option<Option<String>>,
    #[arg(long = "if_wandb", alias = "if-wandb", hide = true, num_args = 0..=1)]
    if_wandb: Option<Option<String>>,
    #[arg(long = "hash_id", alias = "hash-id", hide = true)]
    hash_id: Option<String>,
    #[arg(long = "print_freq", alias = "print-freq", hide = true)]
    print_freq: Option<String>,
}

impl EvalArgs {
    /// Runs the cell as `medvlm run` does, then writes the original's files.
    pub fn run(self, search: &SearchPath) -> Result<u8> {
        let catalogs = Catalogs::load(search)?;
        let request = Request {
            task: self.task,
            usage: names::usage(self.usage.as_deref().unwrap_or("clip-zs"))?,
            dataset: self.dataset.clone(),
            split: self.split.clone(),
            image_path: self.image_path.clone(),
            exp_path: self.exp_path.clone(),
            model: self.model.clone(),
            model_path: self.model_path.clone(),
            seed: self.seed,
            limit: self.max_samples,
        };
        let evaluation = eval::translate(&request, &catalogs)?;
        for flag in self.idle.given() {
            eprintln!("note: {flag} does nothing in MedVLMBench, and nothing here");
        }
        evaluation.notes.iter().for_each(|note| eprintln!("note: {note}"));
        let suite = evaluation.write_suite()?;
        let mut flags = vec!["run".to_string(), suite.display().to_string()];
        let mut flag = |name: &str, value: Option<String>| {
            flags.extend(value.into_iter().flat_map(|value| [format!("--{name}"), value]));
        };
        flag("out", Some(evaluation.dir.display().to_string()));
        flag("adapter", evaluation.adapter.as_ref().map(|dir| dir.display().to_string()));
        flag("device", self.device.clone());
        flag("dtype", self.dtype.clone());
        flag("batch-size", self.batch_size.map(|n| n.to_string()));
        let code = self.medvlm(&flags, search)?;
        if code != COMPLETE && code != INCOMPLETE {
            return Ok(code);
        }
        self.show(&evaluation, search, code)
    }

    /// Writes the original's files, where the run got as far as numbers.
    fn show(&self, evaluation: &Evaluation, search: &SearchPath, code: u8) -> Result<u8> {
        match eval::write(evaluation, search, self.save_pred) {
            Ok(written) => written.iter().for_each(|path| println!("as MedVLMBench writes it: {}", path.display())),
            Err(error) if code == COMPLETE => return Err(error),
            // The run has said what kept it from numbers.
            Err(_) => {}
        }
        Ok(code)
    }

    /// Runs this program with other arguments, in a process of its own, for the environment of this one cannot change.
    fn medvlm(&self, arguments: &[String], search: &SearchPath) -> Result<u8> {
        let program = env::current_exe().map_err(|e| Error::failed(format!("this program has no path: {e}")))?;
        // The child hears of Ctrl-C as well, and ends when what is in flight is finished.
        ctrlc::set_handler(|| {}).map_err(|e| Error::failed(format!("cannot catch Ctrl-C: {e}")))?;
        eprintln!("medvlm {}", arguments.join(" "));
        let mut command = Command::new(&program);
        command.args(arguments);
        let paths = [
            ("MEDVLM_PLUGIN_PATH", &search.plugins),
            ("MEDVLM_SCORER_PATH", &search.scorers),
            ("MEDVLM_DATASET_PATH", &search.datasets),
        ];
        for (name, dirs) in paths {
            command.env(name, env::join_paths(dirs).map_err(|e| Error::usage(format!("{name}: {e}")))?);
        }
        if let Some(dir) = &self.cache_dir {
            command.env("HF_HOME", dir).env_remove("HF_HUB_CACHE");
        }
        let status: ExitStatus = command.status().map_err(Error::io(&program))?;
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(INTERRUPTED))
    }
}

impl Idle {
    fn given(&self) -> Vec<&'static str> {
        let flags = [
            ("--gpt_eval", self.gpt_eval.is_some()),
            ("--if_wandb", self.if_wandb.is_some()),
            ("--hash_id", self.hash_id.is_some()),
            ("--print_freq", self.print_freq.is_some()),
        ];
        flags.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}
