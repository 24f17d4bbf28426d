//! Downloads from a server on this machine that breaks, lies and refuses on request.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use super::*;

/// How the server answers one request for a file.
#[derive(Clone, Copy)]
enum Answer {
    /// As asked, honouring ranges.
    Well,
    /// As asked, but the connection ends after so many bytes of the body.
    Cut(usize),
    /// The whole file, whatever the range.
    Whole,
    Status(u16),
}

struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

/// Serves files by path; answers beyond the script are [`Answer::Well`].
fn serve(files: &[(&str, &[u8])], script: &[Answer]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let files: BTreeMap<String, Vec<u8>> =
        files.iter().map(|(path, bytes)| (path.to_string(), bytes.to_vec())).collect();
    let mut script: VecDeque<Answer> = script.iter().copied().collect();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let log = requests.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = script.pop_front().unwrap_or(Answer::Well);
            reply(stream.expect("connected"), &files, answer, &log);
        }
    });
    Server { address, requests }
}

/// Answers one request and closes the connection.
fn reply(mut stream: TcpStream, files: &BTreeMap<String, Vec<u8>>, answer: Answer, log: &Mutex<Vec<String>>) {
    let lines = BufReader::new(stream.try_clone().expect("cloned")).lines();
    let head: Vec<String> = lines.map(|line| line.expect("text")).take_while(|line| !line.is_empty()).collect();
    let header = |name: &str| {
        head.iter().find_map(|line| Some(line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name))?.1))
    };
    let path = head[0].split(' ').nth(1).expect("a path");
    let range =
        header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let token = header("authorization").unwrap_or("-");
    log.lock().expect("log").push(format!("{path} {} {token}", range.map_or("-".into(), |n| n.to_string())));
    let Some(file) = files.get(path) else {
        write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").expect("sent");
        return;
    };
    let begin = range.filter(|_| !matches!(answer, Answer::Whole)).unwrap_or(0);
    let (status, extra) = match (answer, begin) {
        (Answer::Status(status), _) => (status, String::new()),
        (_, 0) => (200, String::new()),
        (_, begin) if begin >= file.len() => (416, format!("Content-Range: bytes */{}\r\n", file.len())),
        (_, begin) => (206, format!("Content-Range: bytes {begin}-{}/{}\r\n", file.len() - 1, file.len())),
    };
    let body = if matches!(status, 200 | 206) { &file[begin..] } else { &[] };
    write!(stream, "HTTP/1.1 {status} X\r\n{extra}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())
        .expect("sent");
    let count = if let Answer::Cut(count) = answer { count.min(body.len()) } else { body.len() };
    stream.write_all(&body[..count]).expect("sent");
}

impl Server {
    fn log(&self) -> Vec<String> {
        self.requests.lock().expect("log").clone()
    }
}

const FILE: &[u8] = b"The quick brown fox jumps over the lazy dog";
const MD5: &str = "9e107d9d372bb6826bd81d3542a419d6";

fn manifest(dir: &Path, access: &str, extra: &str) -> Manifest {
    let text = format!(
        "title = 't'\ncitation = 'c'\nlicence = 'l'\naccess = '{access}'\nobtain = 'ask the author'\nreader = 'npz'\n\
         any_of = ['a_64.npz', 'a.npz']\ncaption = {{ report = 'label', prompt = 'p' }}\nsplits.test = {{}}\n{extra}\n"
    );
    std::fs::write(dir.join("tiny.toml"), text).expect("written");
    Manifest::load(&dir.join("tiny.toml")).expect("valid")
}

fn mirrored(dir: &Path, server: &Server, md5: &str) -> Manifest {
    let address = &server.address;
    let extra = format!(
        "[checksums]\n'a_64.npz' = {{ md5 = '{md5}' }}\n[[download]]\nsize = 64\nfile = 'a_64.npz'\nurl = '{address}/64?download=1'\n\
         [[download]]\nsize = 28\nfile = 'a.npz'\nurl = '{address}/28'\n"
    );
    manifest(dir, "open", &extra)
}

fn get(manifest: &Manifest, dir: &Path, size: Option<u32>) -> Result<Vec<PathBuf>> {
    fetch(manifest, &dir.join("copy"), size, &HubAccess::default(), &mut |_, _, _| {})
}

#[test]
fn a_broken_connection_goes_on_where_it_ended() {
    let dir = tempfile::tempdir().expect("directory");
    let server =
        serve(&[("/64?download=1", FILE)], &[Answer::Cut(10), Answer::Status(503), Answer::Cut(7), Answer::Well]);
    let manifest = mirrored(dir.path(), &server, MD5);
    let mut seen = Vec::new();
    let files = fetch(&manifest, &dir.path().join("copy"), None, &HubAccess::default(), &mut |file, done, total| {
        seen.push((file.to_string(), done, total));
    });
    assert_eq!(files.expect("fetched"), [dir.path().join("copy/a_64.npz")]);
    assert_eq!(std::fs::read(dir.path().join("copy/a_64.npz")).expect("read"), FILE);
    let starts = ["-", "10", "10", "17"].map(|start| format!("/64?download=1 {start} -"));
    assert_eq!(server.log(), starts);
    assert_eq!(seen.last(), Some(&("a_64.npz".to_string(), 43, Some(43))));
    assert!(seen.contains(&("a_64.npz".to_string(), 17, Some(43))), "{seen:?}");

    get(&manifest, dir.path(), None).expect("already there");
    assert_eq!(server.log().len(), 4, "what is there is not downloaded again");
}

