//! An app with one person and one project, no listener, and a clock that the test moves.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};

use platform::{
    ActiveMembership, Credits, GenerationKind, IdentityId, LedgerEntryId, LikenessId, MembershipEvent, ModelName,
    Parameters, ProjectId, Quotas, Rate, Seconds, Service, Size, Tier, Timestamp, VideoId, Words,
};
use provenance::{SigningKey, TrustedRoots};
use render::{Progress, Reworded, SteppedTestCard, TestCard, VideoRequest};
use server::worker::{Models, Worker, WorkerOptions};
use server::{
    App, AppParts, HttpOutbound, Mail, ManualClock, Outbox, Settings, SystemEntropy, WordsOfModel, full_offer,
};
use store::{
    Accept, Accepted, Generation, LinkKey, NewGeneration, Objects, ObjectsPlace, Project, S3Place, Sealer, Store,
    StoreError, Subject,
};

use crate::postgres::postgres_database;

pub(crate) struct Bed {
    pub(crate) app: App,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) project: ProjectId,
    pub(crate) member: ActiveMembership,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) const PRICE: Credits = Credits::from_micros(2_000_000);
const ADDRESS: &str = "http://misora.test";
/// The smallest size on offer, so that tests are quick.
pub(crate) const SIZE: Size = Size::new(144, 80);

static ENTROPY: AtomicU64 = AtomicU64::new(1);

pub(crate) fn entropy() -> [u8; 8] {
    ENTROPY.fetch_add(1, Ordering::Relaxed).to_be_bytes()
}

pub(crate) fn name(text: &str) -> ModelName {
    ModelName::parse(text).unwrap()
}

/// A signing key, made once for all tests.
pub(crate) fn key() -> SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    let make = || {
        let folder = tempfile::tempdir().unwrap();
        SigningKey::open_or_create(&folder.path().join("keys"), "tests").unwrap()
    };
    KEY.get_or_init(make).clone()
}

/// Where a bed's objects are.
enum Place {
    Memory,
    Folder,
    S3(S3Place),
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A bed whose owner decided something else.
    pub(crate) async fn with(decide: impl FnOnce(&mut Settings)) -> Self {
        Self::made(decide, None, None, Place::Memory).await
    }

    /// A bed whose letters go another way than into its folder.
    pub(crate) async fn with_mail(mail: Arc<dyn Mail>) -> Self {
        Self::made(|_| {}, Some(mail), None, Place::Memory).await
    }

    /// A bed whose rows are in PostgreSQL.
    pub(crate) async fn on_postgres(decide: impl FnOnce(&mut Settings)) -> Self {
        Self::made(decide, None, Some(postgres_database().await), Place::Memory).await
    }

    /// A bed whose rows are in PostgreSQL and whose objects are in a bucket of their own, if `MISORA_TEST_S3` names an S3 server that lets
    /// anyone make buckets.
    pub(crate) async fn on_s3(decide: impl FnOnce(&mut Settings)) -> Option<Self> {
        let endpoint = std::env::var("MISORA_TEST_S3").ok()?;
        let bucket = format!("misora-{}-{}", std::process::id(), u64::from_be_bytes(entropy()));
        // A choice that was made before stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = reqwest::Client::new().put(format!("{endpoint}/{bucket}")).send().await.unwrap();
        assert!(made.status().is_success(), "{made:?}");
        let place = S3Place {
            bucket,
            region: "us-east-1".into(),
            endpoint: Some(endpoint),
            access_key_id: "test".into(),
            secret_access_key: "test".into(),
        };
        Some(Self::made(decide, None, Some(postgres_database().await), Place::S3(place)).await)
    }

    /// A bed whose rows are there, so that [`Self::elsewhere`] can be another process of the same installation.
    pub(crate) async fn on(database_url: &str) -> Self {
        Self::made(|_| {}, None, Some(database_url.to_owned()), Place::Memory).await
    }

    /// A bed of which everything lies in its folder, so that another process can go on with it: [`app_in`].
    pub(crate) async fn in_folder() -> Self {
        Self::made(|_| {}, None, None, Place::Folder).await
    }

