//! Models that are not built in: pulled from a hub on this machine, looked into, and drawn with.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};

use crate::{Desk, read};

const REPOSITORY: &str = "Wan-AI/Wan2.1-T2V-1.3B-Diffusers";
const WEIGHTS: &str = "transformer/diffusion_pytorch_model.safetensors";

/// A hub that holds one repository.
#[derive(Clone)]
struct Hub {
    address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    /// Entries that are listed beside the files, as JSON.
    listed: Vec<serde_json::Value>,
    /// After how many bytes of the weights the connection breaks, once.
    breaks_after: Option<usize>,
    /// Bytes that are sent are not those that were hashed.
    lies: bool,
    /// Whether ranges are ignored.
    whole_only: bool,
    requests: Vec<String>,
}

impl Hub {
    /// The small model that the tests of `diffusion` have.
    fn with_model() -> Self {
        let mut files = BTreeMap::new();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../diffusion/tests/fixtures/wan21-t2v");
        collect(&folder, "", &mut files);
        files.retain(|path, _| !path.starts_with("expected") && !path.starts_with("original"));
        files.insert("README.md".into(), b"not needed".to_vec());
        files.insert("vae/old.pth".into(), b"a pickle".to_vec());
        Self::serving(State { files, ..State::default() })
    }

    fn serving(state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let hub = Self { address, state: Arc::new(Mutex::new(state)) };
        let serving = hub.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that hangs up is no failure of the hub.
                let _ = serving.answer(stream.unwrap());
            }
        });
        hub
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    fn requests(&self, part: &str) -> Vec<String> {
        self.state.lock().unwrap().requests.iter().filter(|request| request.contains(part)).cloned().collect()
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        let mut from = None;
        for line in lines {
            let line = line?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            from = from.or_else(|| line.strip_prefix("range: bytes=")?.trim_end_matches('-').parse::<usize>().ok());
        }
        let mut state = self.state.lock().unwrap();
        state.requests.push(format!("{request} from {from:?}"));
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        if path == format!("/api/models/{REPOSITORY}/tree/main?recursive=true") {
            let list = serde_json::to_vec(&state.list()).unwrap();
            return respond(&mut stream, "200 OK", "", &list, list.len());
        }
        // Large files lie elsewhere.
        if let Some(rest) = path.strip_prefix(&format!("/{REPOSITORY}/resolve/main/")) {
            if rest.ends_with(".safetensors") {
                let location = format!("location: /elsewhere/{rest}\r\n");
                return respond(&mut stream, "302 Found", &location, b"", 0);
            }
            let file = state.files.get(rest).cloned().unwrap_or_default();
            return respond(&mut stream, "200 OK", "", &file, file.len());
        }
        let Some(name) = path.strip_prefix("/elsewhere/") else {
            return respond(&mut stream, "404 Not Found", "", b"", 0);
        };
        let mut file = state.files[name].clone();
        if state.lies && name == WEIGHTS {
            *file.last_mut().unwrap() ^= 1;
        }
        let (length, from) = (file.len(), if state.whole_only { None } else { from });
        let body = &file[from.unwrap_or(0)..];
        let mut sent = body.len();
        if name == WEIGHTS {
            sent = sent.min(state.breaks_after.take().unwrap_or(usize::MAX));
        }
        match from {
            Some(from) => {
                let range = format!("content-range: bytes {from}-{}/{length}\r\n", length - 1);
                respond(&mut stream, "206 Partial Content", &range, &body[..sent], body.len())
            }
            None => respond(&mut stream, "200 OK", "", &body[..sent], body.len()),
        }
    }
}

impl State {
    fn list(&self) -> Vec<serde_json::Value> {
        let entry = |(path, bytes): (&String, &Vec<u8>)| {
            let mut entry =
                serde_json::json!({ "type": "file", "path": path, "size": bytes.len(), "oid": git_oid(bytes) });
            if path.ends_with(".safetensors") {
                let hash = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                entry["lfs"] = serde_json::json!({ "oid": hash, "size": bytes.len(), "pointerSize": 134 });
            }
            entry
        };
        let folder = serde_json::json!({ "type": "directory", "path": "vae", "size": 0, "oid": "0" });
        self.files.iter().map(entry).chain([folder]).chain(self.listed.clone()).collect()
    }
}

fn respond(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8], length: usize) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n")?;
    stream.write_all(body)?;
    stream.flush()
}

/// Git's name for a file's bytes.
fn git_oid(bytes: &[u8]) -> String {
    let whole = [format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat();
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &whole);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            collect(&path, &format!("{name}/"), files);
        } else {
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
}

fn pull(hub: &Hub) -> [&str; 5] {
    ["models", "pull", "wan2.1-t2v-1.3b", "--hub", &hub.address]
}

