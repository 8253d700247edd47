//! A store with one person, one project and one tier in it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use platform::{
    ActiveMembership, Credits, GenerationKind, IdentityId, LedgerEntryId, MembershipEvent, ModelName, Offer,
    Parameters, ProjectId, Quotas, Route, Seconds, Service, Tier, Timestamp, VideoId, Words,
};
use provenance::{Action, Model, Provenance, SignedVideo, SigningKey, SoftwareAgent, TrainingChoice, sign};
use store::{
    Accept, Accepted, Generation, NewGeneration, Objects, ObjectsPlace, Outputs, Project, Sealer, Store, Subject,
};

use crate::postgres::postgres_database;

/// A store to test with. The time stands still unless a test moves it.
pub(crate) struct Bed {
    pub(crate) store: Store,
    pub(crate) objects: Objects,
    pub(crate) project: ProjectId,
    pub(crate) member: ActiveMembership,
    pub(crate) now: Timestamp,
    /// The address of its rows.
    pub(crate) url: String,
    pub(crate) folder: tempfile::TempDir,
}

/// The price of a clip in tests.
pub(crate) const PRICE: Credits = Credits::from_micros(2_000_000);

/// Ids differ by this.
static ENTROPY: AtomicU64 = AtomicU64::new(1);

pub(crate) fn entropy() -> [u8; 8] {
    ENTROPY.fetch_add(1, Ordering::Relaxed).to_be_bytes()
}

impl Bed {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("misora.sqlite").display());
        Self::on(url, folder).await
    }

    pub(crate) async fn memory() -> Self {
        Self::on("sqlite::memory:".into(), tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn postgres() -> Self {
        Self::on(postgres_database().await, tempfile::tempdir().unwrap()).await
    }

    async fn on(url: String, folder: tempfile::TempDir) -> Self {
        let store = Store::open(&url).await.unwrap().sealed_with(Sealer::new([1; 32]));
        let now = Timestamp::from_seconds(1_790_000_000);
        store.migrate().await.unwrap();
        let tier = Tier { name: "default".into(), quotas: Quotas::DEFAULT, metered: true };
        store.set_tier(&tier).await.unwrap();
        let mut bed = Self {
            objects: objects(&ObjectsPlace::Memory),
            project: ProjectId::new(now, [0; 8]),
            member: member(&store, "mika@example.org", now).await,
            store,
            now,
            url,
            folder,
        };
        bed.project = bed.another_project("first").await;
        bed
    }

    /// The address of another database of the same kind, with nothing in it.
    pub(crate) async fn another_database(&self) -> String {
        if self.url.starts_with("postgres") {
            return postgres_database().await;
        }
        format!("sqlite:{}", self.folder.path().join(format!("{}.sqlite", u64::from_be_bytes(entropy()))).display())
    }

    /// A project of the same person, with a thousand credits.
    pub(crate) async fn another_project(&self, name: &str) -> ProjectId {
        let id = ProjectId::new(self.now, entropy());
        let project = Project {
            id,
            owner: self.member.identity(),
            name: name.into(),
            tier: "default".into(),
            created_at: self.now,
            archived_at: None,
        };
        self.store.create_project(&project).await.unwrap();
        let credits = Credits::from_micros(1_000_000_000);
        self.store.grant(LedgerEntryId::new(self.now, entropy()), id, credits, "hello", self.now).await.unwrap();
        id
    }

    pub(crate) fn new_generation(&self) -> NewGeneration {
        NewGeneration { id: VideoId::new(self.now, entropy()), seed: 7 }
    }

    /// Accepts one clip of four seconds.
    pub(crate) async fn accept(&self, project: ProjectId) -> Generation {
        let parameters = parameters("a red boat");
        let generations = [self.new_generation()];
        let request = self.request(project, &parameters, &generations);
        match self.store.accept(self.member, &request, self.now).await.unwrap() {
            Accepted::New(mut generations) => generations.remove(0),
            other @ Accepted::Repeated(_) => panic!("{other:?}"),
        }
    }

    pub(crate) fn request<'a>(
        &self,
        project: ProjectId,
        parameters: &'a Parameters,
        generations: &'a [NewGeneration],
    ) -> Accept<'a> {
        static KIND: GenerationKind = GenerationKind::Create { first_frame: None, characters: Vec::new() };
        static MODEL: OnceLock<ModelName> = OnceLock::new();
        Accept {
            project,
            parameters,
            kind: &KIND,
            model: MODEL.get_or_init(|| ModelName::parse("paper-1").unwrap()),
            total_seconds: parameters.seconds,
            price: PRICE,
            generations,
            likenesses: &[],
            idempotency: None,
            batch_line: None,
        }
    }

    /// Whose the things of the bed's member are.
    pub(crate) fn subject(&self) -> Subject {
        Subject { identity: self.member.identity(), service: Service::Video, since: self.now }
    }

    /// What a worker makes of a generation at an attempt.
    pub(crate) async fn outputs(&self, id: VideoId, attempt: u32) -> Outputs {
        Outputs {
            video: self.objects.put_video(self.subject(), id, attempt, signed_video().clone()).await.unwrap(),
            thumbnail: None,
            spritesheet: None,
            frames: Vec::new(),
            recipe: "{}".into(),
            expires_at: None,
        }
    }
}