    async fn made(
        decide: impl FnOnce(&mut Settings),
        mail: Option<Arc<dyn Mail>>,
        database_url: Option<String>,
        place: Place,
    ) -> Self {
        let mut settings = Settings::new(ADDRESS);
        decide(&mut settings);
        let now = Timestamp::from_seconds(1_790_000_000);
        let (clock, folder) = (Arc::new(ManualClock::new(now)), tempfile::tempdir().unwrap());
        let store = Store::open(&database_url.unwrap_or_else(|| sqlite_in(folder.path()))).await.unwrap();
        let store = store.sealed_with(Sealer::new([1; 32]));
        store.migrate().await.unwrap();
        let mail = mail.unwrap_or_else(|| Arc::new(Outbox::new(folder.path().join("outbox"))));
        let place = match place {
            Place::Memory => ObjectsPlace::Memory,
            Place::Folder => objects_in(folder.path()),
            Place::S3(place) => ObjectsPlace::S3(place),
        };
        let app = app_of(store, &place, settings, &clock, mail);
        let tier = Tier { name: "default".into(), quotas: Quotas::DEFAULT, metered: true };
        app.store.set_tier(&tier).await.unwrap();
        app.store.set_model_alias(&name("sora-2"), Some(&name("test-card")), now).await.unwrap();
        app.prepare().await.unwrap();
        let id = IdentityId::new(now, entropy());
        app.store.create_identity(id, "mika@example.org", now).await.unwrap();
        app.store.change_membership(id, Service::Video, MembershipEvent::Join, now).await.unwrap();
        let member = app.store.membership(id, Service::Video).await.unwrap().active().unwrap();
        let project = ProjectId::new(now, entropy());
        let row = Project {
            id: project,
            owner: id,
            name: "clips".into(),
            tier: "default".into(),
            created_at: now,
            archived_at: None,
        };
        app.store.create_project(&row).await.unwrap();
        let credits = Credits::from_micros(1_000_000_000);
        app.store.grant(LedgerEntryId::new(now, entropy()), project, credits, "hello", now).await.unwrap();
        Self { app, clock, project, member, folder }
    }

    /// Whose the things of the bed's member are.
    pub(crate) fn subject(&self, service: Service) -> Subject {
        Subject { identity: self.member.identity(), service, since: self.app.now() }
    }

    /// The same installation seen by a node whose place of objects does not answer.
    pub(crate) fn with_deaf_objects(&self) -> App {
        let place = ObjectsPlace::S3(S3Place {
            bucket: "nobody".into(),
            region: "nowhere".into(),
            // Nothing listens on this port.
            endpoint: Some("http://127.0.0.1:9".into()),
            access_key_id: "k".into(),
            secret_access_key: "s".into(),
        });
        let (store, settings) = (self.app.store.clone(), self.app.settings.clone());
        app_of(store, &place, settings, &self.clock, Arc::clone(&self.app.mail))
    }

    /// An installation without anything, not even tables, at the same time of day.
    pub(crate) async fn elsewhere(&self, database_url: &str) -> App {
        let store = Store::open(database_url).await.unwrap().sealed_with(Sealer::new([1; 32]));
        app_of(store, &ObjectsPlace::Memory, self.app.settings.clone(), &self.clock, Arc::clone(&self.app.mail))
    }

    pub(crate) fn worker(&self, models: Models) -> Worker {
        self.worker_of(&self.app, models)
    }

    /// A worker of another process.
    pub(crate) fn worker_of(&self, app: &App, models: Models) -> Worker {
        let options = WorkerOptions { name: "w".into(), ..WorkerOptions::default() };
        let (store, objects, signal) = (app.store.clone(), app.objects.clone(), Arc::clone(&app.worker_signal));
        Worker::new(options, models, store, objects, key(), Arc::clone(&self.clock) as _, signal)
    }

    /// Accepts one clip of four seconds for the test card.
    pub(crate) async fn accept(&self, kind: GenerationKind) -> Generation {
        self.accept_for("test-card", kind, SIZE, 4, 4).await
    }

    pub(crate) async fn accept_for(
        &self,
        model: &str,
        kind: GenerationKind,
        size: Size,
        seconds: u32,
        total_seconds: u32,
    ) -> Generation {
        match self.ask_for(model, kind, size, (seconds, total_seconds), &[]).await.unwrap() {
            Accepted::New(mut generations) => generations.remove(0),
            other @ Accepted::Repeated(_) => panic!("{other:?}"),
        }
    }

    /// Asks for one clip in which these people appear.
    pub(crate) async fn ask_with(&self, likenesses: &[LikenessId]) -> Result<Accepted, StoreError> {
        self.ask_for("test-card", create(), SIZE, (4, 4), likenesses).await
    }