#[test]
fn a_model_is_pulled_looked_into_and_drawn_with() {
    let (desk, hub) = (Desk::new(), Hub::with_model());
    let message = desk.fail(2, &["generate", "a boat", "--model", "wan2.1-t2v-1.3b", "-o", "x.mp4"]);
    assert!(message.contains("misora models pull wan2.1-t2v-1.3b"), "{message}");
    assert!(desk.succeed(&["models", "list"]).contains("wan2.1-t2v-1.3b        not here"));

    // The connection breaks in the middle of the weights; the second time the rest is asked for.
    hub.change(|state| state.breaks_after = Some(50_000));
    let message = desk.fail(1, &pull(&hub));
    assert!(message.contains(WEIGHTS), "{message}");
    desk.succeed(&pull(&hub));
    let asked = hub.requests("/elsewhere/transformer");
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[0].ends_with("from None") && asked[1].ends_with("from Some(50000)"), "{asked:?}");
    assert!(hub.requests("pth").is_empty() && hub.requests("README").is_empty());
    // What is here is not asked for again.
    desk.succeed(&pull(&hub));
    assert_eq!(hub.requests("/elsewhere/transformer").len(), 2);
    let folder = desk.path("home/models/wan2.1-t2v-1.3b");
    assert!(!folder.join("vae/old.pth").exists());

    assert!(desk.succeed(&["models", "list"]).contains("wan2.1-t2v-1.3b        here"));
    let told = desk.succeed(&["models", "inspect", "wan2.1-t2v-1.3b"]);
    assert!(told.contains("Wan 2.1 text to video") && told.contains("nothing is missing"), "{told}");

    let output = desk.run(&[
        "generate",
        "a red boat",
        "--model",
        "wan2.1-t2v-1.3b",
        "--size",
        "144x80",
        "--steps",
        "1",
        "--seed",
        "4",
        "-o",
        "w.mp4",
        "--precision",
        "bf16",
    ]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{message}");
    assert!(message.contains("144×80, 65 frames: needs ") && message.contains("in bf16"), "{message}");
    let clip = read(&desk.path("w.mp4"));
    assert_eq!((clip.frames().len(), clip.frame_rate().as_f64()), (64, 16.0));
    let verified = desk.succeed(&["verify", "w.mp4", "--json"]);
    assert!(verified.contains("wan2.1-t2v-1.3b"), "{verified}");

    let model = ["generate", "a red boat", "--model", "wan2.1-t2v-1.3b", "-o", "x.mp4"];
    let message = desk.fail(2, &[&model[..], &["--candidates", "2"]].concat());
    assert!(message.contains("nothing that could choose"), "{message}");

    // A file that was cut is named.
    let weights = folder.join(WEIGHTS);
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..1000]).unwrap();
    let message = desk.fail(1, &["models", "inspect", "wan2.1-t2v-1.3b"]);
    assert!(message.contains(WEIGHTS) && message.contains("damaged"), "{message}");
    // And pulling mends it.
    desk.succeed(&pull(&hub));
    assert_eq!(std::fs::read(&weights).unwrap(), bytes);
}

#[test]
fn bytes_that_are_not_what_the_hub_said_are_thrown_away() {
    let (desk, hub) = (Desk::new(), Hub::with_model());
    hub.change(|state| state.lies = true);
    let message = desk.fail(1, &pull(&hub));
    assert!(message.contains(WEIGHTS) && message.contains("thrown away"), "{message}");
    let folder = desk.path("home/models/wan2.1-t2v-1.3b");
    assert!(!folder.join(WEIGHTS).exists() && !folder.join(format!("{WEIGHTS}.part")).exists());
    assert!(desk.succeed(&["models", "list"]).contains("wan2.1-t2v-1.3b        not here"));
    // A hub that knows no ranges sends all of it again.
    hub.change(|state| {
        state.lies = false;
        state.whole_only = true;
        state.breaks_after = Some(9);
    });
    desk.fail(1, &pull(&hub));
    desk.succeed(&pull(&hub));
}

#[test]
fn what_leads_out_of_the_folder_is_refused_before_anything_is_pulled() {
    let (desk, hub) = (Desk::new(), Hub::with_model());
    let hash = "0".repeat(40);
    for path in ["../escaped.json", "/tmp/escaped.json", "vae/../../escaped.json", "a\\b.json", "misora-pulled.json"] {
        hub.change(|state| {
            state.listed = vec![serde_json::json!({ "type": "file", "path": path, "size": 2, "oid": hash })];
        });
        let message = desk.fail(1, &pull(&hub));
        assert!(message.contains("does not stay in the model's folder"), "{message}");
    }
    hub.change(|state| state.listed = vec![serde_json::json!({ "type": "file", "path": "x.json", "size": 2 })]);
    assert!(desk.fail(1, &pull(&hub)).contains("no hash"));
    assert!(!desk.path("home/models").exists());
    assert!(hub.requests("resolve").is_empty());
}

#[test]
fn weights_that_are_pickles_alone_are_refused() {
    let (desk, hub) = (Desk::new(), Hub::with_model());
    hub.change(|state| {
        let names: Vec<String> = state.files.keys().filter(|path| path.ends_with(".safetensors")).cloned().collect();
        for name in names {
            let bytes = state.files.remove(&name).unwrap();
            state.files.insert(name.replace(".safetensors", ".bin"), bytes);
        }
    });
    let message = desk.fail(1, &pull(&hub));
    assert!(message.contains("pickles") && message.contains("-Diffusers"), "{message}");
    assert!(!desk.path("home/models").exists());
}

#[test]
fn names_that_mean_nothing_are_told() {
    let desk = Desk::new();
    assert!(desk.fail(2, &["models", "pull", "wan9"]).contains("misora models list"));
    assert!(desk.fail(2, &["models", "pull", "a/../b", "--hub", "http://127.0.0.1:9"]).contains("OWNER/NAME"));
    assert!(desk.fail(2, &["models", "pull", "a/b", "--hub", "http://example.org"]).contains("https is needed"));
    assert!(desk.fail(2, &["models", "inspect", "nowhere"]).contains("neither a model folder"));
    assert!(desk.fail(2, &["generate", "a boat", "--shift", "3", "-o", "x.mp4"]).contains("open weights"));
    assert!(desk.fail(2, &["generate", "a boat", "--precision", "int8", "-o", "x.mp4"]).contains("open weights"));
    std::fs::create_dir(desk.path("empty")).unwrap();
    assert!(desk.fail(1, &["models", "inspect", "empty"]).contains("there is no transformer in it"));
}
