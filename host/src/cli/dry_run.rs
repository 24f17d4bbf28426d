//! `medvlm run --dry-run`: what would be done, and what it would take.

use serde_json::json;

use super::list::print_table;
use crate::{
    error::{COMPLETE, Error, INCOMPLETE, Result},
    run::{
        Plan,
        estimate::{self, Estimate},
    },
};

/// Prints the cells with estimates. Ends with 1 where cells are blocked.
pub fn show(plan: &Plan, json: bool) -> Result<u8> {
    let estimates = estimate::estimate(plan)?;
    if json {
        let text = |cells: &[(crate::ids::CellId, String)]| -> Vec<_> {
            cells.iter().map(|(cell, why)| json!({ "cell": cell.to_string(), "why": why })).collect()
        };
        let blocked: Vec<_> = plan.blocked.iter().map(|(cell, error)| (cell.clone(), error.to_string())).collect();
        let all = json!({ "cells": estimates, "blocked": text(&blocked), "excluded": text(&plan.excluded) });
        println!("{}", serde_json::to_string_pretty(&all).map_err(|e| Error::failed(e.to_string()))?);
    } else {
        print(plan, &estimates);
    }
    Ok(if plan.blocked.is_empty() { COMPLETE } else { INCOMPLETE })
}

fn print(plan: &Plan, estimates: &[Estimate]) {
    let row = |e: &Estimate| {
        vec![
            e.cell.clone(),
            format!("{}/{}", e.missing, e.samples),
            bytes(e.disk),
            bytes(e.memory),
            format!("{}{}", if e.measured { "" } else { "~" }, time(e.seconds)),
        ]
    };
    print_table(&["cell", "to predict", "disk", "memory", "time"], &estimates.iter().map(row).collect::<Vec<_>>());
    println!();
    let disk = estimates.iter().map(|e| e.disk).sum();
    let memory = estimates.iter().map(|e| e.memory).max().unwrap_or(0);
    let seconds: f64 = estimates.iter().map(|e| e.seconds).sum();
    println!(
        "{} cells on {} in {}: {} of disk, {} of memory at most, {} with one process",
        estimates.len(),
        plan.settings.device,
        plan.settings.dtype,
        bytes(disk),
        bytes(memory),
        time(seconds)
    );
    if estimates.iter().any(|e| !e.measured) {
        println!("~ is reckoned from the number of parameters; a model's first cell here measures it");
    }
    for (cell, error) in &plan.blocked {
        println!("{cell}: blocked: {error}");
    }
    for (cell, reason) in &plan.excluded {
        println!("{cell}: excluded: {reason}");
    }
}

/// `532 MB`, decimal.
fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{} kB", count.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{} MB", count / 1_000_000),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

/// `40 s`, `12 min`, `3.5 h`.
fn time(seconds: f64) -> String {
    match seconds {
        ..90.0 => format!("{seconds:.0} s"),
        90.0..5400.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
