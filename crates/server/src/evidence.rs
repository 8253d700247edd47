//! The evidence kit: what the installation knows about a person, as a ZIP that they can show elsewhere. An index names every file with its
//! SHA-256, and a signed statement names the index. It is written while it is sent: nothing of it lies anywhere, and at most one clip and
//! one file of it are in memory.
//!
//! It holds what is recorded and says so where nothing is. Of others it holds nothing: who decided is told by role. A scanner looks for
//! secrets in every text before it goes in.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use platform::{
    ApiKey, FileId, IdentityId, ProjectId, Scope, Service, TokenKind, VideoId, find_secrets, hex, without_secrets,
};
use provenance::{StatementError, sign_statement, verify};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use store::{
    AuditEntry, CredentialKind, File, Generation, LibraryFilter, LibraryPlace, Order, Page, Project, PublishedVideo,
    StoreError,
};
use tokio::sync::mpsc;
use zip::ZipWriter;
use zip::result::ZipError;
use zip::write::{SimpleFileOptions, StreamWriter};

use crate::app::App;
use crate::clock::rfc3339;
use crate::http::appeals::Statement;

/// Kits that are written at one time.
pub(crate) const AT_ONCE: usize = 2;
/// The kind of the signed statement in a kit.
const KIND: &str = "misora-evidence-index+json";
/// The form of the index that is written here.
const FORM: u32 = 1;
/// Rows in one file of a kit.
const PART: u32 = 500;
/// Clips of which a kit tells; the index says if there are more.
const MAX_CLIPS: usize = 20_000;
/// A larger clip's manifest is not read, so that it need not lie in memory.
const MAX_CLIP_BYTES: u64 = 200_000_000;

