//! The `medvlm` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    medvlm::cli::main()
}
