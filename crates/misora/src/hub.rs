//! Models from a hub: what it says a repository holds, and the files, checked against what it says.
//!
//! Nothing it says is believed beyond that: paths stay in the folder, pickles are never fetched, and a file takes its place
//! when its length and its hash are right. What was begun is gone on with.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::output::usage;

/// Where models are published, unless --hub says otherwise.
pub(crate) const HUB: &str = "https://huggingface.co";

/// Longest answer to what a repository holds.
const MOST_LISTED_BYTES: usize = 16 << 20;
/// Most pages of it.
const MOST_PAGES: usize = 20;
/// Largest file of a model.
const MOST_FILE_BYTES: u64 = 200 << 30;
/// Longest path in a repository.
const MOST_PATH_BYTES: usize = 200;
/// Redirects that are followed to where a hub keeps its files.
const MOST_REDIRECTS: usize = 5;
/// Endings of what a model is made of.
const WANTED: [&str; 4] = ["json", "safetensors", "gguf", "txt"];
/// Endings of what could run a program when it is read.
const PICKLES: [&str; 6] = ["bin", "pt", "pth", "ckpt", "pkl", "pickle"];

/// A repository on a hub.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    pub hub: Url,
    /// `OWNER/NAME`.
    pub name: String,
    /// A branch, a tag or a commit.
    pub revision: String,
}

/// One file of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HubFile {
    /// Its path in the repository, and in the folder.
    pub path: String,
    /// Its length.
    pub size: u64,
    /// SHA-256, for large files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The hash that git has for it, for small ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_oid: Option<String>,
}

/// What was pulled, written beside it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pulled {
    /// `OWNER/NAME`.
    pub repository: String,
    /// As it was asked for.
    pub revision: String,
    /// All files.
    pub files: Vec<HubFile>,
}

/// The name of the file that says what was pulled.
pub(crate) const PULLED: &str = "misora-pulled.json";

#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    oid: Option<String>,
    #[serde(default)]
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

impl Repository {
    /// Reads the address of a hub and the name of a repository.
    ///
    /// # Errors
    /// If one of them is none.
    pub(crate) fn new(hub: &str, name: &str, revision: &str) -> Result<Self> {
        let hub = Url::parse(hub).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
        let hub = hub.ok_or_else(|| usage("--hub is the address of a hub, such as https://hub.example.org"))?;
        check_transport(&hub)?;
        let plain = |part: &str| {
            let letters = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            letters && !part.is_empty() && part.len() <= 96 && !part.starts_with('.')
        };
        if !matches!(name.split('/').collect::<Vec<_>>()[..], [owner, name] if plain(owner) && plain(name)) {
            return Err(usage(format!("{name:?} is no repository: one is OWNER/NAME")));
        }
        if !revision.split('/').all(plain) {
            return Err(usage(format!("{revision:?} is no revision")));
        }
        Ok(Self { hub, name: name.to_owned(), revision: revision.to_owned() })
    }

    fn url(&self, parts: &[&str]) -> Result<Url> {
        let mut url = self.hub.clone();
        let mut path = url.path_segments_mut().map_err(|()| usage("--hub is no address"))?;
        path.pop_if_empty().extend(parts);
        drop(path);
        Ok(url)
    }

    /// What a model of this repository is made of, every path checked.
    ///
    /// # Errors
    /// If the hub does not answer as one, a path leaves the folder, or the weights are pickles alone.
    pub(crate) async fn files(&self, client: &Client) -> Result<Vec<HubFile>> {
        let mut listed: Vec<Listed> = Vec::new();
        let mut parts = vec!["api", "models"];
        parts.extend(self.name.split('/'));
        parts.extend(["tree", &self.revision]);
        let mut url = self.url(&parts)?;
        url.set_query(Some("recursive=true"));
        for _ in 0..MOST_PAGES {
            let response = get(client, url.clone(), None).await?;
            let next = next_page(&response, &url)?;
            let bytes = whole(response, MOST_LISTED_BYTES).await?;
            let page: Vec<Listed> =
                serde_json::from_slice(&bytes).context("the hub's list of files is none: is --hub right?")?;
            listed.extend(page);
            match next {
                Some(next) => url = next,
                None => return wanted(&self.name, listed),
            }
        }
        bail!("the hub's list of files does not end")
    }

