//! Answers of earlier runs on this machine, by endpoint and request. It saves money and never decides anything: what a run
//! is scored from is its own evidence. A cache that cannot be used is a warning.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, params};

use super::{Endpoint, Reply};

pub(super) struct Cache(Mutex<Connection>);

impl Cache {
    /// Opens or creates the cache; none, with a warning, where that cannot be done.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let warn =
            |e: &dyn std::fmt::Display| tracing::warn!("{}: judges' answers are not cached: {e}", path.display());
        if let Some(Err(e)) = path.parent().map(std::fs::create_dir_all) {
            warn(&e);
            return None;
        }
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(path)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.execute(
                "CREATE TABLE IF NOT EXISTS reply (endpoint TEXT, request TEXT, reply TEXT NOT NULL, PRIMARY KEY (endpoint, request))",
                [],
            )?;
            Ok(connection)
        };
        open().map_err(|e| warn(&e)).ok().map(|connection| Self(Mutex::new(connection)))
    }

    pub(super) fn get(&self, endpoint: &Endpoint, key: &str) -> Option<Reply> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let row = params![endpoint.to_string(), key];
        let found = connection
            .query_row("SELECT reply FROM reply WHERE endpoint = ?1 AND request = ?2", row, |row| {
                row.get::<_, String>(0)
            })
            .optional();
        let text = found.map_err(|e| tracing::warn!("the cache of judges' answers cannot be read: {e}")).ok()??;
        // An entry of another version is no entry.
        serde_json::from_str(&text).ok()
    }

    pub(super) fn put(&self, endpoint: &Endpoint, key: &str, reply: &Reply) {
        let Ok(text) = serde_json::to_string(reply) else { return };
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let row = params![endpoint.to_string(), key, text];
        if let Err(e) = connection.execute("INSERT OR IGNORE INTO reply VALUES (?1, ?2, ?3)", row) {
            tracing::warn!("the cache of judges' answers cannot be written: {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_by_endpoint_and_request() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("deep/judge.sqlite");
        let [here, there] =
            ["http://localhost:1", "http://localhost:2"].map(|base| Endpoint::parse(base).expect("valid"));
        let reply = Reply { text: "7".into(), ..Reply::default() };
        Cache::open(&path).expect("opens").put(&here, "k", &reply);
        let cache = Cache::open(&path).expect("opens again");
        assert_eq!(cache.get(&here, "k"), Some(reply));
        assert_eq!((cache.get(&there, "k"), cache.get(&here, "l")), (None, None));
    }

    #[test]
    fn a_file_that_is_no_cache_is_not_used() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("judge.sqlite");
        std::fs::write(&path, "no database at all, but long enough to be told apart from one").expect("writable");
        assert!(Cache::open(&path).is_none());
    }
}
