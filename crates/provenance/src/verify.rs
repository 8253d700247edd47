//! Verifying: bytes from anyone go in, one honest page about them comes out.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use c2pa::crypto::cose::{CertificateTrustPolicy, TrustAnchorType};
use c2pa::{Context, Ingredient, Manifest, Reader, ValidationResults, ValidationState};
use serde::Deserialize;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::container::{self, Container};
use crate::envelope::{is_canonical, open_boxes_sha256};
use crate::key::{KeyError, SigningKey, certificates, organisation};
use crate::manifest::{Action, GENERATION, Generation, RECIPE, SoftwareAgent, TRAINING_MINING, TrainingMining};
use crate::report::{Parent, Report, Signer, State, Trust};
use crate::settings::settings;

/// Whom a verifier trusts: this installation, and the roots that its operator configured.
#[derive(Clone, Debug, Default)]
pub struct TrustedRoots {
    installation: Option<String>,
    peers: Option<String>,
}

impl TrustedRoots {
    /// Nobody: every signer is unknown.
    pub fn none() -> Self {
        Self::default()
    }

    /// This installation's own root.
    pub fn installation(key: &SigningKey) -> Self {
        Self { installation: Some(key.root_pem().to_owned()), peers: None }
    }

    /// The same, and the roots of a trust list as PEM (other installations, or the public C2PA list).
    ///
    /// # Errors
    /// [`KeyError::Chain`] if it holds no certificates.
    pub fn with_trust_list(mut self, pem: &str) -> Result<Self, KeyError> {
        if certificates(pem)?.is_empty() {
            return Err(KeyError::Chain("there is no certificate in it".to_owned()));
        }
        self.peers = Some(match self.peers {
            Some(peers) => format!("{peers}\n{pem}"),
            None => pem.to_owned(),
        });
        Ok(self)
    }
}

/// Says where a file came from and whether it is as it was signed. Never fails, never panics, never opens the network.
pub fn verify(bytes: &[u8], trusted: &TrustedRoots) -> Report {
    let Some(container) = container::sniff(bytes) else {
        return Report::bare(if container::has_credentials(bytes) { State::Tampered } else { State::Unreadable });
    };
    // The library denies panics in its own code, but its parsers meet bytes that nobody has met before: a panic there is an
    // unreadable file to us.
    match catch_unwind(AssertUnwindSafe(|| read(bytes, container, trusted))) {
        Ok(Ok(reader)) => report(&reader, bytes, container, trusted),
        Ok(Err(error)) => without_reader(bytes, container, Some(error)),
        Err(_) => without_reader(bytes, container, None),
    }
}

fn read(bytes: &[u8], container: Container, trusted: &TrustedRoots) -> c2pa::Result<Reader> {
    let settings = settings(trusted.installation.as_deref(), trusted.peers.as_deref())?;
    let context = Context::new().with_settings(settings)?;
    Reader::from_context(context).with_stream(container.mime(), Cursor::new(bytes))
}

/// The report on a file whose manifest could not be read: is there one that was broken, none, or no file at all?
fn without_reader(bytes: &[u8], container: Container, error: Option<c2pa::Error>) -> Report {
    let mut report = Report::bare(match &error {
        _ if container::has_credentials(bytes) => State::Tampered,
        Some(c2pa::Error::JumbfNotFound) if container != Container::Mp4 || container::has_movie(bytes) => {
            State::NoCredentials
        }
        _ => State::Unreadable,
    });
    if report.state != State::NoCredentials {
        report.codes.extend(error.map(|error| error.to_string()));
    }
    report
}

fn report(reader: &Reader, bytes: &[u8], container: Container, trusted: &TrustedRoots) -> Report {
    let Some(manifest) = reader.active_manifest() else {
        return Report::bare(State::Tampered);
    };
    let mut report = Report::bare(match reader.validation_state() {
        ValidationState::Valid | ValidationState::Trusted => State::Untouched,
        ValidationState::Invalid => State::Tampered,
    });
    if let Some(results) = reader.validation_results() {
        report.codes = codes(results);
    }

    let generation: Option<Generation> = assertion(manifest, GENERATION);
    if let (Some(generation), Container::Mp4) = (&generation, container) {
        if generation.open_boxes_sha256 != Some(open_boxes_sha256(bytes)) {
            report.tampered("org.misora.openBoxes.mismatch");
        }
        if !is_canonical(bytes) {
            report.tampered("org.misora.envelope.mismatch");
        }
    }

    let actions = actions(manifest);
    report.title = manifest.title().map(str::to_owned);
    report.signer = signer(manifest, trusted);
    report.signed_at = manifest.time();
    report.made_at = actions.iter().find_map(|action| action.when.clone());
    report.action = generation.as_ref().map(|generation| generation.action).or_else(|| action(&actions));
    report.generated = actions.iter().any(|action| {
        action
            .digital_source_type
            .as_deref()
            .is_some_and(|kind| kind.to_ascii_lowercase().contains("trainedalgorithmicmedia"))
    });
    report.software_agent = manifest
        .claim_generator_info
        .as_ref()
        .and_then(|infos| infos.first())
        .map(|info| SoftwareAgent { name: info.name.clone(), version: info.version.clone().unwrap_or_default() });
    report.visible_mark = generation.as_ref().map(|generation| generation.visible_mark);
    report.model = generation.map(|generation| generation.model);
    report.recipe = assertion(manifest, RECIPE);
    report.training = assertion::<TrainingMining>(manifest, TRAINING_MINING).map(|mining| mining.choice());
    report.parents = manifest.ingredients().iter().map(|ingredient| parent(reader, ingredient, trusted, 0)).collect();
    report
}