    /// Brings a repository's files into a folder. `progress` is told of the bytes that came, and of the file they belong to.
    ///
    /// # Errors
    /// If the network fails, or a file is not what the hub said; what came whole stays, and the next call goes on from there.
    pub(crate) async fn pull(
        &self,
        client: &Client,
        files: &[HubFile],
        folder: &Path,
        progress: &mut dyn FnMut(&HubFile, u64),
    ) -> Result<()> {
        for file in files {
            let target = folder.join(&file.path);
            if is_whole(&target, file)? {
                progress(file, file.size);
                continue;
            }
            self.pull_file(client, file, &target, progress)
                .await
                .with_context(|| format!("{} could not be pulled", file.path))?;
        }
        let pulled = Pulled { repository: self.name.clone(), revision: self.revision.clone(), files: files.to_vec() };
        crate::output::write_whole(&folder.join(PULLED), &serde_json::to_vec_pretty(&pulled)?)
    }

    async fn pull_file(
        &self,
        client: &Client,
        file: &HubFile,
        target: &Path,
        progress: &mut dyn FnMut(&HubFile, u64),
    ) -> Result<()> {
        let parent = target.parent().context("a file lies in a folder")?;
        std::fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
        let part = part_of(target);
        let mut begun = std::fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&part)?;
        let mut hash = Hash::new(file);
        let mut length = begun.metadata()?.len();
        if length > file.size {
            length = 0;
        }
        // What came before is hashed again: it may be of another version.
        hash.read(&mut begun, length)?;
        if length < file.size {
            let mut parts: Vec<&str> = self.name.split('/').collect();
            parts.extend(["resolve", &self.revision]);
            parts.extend(file.path.split('/'));
            let mut response = get(client, self.url(&parts)?, (length > 0).then_some(length)).await?;
            if length > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
                // All of it again.
                length = 0;
                hash = Hash::new(file);
            }
            begun.set_len(length)?;
            begun.seek(SeekFrom::Start(length))?;
            progress(file, length);
            while let Some(chunk) = response.chunk().await? {
                length += chunk.len() as u64;
                if length > file.size {
                    drop(std::fs::remove_file(&part));
                    bail!("it is longer than the hub said");
                }
                begun.write_all(&chunk)?;
                hash.update(&chunk);
                progress(file, chunk.len() as u64);
            }
        } else {
            progress(file, length);
        }
        if length < file.size {
            bail!("it ended after {length} of {} bytes; the same command goes on from there", file.size);
        }
        begun.sync_all()?;
        if !hash.fits(file) {
            // Wrong bytes are no beginning.
            drop(std::fs::remove_file(&part));
            bail!("its bytes are not those that the hub's hash is of; they were thrown away");
        }
        std::fs::rename(&part, target).with_context(|| format!("{} cannot be written", target.display()))
    }
}

/// A client for hubs: redirects are followed by hand, as far as they are safe.
///
/// # Errors
/// If there are no root certificates, for instance.
pub(crate) fn client() -> Result<Client> {
    // A choice of cryptography that was made before stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(Policy::none())
        .connect_timeout(std::time::Duration::from_secs(20))
        .read_timeout(std::time::Duration::from_secs(60))
        .user_agent(concat!("Misora/", env!("CARGO_PKG_VERSION")))
        .build()
        .context("the HTTP client could not be made")
}

/// https anywhere; http on this machine alone.
fn check_transport(url: &Url) -> Result<()> {
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() == "https" || (url.scheme() == "http" && local) {
        return Ok(());
    }
    Err(usage(format!("{url} is not spoken to: https is needed, or http on this machine")))
}