/// Why a kit ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KitError {
    /// The rows or objects.
    #[error("the evidence could not be read")]
    Store(#[from] StoreError),
    /// The archive.
    #[error("the archive could not be written")]
    Archive(#[from] ZipError),
    /// The index.
    #[error("the index could not be signed")]
    Sign(#[from] StatementError),
    /// A text.
    #[error("a file of the kit could not be written")]
    Json(#[from] serde_json::Error),
    /// The work was given up, or panicked.
    #[error("packing ended early")]
    Work(#[from] tokio::task::JoinError),
    /// Whoever asked is gone.
    #[error("nobody waits for it any more")]
    Gone,
}

/// Where the pieces of a kit go.
pub(crate) type Sink = mpsc::Sender<io::Result<Bytes>>;

/// Writes the kit of a person into a sink.
pub(crate) async fn write_kit(app: &App, identity: IdentityId, sink: &Sink) -> Result<(), KitError> {
    let mut kit = Kit::new(app.clone(), identity, sink.clone());
    kit.account().await?;
    kit.sign_in().await?;
    kit.services().await?;
    kit.keys().await?;
    kit.decisions().await?;
    kit.ends().await?;
    kit.uploads().await?;
    kit.clips().await?;
    kit.audit().await?;
    kit.finish().await
}

/// A kit that is being written.
struct Kit {
    app: App,
    identity: IdentityId,
    sink: Sink,
    packer: Arc<Mutex<Packer>>,
    /// What a list of evidence names, with its files or with why there are none.
    items: Vec<Value>,
}

impl Kit {
    fn new(app: App, identity: IdentityId, sink: Sink) -> Self {
        Self { app, identity, sink, packer: Arc::default(), items: Vec::new() }
    }

    /// Packs a file and sends what there is.
    async fn add(&self, path: impl Into<String>, content: Value) -> Result<(), KitError> {
        let (packer, path) = (Arc::clone(&self.packer), path.into());
        // Scanning and hashing a large file takes longer than a loop may be held up.
        let piece = tokio::task::spawn_blocking(move || {
            let mut packer = packer.lock().unwrap_or_else(PoisonError::into_inner);
            packer.add_json(&path, content)?;
            Ok::<_, KitError>(packer.take())
        });
        self.send(piece.await??).await
    }

    async fn send(&self, piece: Bytes) -> Result<(), KitError> {
        self.sink.send(Ok(piece)).await.map_err(|_| KitError::Gone)
    }

    fn item(&mut self, item: &str, files: &[&str], note: &str) {
        let mut told = json!({ "item": item, "files": files });
        if !note.is_empty() {
            told["note"] = note.into();
        }
        self.items.push(told);
    }

    async fn projects(&self) -> Result<Vec<Project>, KitError> {
        Ok(self.app.store.projects(self.identity).await?)
    }

    async fn account(&mut self) -> Result<(), KitError> {
        let (store, now) = (&self.app.store, self.app.now());
        let identity = store.identity(self.identity).await?;
        let memberships: Vec<_> = store.memberships(self.identity).await?.into_iter().map(|one| one.at(now)).collect();
        let memberships: Vec<_> = memberships
            .iter()
            .map(|one| {
                json!({
                    "service": one.service.as_str(),
                    "state": one.state.as_str(),
                    "role": one.role.as_str(),
                    "strikes": one.strikes,
                    "limited_until": one.limited_until.map(rfc3339),
                })
            })
            .collect();
        let mut projects = Vec::new();
        for project in self.projects().await? {
            let quotas = store.tier(&project.tier).await?.quotas;
            let balance = store.balance(project.id).await?;
            projects.push(json!({
                "id": project.id.to_string(),
                "name": project.name,
                "created_at": rfc3339(project.created_at),
                "archived_at": project.archived_at.map(rfc3339),
                "credits_micros": balance.balance.micros(),
                "tier": project.tier,
                "limits": {
                    "requests_per_minute": quotas.requests_per_minute,
                    "concurrent_jobs": quotas.concurrent_jobs,
                    "seconds_per_day": quotas.seconds_per_day,
                    "longest_seconds": quotas.longest_seconds,
                    "most_at_once": quotas.most_at_once,
                    "priority": quotas.priority,
                },
            }));
        }
        let state = json!({
            "at": rfc3339(now),
            "id": identity.id.to_string(),
            "email": identity.email,
            "email_confirmed_at": identity.email_confirmed_at.map(rfc3339),
            "created_at": rfc3339(identity.created_at),
            "memberships": memberships,
            "projects": projects,
        });
        self.add("account.json", state).await?;
        self.item("account state", &["account.json"], "");
        self.item(
            "consent texts as accepted",
            &[],
            "This installation records no texts that people accept when they join. account.json says when the account was made.",
        );
        self.item("failed re-registration messages", &[], "Refused sign-ups are answered and not recorded.");
        Ok(())
    }

    async fn sign_in(&mut self) -> Result<(), KitError> {
        let (store, now) = (&self.app.store, self.app.now());
        let factor = store.second_factor(self.identity).await?;
        let passkeys = store.passkeys(self.identity).await?;
        let sessions = store.sessions(self.identity, now).await?;
        let ways = json!({
            "password": store.credential(self.identity, CredentialKind::Password).await?.is_some(),
            "second_factor_since": factor.and_then(|factor| factor.confirmed_at).map(rfc3339),
            "recovery_codes_left": store.count_one_time_tokens(self.identity, TokenKind::RecoveryCode, now).await?,
            "passkeys": passkeys.iter().map(|passkey| json!({
                "id": passkey.id.to_string(),
                "name": passkey.name,
                "created_at": rfc3339(passkey.created_at),
                "last_used_at": passkey.last_used_at.map(rfc3339),
            })).collect::<Vec<_>>(),
            "sessions": sessions.iter().map(|session| json!({
                "id": session.id.to_string(),
                "browser": session.label,
                "created_at": rfc3339(session.created_at),
                "last_seen_at": rfc3339(session.last_seen_at),
                "expires_at": rfc3339(session.expires_at),
            })).collect::<Vec<_>>(),
        });
        self.add("sign_in.json", ways).await?;
        self.item("sign-in methods", &["sign_in.json"], "");
        Ok(())
    }

    async fn services(&mut self) -> Result<(), KitError> {
        let store = &self.app.store;
        let joined: Vec<_> = store.memberships(self.identity).await?.iter().map(|one| one.service.as_str()).collect();
        let mut webhooks = Vec::new();
        for project in self.projects().await? {
            let page = Page { after: None, limit: PART, order: Order::Ascending };
            for endpoint in store.webhook_endpoints(project.id, page).await? {
                webhooks.push(json!({
                    "id": endpoint.id.to_string(),
                    "project": project.id.to_string(),
                    "name": endpoint.name,
                    "url": endpoint.url,
                    "event_types": endpoint.event_types.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(),
                    "created_at": rfc3339(endpoint.created_at),
                }));
            }
        }
        let services = json!({
            "services": Service::ALL.map(|service| json!({
                "service": service.as_str(),
                "linked": joined.contains(&service.as_str()),
            })),
            "webhooks": webhooks,
        });
        self.add("linked_services.json", services).await?;
        self.item("linked services", &["linked_services.json"], "");
        self.item(
            "systems named by the person",
            &["linked_services.json", "keys.json"],
            "Addresses of webhooks, and the ranges that keys are limited to.",
        );
        Ok(())
    }

    async fn keys(&mut self) -> Result<(), KitError> {
        let mut keys = Vec::new();
        for project in self.projects().await? {
            keys.extend(self.app.store.api_keys(project.id).await?.iter().map(shown_key));
        }
        self.add("keys.json", json!({ "keys": keys })).await?;
        self.item("keys with scopes and recent use", &["keys.json"], "The keys themselves are kept nowhere.");
        Ok(())
    }

    async fn decisions(&mut self) -> Result<(), KitError> {
        let (mut decisions, mut appeals) = (Vec::new(), Vec::new());
        let mut before = None;
        loop {
            let page = self.app.store.decisions_about(self.identity, before, PART).await?;
            let Some(last) = page.last() else { break };
            before = Some((last.record.decided_at, last.record.id));
            for one in &page {
                let shown = Statement::new(&self.app, one);
                appeals.extend(shown.appeal.as_ref().map(|appeal| json!(appeal)));
                decisions.push(json!(shown));
            }
        }
        let none = appeals.is_empty();
        self.add("decisions.json", json!({ "decisions": decisions, "appeals": appeals })).await?;
        let note = if none { "No appeal was filed." } else { "" };
        self.item("decisions and appeals with their ids", &["decisions.json"], note);
        Ok(())
    }

    /// Ends of services that were asked for, and receipts of what was erased.
    async fn ends(&mut self) -> Result<(), KitError> {
        let closures = self.app.store.closures(self.identity).await?;
        let closures: Vec<_> = closures
            .iter()
            .map(|one| {
                json!({
                    "of": one.owner.as_str(),
                    "asked_at": rfc3339(one.asked_at),
                    "erased_from": rfc3339(one.erase_at),
                    "erasing_has_begun": one.counted.is_some(),
                })
            })
            .collect();
        let receipts = self.app.store.receipts(self.identity).await?;
        let receipts: Vec<_> = receipts
            .iter()
            .map(|one| {
                json!({
                    "id": one.id.to_string(),
                    "of": one.owner.as_str(),
                    "complete": one.complete,
                    "written_at": rfc3339(one.written_at),
                    "statement": one.body,
                })
            })
            .collect();
        self.add("closures.json", json!({ "closures": closures, "receipts": receipts })).await?;
        let note = "The text of a statement, in a file of its own, is what `misora verify` reads.";
        self.item("ends of services and receipts of deletion", &["closures.json"], note);
        Ok(())
    }

    async fn uploads(&mut self) -> Result<(), KitError> {
        let mut part = 0;
        for project in self.projects().await? {
            let mut after: Option<FileId> = None;
            loop {
                let page = Page { after, limit: PART, order: Order::Ascending };
                let files = match self.app.store.files(project.id, None, page).await {
                    // The file that the page begins behind went meanwhile.
                    Err(StoreError::NotFound(_)) => break,
                    files => files?,
                };
                let Some(last) = files.last() else { break };
                after = Some(last.id);
                part += 1;
                let shown: Vec<_> = files.iter().map(|file| shown_file(project.id, file)).collect();
                self.add(format!("uploads/{part:05}.json"), json!({ "uploads": shown })).await?;
            }
        }
        let note = if part == 0 { "There are no uploads." } else { "" };
        self.item("upload metadata", &["uploads/"], note);
        Ok(())
    }

    /// Every clip with its recipe and the manifest of the stored video, whether it is kept or lies in the trash.
    async fn clips(&mut self) -> Result<(), KitError> {
        let mut count = 0;
        let mut note = "Pictures of the Images API are kept for a day and are not among them.".to_owned();
        'places: for place in [LibraryPlace::Library, LibraryPlace::Trash] {
            let filter = LibraryFilter { place, ..LibraryFilter::default() };
            let mut after: Option<VideoId> = None;
            loop {
                let page = match self.app.store.library(self.identity, filter, after, 100).await {
                    Err(StoreError::NotFound(_)) => {
                        note = "The library changed while this was written: some clips may be missing.".to_owned();
                        break;
                    }
                    page => page?,
                };
                for generation in &page.generations {
                    if count == MAX_CLIPS {
                        note = format!("There are more than {MAX_CLIPS} clips; the newest are here.");
                        break 'places;
                    }
                    count += 1;
                    let clip = self.clip(generation).await?;
                    self.add(format!("clips/{}.json", generation.id), clip).await?;
                }
                match page.generations.last() {
                    Some(last) if page.has_more => after = Some(last.id),
                    _ => break,
                }
            }
        }
        if count == 0 {
            note = "There are no clips.".to_owned();
        }
        self.item("manifest of every clip", &["clips/"], &note);
        Ok(())
    }

    async fn clip(&self, generation: &Generation) -> Result<Value, KitError> {
        let mut clip = shown_generation(generation);
        if let Some(video) = &generation.video {
            clip["recipe"] = serde_json::from_str(&video.recipe).unwrap_or(Value::Null);
            clip["video"] = self.video(video).await?;
        }
        Ok(clip)
    }

    /// What the stored video says of itself.
    async fn video(&self, video: &PublishedVideo) -> Result<Value, KitError> {
        let mut told = json!({ "sha256": video.sha256, "size_bytes": video.size_bytes });
        if video.size_bytes > MAX_CLIP_BYTES {
            told["note"] = "Too large for its manifest to be read here: `misora verify` reads it.".into();
            return Ok(told);
        }
        let bytes = match self.app.objects.get_all(&video.key).await {
            Err(StoreError::NotFound(_)) => {
                told["note"] = "The stored video is gone.".into();
                return Ok(told);
            }
            bytes => bytes?,
        };
        let trusted = self.app.trusted.clone();
        let read = tokio::task::spawn_blocking(move || (hex(&Sha256::digest(&bytes)), verify(&bytes, &trusted)));
        let (sha256, report) = read.await?;
        told["as_recorded"] = (sha256 == video.sha256).into();
        told["manifest"] = serde_json::to_value(report)?;
        Ok(told)
    }

    /// The lines of the audit log about the person, their keys and projects, and what they did themselves.
    async fn audit(&mut self) -> Result<(), KitError> {
        let mut subjects = vec![(self.identity.to_string(), Some(self.identity))];
        for project in self.projects().await? {
            subjects.push((project.id.to_string(), None));
            let keys = self.app.store.api_keys(project.id).await?;
            subjects.extend(keys.iter().map(|key| (key.id.to_string(), None)));
        }
        let mut part = 0;
        for (subject, actor) in &subjects {
            let mut after = 0;
            loop {
                let lines = self.app.store.audit_about(subject, *actor, after, PART).await?;
                let Some((last, _)) = lines.last() else { break };
                after = *last;
                part += 1;
                let shown: Vec<_> =
                    lines.iter().map(|(id, line)| shown_line(*id, line, subject, self.identity)).collect();
                self.add(format!("audit/{part:05}.json"), json!({ "lines": shown })).await?;
            }
        }
        let note = if part == 0 { "There are no lines about this account." } else { "" };
        self.item("audit log", &["audit/"], note);
        Ok(())
    }

    /// The index, the signed statement about it, and the end of the archive.
    async fn finish(self) -> Result<(), KitError> {
        let (app, made_at) = (self.app.clone(), rfc3339(self.app.now()));
        let audit_head = app.store.audit_head().await?;
        let (identity, items, packer) = (self.identity.to_string(), self.items.clone(), Arc::clone(&self.packer));
        let last = tokio::task::spawn_blocking(move || {
            let mut packer = packer.lock().unwrap_or_else(PoisonError::into_inner);
            let index = json!({
                "form": FORM,
                "what": "the evidence kit of one account of a Misora installation",
                "installation": app.settings.base_url,
                "account": identity,
                "made_at": made_at,
                "audit_head": audit_head,
                "items": items,
                "secrets_taken_out": packer.taken_out,
                "files": std::mem::take(&mut packer.files),
                "how_to_check": "`misora verify index.jws` says who signed and what the SHA-256 of index.json is; index.json has those of all other files.",
            });
            let index = serde_json::to_vec_pretty(&index)?;
            packer.write("index.json", &index)?;
            let statement = json!({
                "what": "the index of an evidence kit",
                "installation": app.settings.base_url,
                "account": identity,
                "made_at": made_at,
                "index_json_sha256": hex(&Sha256::digest(&index)),
                "audit_head": audit_head,
            });
            let statement = sign_statement(&app.signing_key, KIND, statement.to_string().as_bytes())?;
            packer.write("index.jws", statement.as_bytes())?;
            packer.finish()?;
            Ok::<_, KitError>(packer.take())
        });
        let last = last.await??;
        self.send(last).await
    }
}

fn shown_key(key: &ApiKey) -> Value {
    json!({
        "id": key.id.to_string(),
        "project": key.project.to_string(),
        "name": key.name,
        "scopes": key.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(),
        "allowed_ips": key.allowed_ips.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "created_at": rfc3339(key.created_at),
        "expires_at": key.expires_at.map(rfc3339),
        "revoked_at": key.revoked_at.map(rfc3339),
        "last_used_at": key.last_used_at.map(rfc3339),
        "last_used_from": key.last_used_from.map(|range| range.to_string()),
    })
}

fn shown_file(project: ProjectId, file: &File) -> Value {
    json!({
        "id": file.id.to_string(),
        "project": project.to_string(),
        "filename": file.filename,
        "purpose": file.purpose,
        "media_type": file.media_type,
        "size_bytes": file.size_bytes,
        "uploaded_at": rfc3339(file.created_at),
        "expires_at": file.expires_at.map(rfc3339),
    })
}

fn shown_generation(generation: &Generation) -> Value {
    json!({
        "id": generation.id.to_string(),
        "project": generation.project.to_string(),
        "kind": generation.kind.as_str(),
        "prompt": generation.prompt,
        "negative_prompt": generation.negative_prompt,
        "model_requested": generation.model_requested.to_string(),
        "model": generation.model.to_string(),
        "size": generation.size.to_string(),
        "seconds": generation.total_seconds.get(),
        "seed": generation.seed,
        "state": generation.state.as_str(),
        "error": generation.error.as_ref().map(|error| json!({
            "code": error.code.as_str(),
            "message": error.message,
        })),
        "created_at": rfc3339(generation.created_at),
        "started_at": generation.started_at.map(rfc3339),
        "ended_at": generation.ended_at.map(rfc3339),
        "expires_at": generation.expires_at.map(rfc3339),
        "in_trash_since": generation.trashed_at.map(rfc3339),
    })
}

/// A line of the audit log. Who acted is told by role, and of what the person did to others nothing but that they did.
fn shown_line(id: i64, line: &AuditEntry, subject: &str, person: IdentityId) -> Value {
    let by = match line.actor {
        None => "the installation",
        Some(actor) if actor == person => "this account",
        Some(_) => "someone who administers or moderates",
    };
    let mut shown = json!({ "line": id, "at": rfc3339(line.at), "by": by, "action": line.action });
    if line.subject == subject {
        shown["subject"] = line.subject.as_str().into();
        shown["detail"] = line.detail.as_str().into();
    }
    shown
}

/// What is written of an archive and not sent yet.
#[derive(Clone, Default)]
struct Spool(Arc<Mutex<Vec<u8>>>);

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The archive, and the index of what is in it.
struct Packer {
    zip: Option<ZipWriter<StreamWriter<Spool>>>,
    spool: Spool,
    files: Vec<Value>,
    taken_out: usize,
}

impl Default for Packer {
    fn default() -> Self {
        let spool = Spool::default();
        Self { zip: Some(ZipWriter::new_stream(spool.clone())), spool, files: Vec::new(), taken_out: 0 }
    }
}

impl Packer {
    /// Adds a file of the kit, without the secrets in its texts, and notes it in the index.
    fn add_json(&mut self, path: &str, content: Value) -> Result<(), KitError> {
        let content = self.clean(content);
        let mut text = serde_json::to_string_pretty(&content)?;
        // Texts were cleaned one by one; what the scanner finds in the whole all the same does not leave.
        let left = find_secrets(&text).len();
        if left > 0 {
            self.taken_out += left;
            text = json!({ "refused": "This file held secrets and was left out." }).to_string();
        }
        let sha256 = hex(&Sha256::digest(text.as_bytes()));
        self.files.push(json!({ "path": path, "sha256": sha256, "size_bytes": text.len() }));
        self.write(path, text.as_bytes())
    }

    fn clean(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) => {
                let (clean, count) = without_secrets(&text);
                self.taken_out += count;
                Value::String(if count == 0 { text } else { clean })
            }
            Value::Array(items) => Value::Array(items.into_iter().map(|item| self.clean(item)).collect()),
            Value::Object(members) => {
                let clean = members.into_iter().map(|(name, member)| {
                    let (name, count) = without_secrets(&name);
                    self.taken_out += count;
                    (name, self.clean(member))
                });
                Value::Object(clean.collect::<Map<_, _>>())
            }
            other => other,
        }
    }

    fn write(&mut self, path: &str, content: &[u8]) -> Result<(), KitError> {
        if let Some(zip) = &mut self.zip {
            let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
            zip.start_file(path, options)?;
            zip.write_all(content).map_err(ZipError::from)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), KitError> {
        if let Some(zip) = self.zip.take() {
            zip.finish()?;
        }
        Ok(())
    }

    /// What was written since the last time.
    fn take(&mut self) -> Bytes {
        std::mem::take(&mut *self.spool.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}
