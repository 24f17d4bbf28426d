//! `medvlm merge`.

use std::path::PathBuf;

use clap::Args;

use crate::{
    error::{COMPLETE, Result},
    run::merge,
};

/// Arguments of `medvlm merge`.
#[derive(Args)]
pub struct MergeArgs {
    /// Run directories of one suite, as `medvlm run SUITE --shard I/N` fills them on several machines
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// The directory that gets everything; merging into it again changes nothing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl MergeArgs {
    /// Merges, and says what is there now.
    pub fn run(self) -> Result<u8> {
        for merged in merge::merge(&self.runs, &self.out)? {
            println!("{}: {} predictions", merged.cell, merged.predictions);
        }
        eprintln!("merged into {}; score it with `medvlm score {0}`", self.out.display());
        Ok(COMPLETE)
    }
}