async fn get(client: &Client, url: Url, from: Option<u64>) -> Result<Response> {
    let first = url.clone();
    let mut url = url;
    for _ in 0..=MOST_REDIRECTS {
        check_transport(&url)?;
        let mut request = client.get(url.clone());
        if let Some(from) = from {
            request = request.header("range", format!("bytes={from}-"));
        }
        let response = request
            .send()
            .await
            .with_context(|| format!("{} does not answer", first.origin().ascii_serialization()))?;
        match response.status() {
            status if status.is_redirection() => {
                let location = response.headers().get("location").and_then(|value| value.to_str().ok());
                let location = location.context("the hub redirects to nowhere")?;
                let next = url.join(location).context("the hub redirects to no address")?;
                // Nobody is led from outside to what listens on this machine.
                if first.scheme() == "https" && next.scheme() != "https" {
                    bail!("the hub redirects away from https");
                }
                url = next;
            }
            status if status.is_success() => {
                if let (Some(from), StatusCode::PARTIAL_CONTENT) = (from, status) {
                    let range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
                    if !range.is_some_and(|range| range.starts_with(&format!("bytes {from}-"))) {
                        bail!("the hub sent another part than it was asked for");
                    }
                }
                return Ok(response);
            }
            StatusCode::NOT_FOUND => bail!("{first} is not there"),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => bail!("{first} is not open to everybody"),
            status => bail!("{first} answered with status {}", status.as_u16()),
        }
    }
    bail!("{first} redirects without end")
}

