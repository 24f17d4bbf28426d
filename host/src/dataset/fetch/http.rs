//! One file over HTTP, resumed after each break.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    path::Path,
    time::Duration,
};

use ureq::{Agent, Body, http::Response};

use crate::error::{Error, Result};

/// Attempts in a row that may bring nothing.
const ATTEMPTS: u32 = 5;

/// Pause before the second attempt; each further one waits twice as long.
const PAUSE: Duration = if cfg!(test) { Duration::from_millis(1) } else { Duration::from_secs(1) };

/// A connection that brings nothing for this long is broken.
const SILENCE: Duration = Duration::from_secs(60);

/// Downloads to `part`, beginning where an earlier download to it ended.
pub fn download(url: &str, token: Option<&str>, part: &Path, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<()> {
    let agent = agent();
    let mut fruitless = 0;
    loop {
        let before = length(part);
        match attempt(&agent, url, token, part, progress) {
            Ok(()) => return Ok(()),
            Err(Trouble::Final(error)) => return Err(error),
            Err(Trouble::Passing(cause)) => {
                fruitless = if length(part) > before { 1 } else { fruitless + 1 };
                if fruitless >= ATTEMPTS {
                    return Err(Error::failed(format!("{url}: {cause}; run the same command again to go on")));
                }
                tracing::info!("{url}: {cause}; trying again");
                std::thread::sleep(PAUSE * 2u32.pow(fruitless - 1));
            }
        }
    }
}

/// The text of a small answer.
pub fn text(url: &str, token: Option<&str>) -> Result<String> {
    let mut response = request(&agent(), url, token, 0).map_err(|e| Error::failed(format!("{url}: {e}")))?;
    match response.status().as_u16() {
        200 => response.body_mut().read_to_string().map_err(|e| Error::failed(format!("{url}: {e}"))),
        status => Err(refused(url, status)),
    }
}

enum Trouble {
    /// Another attempt may succeed.
    Passing(String),
    Final(Error),
}

fn attempt(
    agent: &Agent,
    url: &str,
    token: Option<&str>,
    part: &Path,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> std::result::Result<(), Trouble> {
    let have = length(part);
    let response = request(agent, url, token, have).map_err(|e| match e {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => Trouble::Final(Error::failed(format!("{url}: {e}"))),
        e => Trouble::Passing(e.to_string()),
    })?;
    let (begin, total) = match (response.status().as_u16(), content_range(&response)) {
        (200, _) => (0, response.body().content_length()),
        (206, Some((Some(begin), total))) if begin == have => (have, total),
        (416, Some((_, Some(total)))) if total == have => return Ok(()),
        // What is there is no beginning of what the server has now.
        (206 | 416, _) => {
            std::fs::remove_file(part).map_err(|e| Trouble::Final(Error::io(part)(e)))?;
            return Err(Trouble::Passing("the file has changed on the server".into()));
        }
        (status @ (408 | 429 | 500..=599), _) => return Err(Trouble::Passing(format!("the server answers {status}"))),
        (status, _) => return Err(Trouble::Final(refused(url, status))),
    };
    let mut file = open(part, begin).map_err(|e| Trouble::Final(Error::io(part)(e)))?;
    let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
    let mut chunk = vec![0; 1 << 18];
    let mut done = begin;
    progress(done, total);
    loop {
        let count =
            body.read(&mut chunk).map_err(|e| Trouble::Passing(format!("broke off after {done} bytes: {e}")))?;
        if count == 0 {
            break;
        }
        file.write_all(&chunk[..count]).map_err(|e| Trouble::Final(Error::io(part)(e)))?;
        done += count as u64;
        progress(done, total);
    }
    match total {
        Some(total) if done < total => Err(Trouble::Passing(format!("broke off after {done} of {total} bytes"))),
        _ => file.sync_all().map_err(|e| Trouble::Final(Error::io(part)(e))),
    }
}

fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(SILENCE))
        .timeout_per_read(Some(SILENCE))
        .user_agent(concat!("medvlm/", env!("CARGO_PKG_VERSION")));
    config.build().into()
}

fn request(
    agent: &Agent,
    url: &str,
    token: Option<&str>,
    have: u64,
) -> std::result::Result<Response<Body>, ureq::Error> {
    let mut request = agent.get(url);
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    request.call()
}

fn refused(url: &str, status: u16) -> Error {
    let hint = match status {
        401 | 403 => "; it needs a token with access, in HF_TOKEN",
        _ => "",
    };
    Error::failed(format!("{url}: the server answers {status}{hint}"))
}

/// First position and length of the whole of `bytes 7-99/100`, or the length alone of `bytes */100`.
fn content_range(response: &Response<Body>) -> Option<(Option<u64>, Option<u64>)> {
    let (range, total) =
        response.headers().get("Content-Range")?.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-').and_then(|(begin, _)| begin.parse().ok()), total.parse().ok()))
}

fn open(part: &Path, begin: u64) -> std::io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(part)?;
    file.set_len(begin)?;
    Ok(file)
}

fn length(part: &Path) -> u64 {
    part.metadata().map_or(0, |metadata| metadata.len())
}