#[test]
fn a_download_of_an_earlier_day_goes_on_or_begins_anew() {
    let dir = tempfile::tempdir().expect("directory");
    let begin = |bytes: &[u8]| {
        std::fs::create_dir_all(dir.path().join("copy")).expect("created");
        let _ = std::fs::remove_file(dir.path().join("copy/a_64.npz"));
        std::fs::write(dir.path().join("copy/a_64.npz.part"), bytes).expect("written");
    };
    let too_long = [FILE, FILE].concat();
    let cases: [(&[u8], &[Answer], &[&str]); 4] = [
        (&FILE[..20], &[], &["20"]),
        (&FILE[..20], &[Answer::Whole], &["20"]),
        (FILE, &[], &["43"]),
        (&too_long, &[], &["86", "-"]),
    ];
    for (part, script, starts) in cases {
        begin(part);
        let server = serve(&[("/64?download=1", FILE)], script);
        get(&mirrored(dir.path(), &server, MD5), dir.path(), None).expect("fetched");
        assert_eq!(std::fs::read(dir.path().join("copy/a_64.npz")).expect("read"), FILE);
        assert_eq!(server.log(), starts.iter().map(|start| format!("/64?download=1 {start} -")).collect::<Vec<_>>());
    }
}

#[test]
fn a_wrong_checksum_is_never_kept() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(&[("/64?download=1", FILE)], &[]);
    let manifest = mirrored(dir.path(), &server, "00000000000000000000000000000000");
    let error = get(&manifest, dir.path(), Some(64)).expect_err("refused").to_string();
    assert!(error.contains(&format!("md5 is {MD5}, published is 0000")), "{error}");
    assert!(error.ends_with("the download was discarded"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path().join("copy")).expect("listed").count(), 0);
    std::fs::write(dir.path().join("copy/a_64.npz"), "old").expect("written");
    let error = get(&manifest, dir.path(), Some(64)).expect_err("refused").to_string();
    assert!(error.ends_with("remove the file, and it will be downloaded again"), "{error}");
}

#[test]
fn a_server_that_brings_nothing_or_refuses_ends_the_download() {
    let dir = tempfile::tempdir().expect("directory");
    let server = serve(&[("/64?download=1", FILE)], &[Answer::Status(500); 9]);
    let error = get(&mirrored(dir.path(), &server, MD5), dir.path(), None).expect_err("refused").to_string();
    assert!(error.ends_with("the server answers 500; run the same command again to go on"), "{error}");
    assert_eq!(server.log().len(), 5);
    let error = get(&mirrored(dir.path(), &server, MD5), dir.path(), Some(28)).expect_err("absent").to_string();
    assert!(error.ends_with("/28: the server answers 404"), "{error}");
    let error = get(&mirrored(dir.path(), &server, MD5), dir.path(), Some(99)).expect_err("no such size").to_string();
    assert_eq!(error, "dataset `tiny` does not come in size 99: it comes in 64, 28");
}

#[test]
fn gated_datasets_are_refused_with_instructions() {
    let dir = tempfile::tempdir().expect("directory");
    let error = get(&manifest(dir.path(), "agreement", ""), dir.path(), None).expect_err("gated");
    assert_eq!(error.exit_code(), crate::error::USAGE);
    let expected = "dataset `tiny` is given only to people who accept its terms, never to a program: ask the author";
    assert_eq!(error.to_string(), expected);
    let error = get(&manifest(dir.path(), "open", ""), dir.path(), None).expect_err("no download").to_string();
    assert_eq!(error, "dataset `tiny` has no download that a program can use: ask the author");
}

fn of_hub(dir: &Path) -> Manifest {
    let text = "title = 't'\ncitation = 'c'\nlicence = 'l'\naccess = 'open'\nobtain = 'o'\nreader = 'parquet'\n\
                fields = { image = 'image' }\ncaption = { report = 'a', prompt = 'p' }\n\
                splits.test.files = ['data/test-*.parquet']\nhub = { repo = 'me/tiny', revision = 'main' }\n";
    std::fs::write(dir.join("tiny.toml"), text).expect("written");
    Manifest::load(&dir.join("tiny.toml")).expect("valid")
}