async fn whole(mut response: Response, most: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > most {
            bail!("the hub's answer is longer than {most} bytes");
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// `Link: <…>; rel="next"`, on the same hub.
fn next_page(response: &Response, url: &Url) -> Result<Option<Url>> {
    let link = response.headers().get("link").and_then(|value| value.to_str().ok());
    let Some(link) = link.filter(|link| link.contains("rel=\"next\"")) else { return Ok(None) };
    let next = link.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(next, _)| next);
    let next = url.join(next.context("the hub's next page has no address")?).context("the hub's next page is none")?;
    if next.origin() != url.origin() {
        bail!("the hub's next page is not on the hub");
    }
    Ok(Some(next))
}

/// The files that a model is made of.
fn wanted(repository: &str, listed: Vec<Listed>) -> Result<Vec<HubFile>> {
    let (mut files, mut pickles) = (Vec::new(), Vec::new());
    for entry in listed {
        if entry.kind != "file" {
            continue;
        }
        check_path(&entry.path)?;
        let ending = entry.path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
        if PICKLES.contains(&ending.as_str()) {
            pickles.push(entry.path);
            continue;
        }
        if !WANTED.contains(&ending.as_str()) {
            continue;
        }
        let is_hex =
            |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (size, sha256, git_oid) = match entry.lfs {
            Some(lfs) => (lfs.size, Some(lfs.oid), None),
            None => (entry.size, None, entry.oid),
        };
        let known = match (&sha256, &git_oid) {
            (Some(hash), _) => is_hex(hash, 64),
            (None, Some(hash)) => is_hex(hash, 40),
            (None, None) => false,
        };
        if !known {
            bail!("the hub says no hash of {}, so nothing could tell whether it came whole", entry.path);
        }
        if size > MOST_FILE_BYTES {
            bail!("{} would be {size} bytes: that is no part of a model", entry.path);
        }
        files.push(HubFile { path: entry.path, size, sha256, git_oid });
    }
    let has_weights = files.iter().any(|file| file.path.ends_with(".safetensors") || file.path.ends_with(".gguf"));
    if !has_weights {
        if let Some(pickle) = pickles.first() {
            bail!(
                "the weights of {repository} are pickles ({pickle}), which could run any program when they are read: nothing \
                 was pulled. Take the repository whose name ends in -Diffusers, or a repack as .safetensors"
            );
        }
        bail!("{repository} holds no weights");
    }
    for (index, file) in files.iter().enumerate() {
        if files[..index].iter().any(|other| other.path.eq_ignore_ascii_case(&file.path)) {
            bail!("the hub lists {} twice", file.path);
        }
    }
    Ok(files)
}

/// A path that stays in its folder, on every system.
fn check_path(path: &str) -> Result<()> {
    let plain = |part: &str| {
        let letters = part.bytes().all(|byte| (b' '..0x7f).contains(&byte) && !b"\\:*?\"<>|".contains(&byte));
        letters && !part.is_empty() && part != "." && part != ".." && !part.ends_with(['.', ' '])
    };
    if path.len() > MOST_PATH_BYTES || path.starts_with('/') || !path.split('/').all(plain) || path == PULLED {
        bail!("the hub lists a file {path:?}, which does not stay in the model's folder: nothing was pulled");
    }
    Ok(())
}

/// Where a file grows until it is whole.
fn part_of(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    target.with_file_name(name)
}

/// Whether a file is there and has the right bytes.
fn is_whole(path: &Path, file: &HubFile) -> Result<bool> {
    let Ok(mut opened) = std::fs::File::open(path) else { return Ok(false) };
    if opened.metadata()?.len() != file.size {
        return Ok(false);
    }
    let mut hash = Hash::new(file);
    hash.read(&mut opened, file.size)?;
    Ok(hash.fits(file))
}

/// The hash that the hub has for a file, as its bytes come.
enum Hash {
    Sha256(Sha256),
    Git(Box<ring::digest::Context>),
}

impl Hash {
    fn new(file: &HubFile) -> Self {
        if file.sha256.is_some() {
            return Self::Sha256(Sha256::new());
        }
        // Git's names of objects are all there is for small files. They tell a broken transfer, not a forger.
        let mut context = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
        context.update(format!("blob {}\0", file.size).as_bytes());
        Self::Git(Box::new(context))
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Git(context) => context.update(bytes),
        }
    }

    /// The first bytes of a file.
    fn read(&mut self, file: &mut std::fs::File, length: u64) -> std::io::Result<()> {
        file.seek(SeekFrom::Start(0))?;
        let mut left = length;
        let mut buffer = vec![0; 1 << 20];
        while left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = file.read(&mut buffer[..most])?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            self.update(&buffer[..count]);
            left -= count as u64;
        }
        Ok(())
    }

    fn fits(self, file: &HubFile) -> bool {
        let (ours, theirs) = match self {
            Self::Sha256(hash) => (hex(&hash.finalize()), file.sha256.as_deref()),
            Self::Git(context) => (hex(context.finish().as_ref()), file.git_oid.as_deref()),
        };
        theirs.is_some_and(|theirs| theirs.eq_ignore_ascii_case(&ours))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_folder() {
        for path in ["config.json", "vae/config.json", "a/b/c/d.safetensors", "with space.json", "-dash.json"] {
            check_path(path).unwrap();
        }
        for path in [
            "",
            "/etc/passwd",
            "..",
            "../x.json",
            "a/../../x.json",
            "a//b.json",
            "a/./b.json",
            "a\\b.json",
            "C:x.json",
            "a/\0.json",
            "a\n.json",
            "x.json.",
            "x.json ",
            "a/",
            "..\\x.json",
            "caf\u{e9}.json",
            PULLED,
        ] {
            assert!(check_path(path).is_err(), "{path:?}");
        }
        assert!(check_path(&"a".repeat(201)).is_err());
    }

    #[test]
    fn hubs_are_https_or_on_this_machine() {
        for hub in ["https://hub.example.org", "http://127.0.0.1:9000", "http://localhost:1/mirror"] {
            Repository::new(hub, "a/b", "main").unwrap();
        }
        for hub in
            ["http://hub.example.org", "ftp://hub.example.org", "file:///etc", "hub", "http://127.0.0.1.example.org"]
        {
            assert!(Repository::new(hub, "a/b", "main").is_err(), "{hub}");
        }
        for name in ["a", "a/b/c", "../b", "a/..", "a/b?x", ".a/b", "/b", "a/"] {
            assert!(Repository::new("https://hub.example.org", name, "main").is_err(), "{name}");
        }
        assert!(Repository::new("https://hub.example.org", "a/b", "../main").is_err());
    }
}
