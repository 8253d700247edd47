//! What every request and every loop shares: rows, objects, models, and the clock and chance that the binary brings.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use platform::{
    Catalogue, CatalogueError, ModelName, Offer, ProjectId, Quotas, Schedule, Service, SignUpMode, Sunset,
    SunsetSubject, Tier, Timestamp,
};
use provenance::{SigningKey, TrustedRoots};
use store::{LinkKey, Objects, Store, StoreError};
use tokio::sync::Semaphore;

use crate::archive::{Archivist, ArchivistParts};
use crate::clock::Clock;
use crate::evidence;
use crate::first_clips::FirstClips;
use crate::http::{KeyCache, Metrics, NodeLimit, UploadMemory};
use crate::likeness_verifier::VerifierPlace;
use crate::mail::Mail;
use crate::policy::{Judge, ModerationPlace};
use crate::prompt_help::{PromptHelp, PromptHelpPlace, WordsOfModel};
use crate::web::FrontPages;
use crate::worker::WorkerSignal;

/// The state of a running server. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// What an [`App`] is made of.
pub struct AppParts {
    /// Rows.
    pub store: Store,
    /// Media and files.
    pub objects: Objects,
    /// The installed models; the aliases are the store's.
    pub offers: Vec<Offer>,
    /// What the owner decided.
    pub settings: Settings,
    /// Signs links to media.
    pub link_key: LinkKey,
    /// Whose signatures are this installation's own.
    pub trusted: TrustedRoots,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives chance.
    pub entropy: Arc<dyn Entropy>,
    /// Carries letters.
    pub mail: Arc<dyn Mail>,
    /// Speaks to the outside.
    pub outbound: Arc<dyn Outbound>,
    /// Signs pictures, which are written in the format that their request asked for.
    pub signing_key: SigningKey,
    /// The words of the model that is offered first, if it knows few.
    pub words: Option<WordsOfModel>,
}

/// What the owner decided about the HTTP side. Plain values; [`Settings::new`] has the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where people find the installation, without a slash at the end.
    pub base_url: String,
    /// Who may join.
    pub sign_up: SignUpMode,
    /// The tier of whoever joins without an invite that says another.
    pub default_tier: String,
    /// The largest body of a request. Default 220 MB: a batch's file is the largest thing that comes.
    pub max_body_bytes: u64,
    /// Whether `image_url` may name an http(s) address, which this server then fetches. Default no.
    pub fetch_image_urls: bool,
    /// Whether webhooks may go to private addresses other than loopback. Default no.
    pub private_webhooks: bool,
    /// Whether the last address of `x-forwarded-for` is the client's: only behind a proxy that writes it. Default no.
    pub behind_proxy: bool,
    /// How long a browser stays signed in after its last request. Default 30 days.
    pub session_lifetime: Duration,
    /// Whether clips carry the visible mark, which archives tell. Default yes.
    pub visible_mark: bool,
    /// `openai-poll-after-ms`. Default 1 s.
    pub poll_after: Duration,
    /// How long a request for a picture waits for it. Default 120 s.
    pub picture_wait: Duration,
    /// What makes the first clips of a new installation. Default nothing.
    pub first_clips: Option<FirstClips>,
    /// The tag of the language in which the installation says what it says by itself. Default `en`.
    pub language: String,
    /// Whom to write to about a decision: a mail address, or the https address of a page. Default nobody.
    pub contact: Option<String>,
    /// Bytes of bodies that may lie in memory at one time, of all requests together. Default 1 GB.
    pub upload_memory_bytes: u64,
    /// How long what is kept. Default [`store::DEFAULT_SCHEDULE`].
    pub schedule: Schedule,
    /// What looks at captures of likenesses in the place of a reviewer. Default nothing.
    pub likeness_verifier: Option<VerifierPlace>,
    /// What `/metrics` asks for; without it, it answers this machine alone. Default nothing.
    pub metrics_token: Option<String>,
    /// The moderation service that is asked beside the built-in rules. Default none.
    pub moderation: Option<ModerationPlace>,
    /// The language model that helps with prompts. Default none.
    pub prompt_help: Option<PromptHelpPlace>,
}