#[test]
fn the_hub_tells_files_and_checksums_and_gets_the_token() {
    let dir = tempfile::tempdir().expect("directory");
    let sha256 = "d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592";
    let list = format!(
        r#"[{{"type":"directory","path":"data"}},{{"type":"file","path":"README.md","size":1}},
        {{"type":"file","path":"data/test-0.parquet","size":43,"lfs":{{"oid":"{sha256}","size":43}}}}]"#
    );
    let tree = "/api/datasets/me/tiny/tree/main?recursive=true";
    let file = "/datasets/me/tiny/resolve/main/data/test-0.parquet";
    let server = serve(&[(tree, list.as_bytes()), (file, FILE)], &[]);
    let hub = HubAccess { endpoint: server.address.clone(), token: Some("secret".into()), ..HubAccess::default() };
    let manifest = of_hub(dir.path());
    let copy = dir.path().join("copy");
    let files = fetch(&manifest, &copy, None, &hub, &mut |_, _, _| {}).expect("fetched");
    assert_eq!(files, [copy.join("data/test-0.parquet")]);
    assert_eq!(server.log(), [tree, file].map(|path| format!("{path} - Bearer secret")));
    let broken = serve(&[(tree, list.as_bytes()), (file, b"another file")], &[]);
    let hub = HubAccess { endpoint: broken.address.clone(), ..hub };
    let error =
        fetch(&manifest, &dir.path().join("b"), None, &hub, &mut |_, _, _| {}).expect_err("differs").to_string();
    assert!(error.contains("sha256 is ") && !error.contains("secret"), "{error}");
}

#[test]
fn archives_of_the_hub_are_unpacked_beside_the_data() {
    let dir = tempfile::tempdir().expect("directory");
    let text = "title = 't'\ncitation = 'c'\nlicence = 'l'\naccess = 'open'\nobtain = 'o'\nreader = 'json'\n\
                files = ['test.json']\nfields = { image = 'img' }\ncaption = { report = 'a', prompt = 'p' }\nsplits.test = {}\n\
                hub = { repo = 'me/tiny', revision = 'main' }\nunpack = { 'imgs.zip' = 'pictures' }\n";
    std::fs::write(dir.path().join("tiny.toml"), text).expect("written");
    let manifest = Manifest::load(&dir.path().join("tiny.toml")).expect("valid");
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("imgs/a.png", zip::write::SimpleFileOptions::default()).expect("begun");
    writer.write_all(b"a picture").expect("written");
    let archive = writer.finish().expect("finished").into_inner();
    let list = br#"[{"type":"file","path":"test.json"},{"type":"file","path":"imgs.zip"},{"type":"file","path":"x"}]"#;
    let (tree, files) = ("/api/datasets/me/tiny/tree/main?recursive=true", "/datasets/me/tiny/resolve/main");
    let (table, images) = (format!("{files}/test.json"), format!("{files}/imgs.zip"));
    let server = serve(&[(tree, list), (&table, b"[]"), (&images, &archive)], &[]);
    let hub = HubAccess { endpoint: server.address.clone(), ..HubAccess::default() };
    let copy = dir.path().join("copy");
    for _ in 0..2 {
        let found = fetch(&manifest, &copy, None, &hub, &mut |_, _, _| {}).expect("fetched");
        assert_eq!(found, [copy.join("test.json"), copy.join("imgs.zip")]);
        assert_eq!(std::fs::read(copy.join("pictures/imgs/a.png")).expect("unpacked"), b"a picture");
    }
    assert_eq!(server.log().len(), 4, "files are downloaded once");
}

#[test]
fn offline_only_the_local_cache_of_the_hub_serves() {
    let dir = tempfile::tempdir().expect("directory");
    let manifest = of_hub(dir.path());
    let cache = dir.path().join("cache");
    let hub = HubAccess { offline: true, cache: Some(cache.clone()), ..HubAccess::default() };
    let copy = dir.path().join("copy");
    let error = fetch(&manifest, &copy, None, &hub, &mut |_, _, _| {}).expect_err("offline").to_string();
    assert_eq!(error, "HF_HUB_OFFLINE is set, and the local cache lacks files of `me/tiny` (data/test-*.parquet)");
    let repository = cache.join("datasets--me--tiny");
    std::fs::create_dir_all(repository.join("snapshots/abc/data")).expect("created");
    std::fs::create_dir_all(repository.join("refs")).expect("created");
    std::fs::write(repository.join("refs/main"), "abc\n").expect("written");
    std::fs::write(repository.join("snapshots/abc/data/test-0.parquet"), FILE).expect("written");
    fetch(&manifest, &copy, None, &hub, &mut |_, _, _| {}).expect("cached");
    assert_eq!(std::fs::read(copy.join("data/test-0.parquet")).expect("read"), FILE);
}

#[test]
fn no_name_leads_out_of_the_root() {
    for name in ["../a", "/a", "a/../../b"] {
        assert!(inside(Path::new("root"), name).is_err(), "{name}");
    }
}
