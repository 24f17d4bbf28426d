//! Shards of a cell that this process may fill, each leased when its turn comes.

use std::{iter::Enumerate, slice::Chunks, sync::Mutex};

use super::{SHARD, locked};
use crate::{
    dataset::Sample,
    error::Result,
    ids::CellId,
    prediction::Store,
    run::lease::{Lease, Leases, Part},
};

/// A leased shard.
pub struct Shard<'a> {
    /// The right to predict it.
    pub lease: Lease,
    /// Its samples that have no prediction, with their positions in it.
    pub samples: Vec<(usize, &'a Sample)>,
}

/// The shards of a cell that lack predictions and that no other process works on.
pub struct Shards<'a> {
    cell: String,
    shards: Enumerate<Chunks<'a, Sample>>,
    leases: &'a Leases,
    part: Option<Part>,
    store: &'a Mutex<Store>,
}

impl<'a> Shards<'a> {
    /// Those of a cell, in order; `part` leaves the others out.
    pub fn new(
        cell: &CellId,
        samples: &'a [Sample],
        leases: &'a Leases,
        part: Option<Part>,
        store: &'a Mutex<Store>,
    ) -> Self {
        Self { cell: cell.to_string(), shards: samples.chunks(SHARD).enumerate(), leases, part, store }
    }

    fn missing(&self, shard: &'a [Sample]) -> Vec<(usize, &'a Sample)> {
        let store = locked(self.store);
        shard.iter().enumerate().filter(|(_, sample)| !store.done().contains_key(&sample.index)).collect()
    }

    /// The shard, if it is to be filled and free.
    fn lease(&self, number: usize, shard: &'a [Sample]) -> Result<Option<Shard<'a>>> {
        if self.part.is_some_and(|part| !part.has(&self.cell, number)) || self.missing(shard).is_empty() {
            return Ok(None);
        }
        let Some(lease) = self.leases.take(&format!("{}.{number}", self.cell))? else { return Ok(None) };
        // Whoever held it before may have filled it.
        locked(self.store).refresh()?;
        let samples = self.missing(shard);
        Ok((!samples.is_empty()).then_some(Shard { lease, samples }))
    }
}

impl<'a> Iterator for Shards<'a> {
    type Item = Result<Shard<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((number, shard)) = self.shards.next() {
            match self.lease(number, shard) {
                Ok(None) => {}
                Ok(Some(shard)) => return Some(Ok(shard)),
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}