/// Gives random bytes that nobody can guess.
pub trait Entropy: Send + Sync {
    /// Fills all of `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// Speaks to the outside: only to where the owner or a member said.
pub trait Outbound: Send + Sync {
    /// Posts a webhook, following no redirects; says the status.
    fn post<'a>(&'a self, request: &'a Outgoing) -> BoxFuture<'a, Result<u16, FetchError>>;

    /// What speaks to a bucket of a member's: at an https address of the public Internet, following no redirects.
    ///
    /// # Errors
    /// [`FetchError`] if the address is none of these.
    fn bucket_client(&self, endpoint: Option<&str>) -> Result<reqwest::Client, FetchError>;

    /// Fetches at most `max_bytes` of an http(s) address; [`Settings::fetch_image_urls`] allowed it.
    fn get<'a>(&'a self, url: &'a str, max_bytes: usize) -> BoxFuture<'a, Result<Bytes, FetchError>>;
}

/// A webhook on its way: JSON with three headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub url: String,
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`, Unix seconds.
    pub timestamp: i64,
    /// `webhook-signature`.
    pub signature: String,
    /// The body.
    pub body: String,
}

/// Nobody answered, in words for whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// The machine's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

/// All that clones of an [`App`] share.
pub struct Shared {
    /// Rows.
    pub store: Store,
    /// Media and files.
    pub objects: Objects,
    /// What the owner decided.
    pub settings: Settings,
    /// Signs links to media.
    pub link_key: LinkKey,
    /// Whose signatures are this installation's own.
    pub trusted: TrustedRoots,
    /// Carries letters.
    pub mail: Arc<dyn Mail>,
    /// Speaks to the outside.
    pub outbound: Arc<dyn Outbound>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Wakes the workers of this process.
    pub worker_signal: Arc<WorkerSignal>,
    entropy: Arc<dyn Entropy>,
    offers: Vec<Offer>,
    catalogue: RwLock<Arc<Catalogue>>,
    sunsets: RwLock<Arc<[Sunset]>>,
    pub(crate) signing_key: SigningKey,
    pub(crate) evidence: Arc<Semaphore>,
    pub(crate) uploads: UploadMemory,
    pub(crate) keys: KeyCache,
    pub(crate) front_pages: FrontPages,
    pub(crate) reads: NodeLimit<ProjectId>,
    pub(crate) attempts: NodeLimit<String>,
    pub(crate) metrics: Metrics,
    pub(crate) judge: Judge,
    pub(crate) prompt_help: PromptHelp,
}

impl App {
    /// An app. Its catalogue has no aliases until [`App::reload_catalogue`] has read them.
    ///
    /// # Errors
    /// [`CatalogueError`] if two models have one name.
    pub fn new(parts: AppParts) -> Result<Self, CatalogueError> {
        let catalogue = Catalogue::new(parts.offers.clone(), Vec::new())?;
        let uploads = UploadMemory::new(parts.settings.upload_memory_bytes);
        let judge = Judge::new(parts.store.clone(), parts.settings.moderation.clone());
        let prompt_help = PromptHelp::new(parts.words, parts.settings.prompt_help.clone());
        Ok(Self(Arc::new(Shared {
            store: parts.store,
            objects: parts.objects,
            settings: parts.settings,
            link_key: parts.link_key,
            trusted: parts.trusted,
            mail: parts.mail,
            outbound: parts.outbound,
            clock: parts.clock,
            worker_signal: Arc::default(),
            entropy: parts.entropy,
            offers: parts.offers,
            catalogue: RwLock::new(Arc::new(catalogue)),
            sunsets: RwLock::new(Arc::new([])),
            signing_key: parts.signing_key,
            evidence: Arc::new(Semaphore::new(evidence::AT_ONCE)),
            uploads,
            keys: KeyCache::default(),
            front_pages: FrontPages::default(),
            reads: NodeLimit::default(),
            attempts: NodeLimit::default(),
            metrics: Metrics::default(),
            judge,
            prompt_help,
        })))
    }

    /// Makes what every installation has, the default tier, and reads the aliases. Tables must be up to date.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        let name = &self.settings.default_tier;
        if let Err(StoreError::NotFound(_)) = self.store.tier(name).await {
            let tier = Tier { name: name.clone(), quotas: Quotas::DEFAULT, metered: false };
            self.store.set_tier(&tier).await?;
        }
        self.reload_sunsets().await?;
        self.reload_catalogue().await
    }

    /// Reads the announced ends of models and services again.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn reload_sunsets(&self) -> Result<(), StoreError> {
        let announced = self.store.sunsets().await?.into_iter().filter(|sunset| sunset.announced_at.is_some());
        let announced: Arc<[Sunset]> = announced.collect();
        *self.sunsets.write().unwrap_or_else(std::sync::PoisonError::into_inner) = announced;
        Ok(())
    }

    /// The announced end of a model.
    pub fn model_sunset(&self, model: &ModelName) -> Option<Sunset> {
        self.sunset(|subject| matches!(subject, SunsetSubject::Model(name) if name == model))
    }

    /// The announced end of a service.
    pub fn service_sunset(&self, service: Service) -> Option<Sunset> {
        self.sunset(|subject| *subject == SunsetSubject::Service(service))
    }

    fn sunset(&self, is_it: impl Fn(&SunsetSubject) -> bool) -> Option<Sunset> {
        let sunsets = self.sunsets.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        sunsets.iter().find(|sunset| is_it(&sunset.subject)).cloned()
    }

    /// Whether a model has come to its end.
    pub fn is_retired(&self, model: &ModelName) -> bool {
        self.model_sunset(model).is_some_and(|sunset| sunset.has_come(self.now()))
    }

    /// Reads the owner's aliases again. An alias whose model is not installed here is left out.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub async fn reload_catalogue(&self) -> Result<(), StoreError> {
        let installed = |model: &ModelName| self.offers.iter().any(|offer| offer.name == *model);
        let taken = |alias: &ModelName| self.offers.iter().any(|offer| offer.name == *alias);
        let aliases = self.store.model_aliases().await?;
        let aliases = aliases.into_iter().filter(|(alias, model)| installed(model) && !taken(alias)).collect();
        match Catalogue::new(self.offers.clone(), aliases) {
            Ok(catalogue) => {
                *self.catalogue.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(catalogue);
            }
            Err(error) => tracing::error!(%error, "the aliases of models were not changed"),
        }
        Ok(())
    }

    /// The models on offer now, with their aliases.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// This moment.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What makes archives of this installation and brings them back.
    pub fn archivist(&self) -> Archivist {
        let parts = ArchivistParts {
            instance: self.settings.base_url.clone(),
            tier: self.settings.default_tier.clone(),
            visible_mark: self.settings.visible_mark,
            key: self.signing_key.clone(),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            outbound: Arc::clone(&self.outbound),
            moderation: self.settings.moderation.clone(),
        };
        Archivist::new(self.store.clone(), self.objects.clone(), parts)
    }

    /// Random bytes, for ids and secrets.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "App({})", self.settings.base_url)
    }
}

impl Settings {
    /// The defaults for an installation at this address.
    ///
    /// # Panics
    /// Never: a test reads the default schedule.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into().trim_end_matches('/').to_owned(),
            sign_up: SignUpMode::Closed,
            default_tier: "default".into(),
            max_body_bytes: 220_000_000,
            fetch_image_urls: false,
            private_webhooks: false,
            behind_proxy: false,
            session_lifetime: Duration::from_secs(30 * 86_400),
            visible_mark: true,
            poll_after: Duration::from_secs(1),
            picture_wait: Duration::from_secs(120),
            first_clips: None,
            language: "en".into(),
            contact: None,
            upload_memory_bytes: 1_000_000_000,
            schedule: store::read_schedule(store::DEFAULT_SCHEDULE).expect("the default schedule is one"),
            likeness_verifier: None,
            metrics_token: None,
            moderation: None,
            prompt_help: None,
        }
    }
}

impl Entropy for SystemEntropy {
    /// # Panics
    /// If the machine gives no random bytes: then no secret can be made, and going on would be worse.
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the machine gives random bytes");
    }
}