/// Objects sealed with the key of the bed's rows.
pub(crate) fn objects(place: &ObjectsPlace) -> Objects {
    Objects::open(place).unwrap().sealed_with(Sealer::new([1; 32]))
}

/// Someone who has joined the video service.
pub(crate) async fn member(store: &Store, email: &str, now: Timestamp) -> ActiveMembership {
    let id = IdentityId::new(now, entropy());
    store.create_identity(id, email, now).await.unwrap();
    store.change_membership(id, Service::Video, MembershipEvent::Join, now).await.unwrap();
    store.membership(id, Service::Video).await.unwrap().active().unwrap()
}

pub(crate) fn paper() -> Vec<Route> {
    vec![Route { model: ModelName::parse("paper-1").unwrap(), size: None }]
}

pub(crate) fn parameters(prompt: &str) -> Parameters {
    let words = Words { prompt: Some(prompt), ..Words::default() };
    let model = ModelName::parse("sora-2").unwrap();
    Parameters::of_source(&words, model, Offer::API_SIZES[0], Seconds::new(4).unwrap()).unwrap()
}

/// A real signed video, made once.
pub(crate) fn signed_video() -> &'static SignedVideo {
    static VIDEO: OnceLock<SignedVideo> = OnceLock::new();
    VIDEO.get_or_init(|| {
        let clip = include_bytes!("../../../provenance/tests/it/clip.mp4");
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::open_or_create(&folder.path().join("keys"), "tests").unwrap();
        let facts = Provenance {
            title: "a red boat".into(),
            action: Action::Created,
            software_agent: SoftwareAgent { name: "Misora".into(), version: "0".into() },
            model: Model { name: "test".into(), weights_hash: String::new() },
            recipe: serde_json::json!({}),
            training: TrainingChoice::NotAllowed,
            when: time::macros::datetime!(2026-11-23 21:30:00 UTC),
            visible_mark: true,
            parent: None,
            placed: Vec::new(),
        };
        sign(clip, &facts, &key).unwrap()
    })
}

/// What no method of a store does: SQL from beside it.
pub(crate) mod raw {
    use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};

    /// Runs statements.
    pub(crate) async fn execute(url: &str, sql: &str) {
        try_execute(url, sql).await.unwrap();
    }

    /// Runs statements that the database may refuse.
    pub(crate) async fn try_execute(url: &str, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        if url.starts_with("sqlite") {
            sql.execute(&mut SqliteConnection::connect(url).await.unwrap()).await.map(|_| ())
        } else {
            sql.execute(&mut PgConnection::connect(url).await.unwrap()).await.map(|_| ())
        }
    }

    macro_rules! one {
        ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {$(
            $(#[$doc])*
            pub(crate) async fn $name(url: &str, sql: &str) -> $type {
                let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
                if url.starts_with("sqlite") {
                    sql.fetch_one(&mut SqliteConnection::connect(url).await.unwrap()).await.unwrap().get(0)
                } else {
                    sql.fetch_one(&mut PgConnection::connect(url).await.unwrap()).await.unwrap().get(0)
                }
            }
        )*};
    }

    one! {
        /// The bytes in the first column of the first row.
        bytes: Vec<u8>;
        /// The text in the first column of the first row.
        text: String;
        /// The number in the first column of the first row.
        number: i64;
    }

    /// All tables of ours with how many rows they have.
    pub(crate) async fn counts(url: &str) -> Vec<(String, i64)> {
        let names = if url.starts_with("sqlite") {
            "SELECT group_concat(name) FROM sqlite_master
             WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> '_sqlx_migrations'"
        } else {
            "SELECT string_agg(tablename, ',') FROM pg_tables
             WHERE schemaname = 'public' AND tablename <> '_sqlx_migrations'"
        };
        let mut counts = Vec::new();
        for name in text(url, names).await.split(',') {
            counts.push((name.to_owned(), number(url, &format!("SELECT COUNT(*) FROM {name}")).await));
        }
        counts
    }
}
