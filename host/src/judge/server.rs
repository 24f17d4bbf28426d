//! A chat endpoint of one thread for each connection, for tests: it answers as it is told, and counts.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// What the server says to request number `n`: the whole response, or nothing to hang up.
pub type Say = dyn Fn(usize, &str) -> Option<String> + Send + Sync;

pub struct Server {
    pub base: String,
    pub requests: Arc<AtomicUsize>,
    pub most_at_once: Arc<AtomicUsize>,
}

/// A response with a status line, headers and a body.
pub fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A completion with this text.
pub fn completion(text: &str) -> String {
    let body = serde_json::json!({
        "model": "m-2024", "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5}
    });
    response("200 OK", "", &body.to_string())
}

impl Server {
    pub fn start(say: impl Fn(usize, &str) -> Option<String> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let base = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let (requests, most_at_once) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, most, say): (_, _, Arc<Say>) = (requests.clone(), most_at_once.clone(), Arc::new(say));
        let at_once = Arc::new(AtomicUsize::new(0));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (count, most, at_once, say) = (count.clone(), most.clone(), at_once.clone(), say.clone());
                thread::spawn(move || serve(stream, &count, &most, &at_once, &*say));
            }
        });
        Self { base, requests, most_at_once }
    }

    pub fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn serve(stream: TcpStream, count: &AtomicUsize, most: &AtomicUsize, at_once: &AtomicUsize, say: &Say) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let answer = say(count.fetch_add(1, Ordering::SeqCst), &String::from_utf8_lossy(&body));
        at_once.fetch_sub(1, Ordering::SeqCst);
        match answer {
            Some(answer) if writer.write_all(answer.as_bytes()).is_ok() => {}
            _ => return,
        }
    }
}