    async fn ask_for(
        &self,
        model: &str,
        kind: GenerationKind,
        size: Size,
        (seconds, total_seconds): (u32, u32),
        likenesses: &[LikenessId],
    ) -> Result<Accepted, StoreError> {
        let length = |seconds| Seconds::new(seconds).unwrap();
        let words = Words { prompt: Some("a red boat"), candidates: Some("3"), ..Words::default() };
        let parameters = Parameters::of_source(&words, name("sora-2"), size, length(seconds)).unwrap();
        let request = Accept {
            project: self.project,
            parameters: &parameters,
            kind: &kind,
            model: &name(model),
            total_seconds: length(total_seconds),
            price: PRICE,
            generations: &[NewGeneration { id: VideoId::new(self.app.now(), entropy()), seed: 7 }],
            likenesses,
            idempotency: None,
            batch_line: None,
        };
        self.app.store.accept(self.member, &request, self.app.now()).await
    }

    pub(crate) async fn generation(&self, id: VideoId) -> Generation {
        self.app.store.generation(self.project, id).await.unwrap()
    }

    /// Balance and what is held of it, in credits.
    pub(crate) async fn money(&self) -> (i64, i64) {
        let balance = self.app.store.balance(self.project).await.unwrap();
        (balance.balance.micros() / 1_000_000, balance.held.micros() / 1_000_000)
    }
}

fn sqlite_in(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("misora.sqlite").display())
}

fn objects_in(folder: &Path) -> ObjectsPlace {
    ObjectsPlace::Folder(folder.join("objects"))
}

/// What a process starts at a moment over the folder of a bed that lies in one.
pub(crate) async fn app_in(folder: &Path, now: Timestamp) -> App {
    let store = Store::open(&sqlite_in(folder)).await.unwrap().sealed_with(Sealer::new([1; 32]));
    let (clock, mail) = (Arc::new(ManualClock::new(now)), Arc::new(Outbox::new(folder.join("outbox"))));
    let app = app_of(store, &objects_in(folder), Settings::new(ADDRESS), &clock, mail);
    app.prepare().await.unwrap();
    app
}

fn app_of(
    store: Store,
    objects: &ObjectsPlace,
    settings: Settings,
    clock: &Arc<ManualClock>,
    mail: Arc<dyn Mail>,
) -> App {
    App::new(AppParts {
        store,
        objects: Objects::open(objects).unwrap().sealed_with(Sealer::new([1; 32])),
        offers: vec![full_offer(name("test-card"), Rate::FREE)],
        settings,
        link_key: LinkKey::new([1; 32]),
        trusted: TrustedRoots::installation(&key()),
        clock: Arc::clone(clock) as _,
        entropy: Arc::new(SystemEntropy),
        mail,
        outbound: Arc::new(HttpOutbound::new(false).unwrap()),
        signing_key: key(),
        words: Some(WordsOfModel { reword: say_louder, told: "It knows one word: CARD.".into() }),
    })
    .unwrap()
}

/// What the test card makes of a prompt.
fn say_louder(prompt: &str) -> Reworded {
    Reworded { prompt: Some(prompt.to_uppercase()), unknown: vec!["quietly".into()], ..Reworded::default() }
}

pub(crate) fn create() -> GenerationKind {
    GenerationKind::Create { first_frame: None, characters: Vec::new() }
}

pub(crate) fn test_card() -> Models {
    Models::new(vec![(name("test-card"), Box::new(TestCard))])
}

/// The side that the test has of a test card that waits before each frame until the test lets it go on.
pub(crate) struct Gate {
    pub(crate) reached: tokio::sync::mpsc::UnboundedReceiver<usize>,
    pub(crate) go_on: mpsc::Sender<()>,
}

pub(crate) fn gated() -> (Models, Gate) {
    let (reached, seen) = tokio::sync::mpsc::unbounded_channel();
    let (sender, gate) = mpsc::channel();
    let go_on = Mutex::new(gate);
    let model = SteppedTestCard(move |_: &VideoRequest, step: Progress| {
        // The test may be over.
        let _ = reached.send(step.done);
        let _ = go_on.lock().unwrap().recv();
        Ok(())
    });
    (Models::new(vec![(name("test-card"), Box::new(model))]), Gate { reached: seen, go_on: sender })
}