/// How deep a family tree is told; a hostile file could nest without end.
const MAX_GENERATIONS: usize = 8;

fn parent(reader: &Reader, ingredient: &Ingredient, trusted: &TrustedRoots, depth: usize) -> Parent {
    let manifest = ingredient.active_manifest().and_then(|label| reader.get_manifest(label));
    let failed =
        ingredient.validation_results().is_some_and(|results| results.validation_state() == ValidationState::Invalid);
    let state = match (ingredient.active_manifest(), manifest) {
        (None, _) if failed => State::Tampered,
        (None, _) => State::NoCredentials,
        (Some(_), Some(_)) if !failed => State::Untouched,
        (Some(_), _) => State::Tampered,
    };
    let parents = manifest
        .filter(|_| depth + 1 < MAX_GENERATIONS)
        .map(|manifest| manifest.ingredients().iter().map(|older| parent(reader, older, trusted, depth + 1)).collect());
    Parent {
        title: manifest.and_then(Manifest::title).or(ingredient.title()).map(str::to_owned),
        state,
        signer: manifest.and_then(|manifest| signer(manifest, trusted)),
        action: manifest.and_then(|manifest| action(&actions(manifest))),
        made_at: manifest.and_then(|manifest| actions(manifest).into_iter().find_map(|action| action.when)),
        parents: parents.unwrap_or_default(),
    }
}

fn signer(manifest: &Manifest, trusted: &TrustedRoots) -> Option<Signer> {
    signer_of_chain(&certificates(manifest.signature_info()?.cert_chain()).ok()?, trusted)
}

/// Whom a chain names, the signing certificate first, and who vouches for that.
pub(crate) fn signer_of_chain(chain: &[Vec<u8>], trusted: &TrustedRoots) -> Option<Signer> {
    let leaf_der = chain.first()?;
    let (_, leaf) = X509Certificate::from_der(leaf_der).ok()?;
    let organisation = organisation(&leaf);

    let mut policy = CertificateTrustPolicy::new();
    policy.add_default_valid_ekus();
    if let Some(root) = &trusted.installation {
        policy.add_trust_anchors(root.as_bytes()).ok()?;
    }
    if let Some(peers) = &trusted.peers {
        policy.add_user_trust_anchors(peers.as_bytes()).ok()?;
    }
    let trust = match policy.check_certificate_trust(&chain[1..], leaf_der, None) {
        Ok(TrustAnchorType::System) => Trust::ThisInstallation,
        Ok(TrustAnchorType::User) => Trust::TrustList,
        Ok(TrustAnchorType::EndEntity | TrustAnchorType::NoCheck) | Err(_) => Trust::Unknown,
    };
    Some(Signer { organisation, trust })
}

/// What we read of an entry of `c2pa.actions` or `c2pa.actions.v2`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActionEntry {
    action: String,
    when: Option<String>,
    digital_source_type: Option<String>,
}

#[derive(Deserialize)]
struct ActionList {
    actions: Vec<ActionEntry>,
}

fn actions(manifest: &Manifest) -> Vec<ActionEntry> {
    ["c2pa.actions.v2", "c2pa.actions"]
        .iter()
        .find_map(|label| assertion::<ActionList>(manifest, label))
        .map_or_else(Vec::new, |list| list.actions)
}

/// What the standard actions say; extension is our own finer word and is not among them.
fn action(actions: &[ActionEntry]) -> Option<Action> {
    match actions.first()?.action.as_str() {
        "c2pa.created" => Some(Action::Created),
        "c2pa.opened" => Some(Action::Edited),
        _ => None,
    }
}

fn assertion<T: serde::de::DeserializeOwned>(manifest: &Manifest, label: &str) -> Option<T> {
    let assertion = manifest.assertions().iter().find(|assertion| assertion.label() == label)?;
    serde_json::from_value(assertion.value().ok()?.clone()).ok()
}

/// Failures first, then information, then successes, each code once.
fn codes(results: &ValidationResults) -> Vec<String> {
    let ingredients = results.ingredient_deltas().into_iter().flatten().map(|delta| delta.validation_deltas());
    let all: Vec<_> = results.active_manifest().into_iter().chain(ingredients).collect();
    let failures = all.iter().flat_map(|codes| codes.failure());
    let information = all.iter().flat_map(|codes| codes.informational());
    let successes = all.iter().flat_map(|codes| codes.success());
    let mut codes: Vec<String> = Vec::new();
    for status in failures.chain(information).chain(successes) {
        if !codes.iter().any(|code| code == status.code()) {
            codes.push(status.code().to_owned());
        }
    }
    codes
}
