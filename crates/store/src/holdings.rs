//! What each owner holds of a person: which rows, and which objects they name. One list for the preview of an end, the erasure, its
//! receipt and the overview; and figures of the installation.

use platform::{IdentityId, Owner, Service, Timestamp};

use crate::database::{Database, Row, Tx, args};
use crate::error::StoreError;
use crate::objects::ObjectKey;
use crate::social::LEAVING;
use crate::store::Store;

/// Rows of one table that are a person's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The class of data, by its name in the retention schedule.
    pub class: &'static str,
    /// The table.
    pub table: &'static str,
    /// Which of its rows: a condition in which `$1` is the person.
    pub of: &'static str,
    /// How many bytes of media a row stands for: an expression.
    pub bytes: &'static str,
    /// The objects that its rows name.
    pub objects: RowObjects,
}

/// Which objects a row names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowObjects {
    /// None.
    Nothing,
    /// Those of a generation.
    Renders,
    /// The folder of the key in this column.
    FolderOf(&'static str),
}

/// All that one owner keeps about people. A service of one's own brings one of these, and is then counted, erased and proved like the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// Whose.
    pub owner: Owner,
    /// Its rows, in an order in which they can be deleted.
    pub holdings: &'static [Holding],
}

/// How much of a class there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The class.
    pub class: String,
    /// Rows.
    pub count: u64,
    /// Bytes of media.
    pub bytes: u64,
}

/// What a service holds of someone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Clips, posts or files, the trash included.
    pub count: u64,
    /// Bytes of their videos or contents.
    pub bytes: u64,
}

/// What happens in an installation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// People with an account.
    pub people: u64,
    /// Posts that are shown.
    pub posts: u64,
    /// Clips that were finished since the moment.
    pub completed: u64,
    /// Those that failed since.
    pub failed: u64,
    /// Bytes of all videos.
    pub bytes: u64,
}

impl Holding {
    /// Rows of a table that name nothing but themselves.
    pub const fn rows(class: &'static str, table: &'static str, of: &'static str) -> Self {
        Self { class, table, of, bytes: "0", objects: RowObjects::Nothing }
    }

    const fn with(self, bytes: &'static str, objects: RowObjects) -> Self {
        Self { bytes, objects, ..self }
    }
}

/// The condition of rows that belong to a project of the person.
const OF_PROJECTS: &str = "project IN (SELECT id FROM projects WHERE owner = $1)";

const VIDEO: &[Holding] = &[
    Holding::rows(
        "castings",
        "likeness_uses",
        "maker = $1 AND NOT EXISTS (SELECT 1 FROM posts p WHERE p.video = likeness_uses.generation)",
    ),
    Holding::rows("jobs", "jobs", "id IN (SELECT id FROM generations WHERE identity = $1)"),
    Holding::rows("clips", "generations", "identity = $1 AND kind <> 'image'").with("video_size", RowObjects::Renders),
    Holding::rows("pictures", "generations", "identity = $1 AND kind = 'image'")
        .with("video_size", RowObjects::Renders),
    Holding::rows("folders", "folders", "identity = $1"),
    Holding::rows("characters", "characters", OF_PROJECTS).with("0", RowObjects::FolderOf("object_key")),
    Holding::rows(
        "references",
        "files",
        "purpose = 'input_reference' AND project IN (SELECT id FROM projects WHERE owner = $1)",
    )
    .with("size_bytes", RowObjects::FolderOf("object_key")),
];

/// Its rows of uses by others are told apart from one's own uses of others, which go with one's own services.
const LIKENESS: &[Holding] = &[
    Holding::rows("likeness_uses", "likeness_uses", "likeness IN (SELECT id FROM likenesses WHERE identity = $1)"),
    Holding::rows(
        "captures",
        "likeness_chunks",
        "enrolment IN (SELECT id FROM likeness_enrolments WHERE identity = $1)",
    )
    .with("size", RowObjects::FolderOf("object_key")),
    Holding::rows("enrolments", "likeness_enrolments", "identity = $1").with("0", RowObjects::FolderOf("template_key")),
    Holding::rows("likeness", "likeness_grants", "likeness IN (SELECT id FROM likenesses WHERE identity = $1)"),
    Holding::rows("likeness", "likeness_blocks", "likeness IN (SELECT id FROM likenesses WHERE identity = $1)"),
    Holding::rows("likeness", "likenesses", "identity = $1").with("0", RowObjects::FolderOf("template_key")),
];

const API: &[Holding] = &[
    Holding::rows(
        "batches",
        "batch_items",
        "batch IN (SELECT b.id FROM batches b JOIN projects p ON p.id = b.project WHERE p.owner = $1)",
    ),
    Holding::rows("batches", "batches", OF_PROJECTS),
    Holding::rows(
        "webhooks",
        "webhook_deliveries",
        "endpoint IN (SELECT e.id FROM webhook_endpoints e JOIN projects p ON p.id = e.project WHERE p.owner = $1)",
    ),
    Holding::rows("webhooks", "webhook_endpoints", OF_PROJECTS),
    Holding::rows("keys", "api_keys", OF_PROJECTS),
    Holding::rows(
        "files",
        "files",
        "purpose <> 'input_reference' AND project IN (SELECT id FROM projects WHERE owner = $1)",
    )
    .with("size_bytes", RowObjects::FolderOf("object_key")),
    Holding::rows("idempotency", "idempotency_keys", OF_PROJECTS),
];

const ACCOUNT: &[Holding] = &[
    Holding::rows("sessions", "sessions", "identity = $1"),
    Holding::rows("sessions", "one_time_tokens", "identity = $1"),
    Holding::rows("archives", "export_parts", "export IN (SELECT id FROM exports WHERE identity = $1)")
        .with("size", RowObjects::FolderOf("object_key")),
    Holding::rows("archives", "exports", "identity = $1"),
    Holding::rows("brought", "import_parts", "import IN (SELECT id FROM imports WHERE identity = $1)")
        .with("size", RowObjects::FolderOf("object_key")),
    Holding::rows("brought", "imports", "identity = $1"),
    Holding::rows(
        "destinations",
        "export_destination_files",
        "destination IN (SELECT id FROM export_destinations WHERE identity = $1)",
    ),
    Holding::rows("destinations", "export_destinations", "identity = $1"),
    Holding::rows("notice_choices", "notice_settings", "identity = $1"),
    Holding::rows("notice_choices", "notice_letters", "identity = $1"),
    Holding::rows("notice_choices", "clips_seen", "identity = $1"),
    Holding::rows("sunset_letters", "sunset_letters", "identity = $1"),
    Holding::rows("letter_choices", "key_letters", "identity = $1"),
    Holding::rows("appeals", "appeals", "subject = $1"),
    Holding::rows("decision_evidence", "decision_evidence", "subject = $1"),
    Holding::rows("castings_shown", "likeness_uses", "maker = $1"),
    Holding::rows("castings_shown", "likeness_grants", "grantee = $1"),
    Holding::rows("castings_shown", "likeness_blocks", "blocked = $1"),
    Holding::rows("sign_in", "credentials", "identity = $1"),
    Holding::rows("sign_in", "second_factors", "identity = $1"),
    Holding::rows("sign_in", "passkeys", "identity = $1"),
    Holding::rows("ledger", "ledger", OF_PROJECTS),
    Holding::rows("usage", "usage_days", OF_PROJECTS),
    Holding::rows("projects", "projects", "owner = $1"),
    Holding::rows("memberships", "memberships", "identity = $1"),
    Holding::rows("memberships", "closures", "identity = $1"),
    Holding::rows("account", "identities", "id = $1"),
];

/// Every owner of the product with what it keeps.
pub const KEEPERS: &[Keeper] = &[
    Keeper { owner: Owner::Service(Service::Video), holdings: VIDEO },
    Keeper { owner: Owner::Service(Service::Social), holdings: LEAVING },
    Keeper { owner: Owner::Service(Service::Likeness), holdings: LIKENESS },
    Keeper { owner: Owner::Service(Service::Api), holdings: API },
    Keeper { owner: Owner::Account, holdings: ACCOUNT },
];

impl Store {
    /// What an owner keeps.
    pub(crate) fn holdings_of(&self, owner: Owner) -> impl Iterator<Item = &'static Holding> {
        let keepers = KEEPERS.iter().chain(self.neighbours.iter()).filter(move |keeper| keeper.owner == owner);
        keepers.flat_map(|keeper| keeper.holdings)
    }

    /// How much an owner holds of someone, class by class; classes without anything are left out.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn held(&self, identity: IdentityId, owner: Owner) -> Result<Vec<Held>, StoreError> {
        let mut held: Vec<Held> = Vec::new();
        for holding in self.holdings_of(owner) {
            let (count, bytes) = holding.count(&self.database, identity).await?;
            match held.iter_mut().find(|known| known.class == holding.class) {
                _ if count == 0 => {}
                Some(known) => (known.count, known.bytes) = (known.count + count, known.bytes + bytes),
                None => held.push(Held { class: holding.class.to_owned(), count, bytes }),
            }
        }
        Ok(held)
    }

    /// What a service holds of someone, by the class that it is for. Services that keep nothing of their own hold nothing.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn holdings(&self, identity: IdentityId, service: Service) -> Result<Holdings, StoreError> {
        let main = match service {
            Service::Video => "clips",
            Service::Social => "posts",
            Service::Api => "files",
            Service::Likeness => "likeness_uses",
            Service::Assistant => return Ok(Holdings::default()),
        };
        let holding = self.holdings_of(Owner::Service(service)).find(|holding| holding.class == main);
        match holding {
            Some(holding) => {
                let (count, bytes) = holding.count(&self.database, identity).await?;
                Ok(Holdings { count, bytes })
            }
            None => Ok(Holdings::default()),
        }
    }

    /// What happens in the installation, some of it since a moment.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn figures(&self, since: Timestamp) -> Result<Figures, StoreError> {
        let sql = "SELECT (SELECT COUNT(*) FROM identities) AS people,
                   (SELECT COUNT(*) FROM posts WHERE state = 'published') AS posts,
                   (SELECT COUNT(*) FROM generations WHERE state = 'completed' AND ended_at >= $1) AS completed,
                   (SELECT COUNT(*) FROM generations WHERE state = 'failed' AND ended_at >= $1) AS failed,
                   (SELECT CAST(COALESCE(SUM(video_size), 0) AS BIGINT) FROM generations) AS bytes";
        let row = self.database.first(sql, args![since]).await?;
        row.map_or(Ok(Figures::default()), |row| {
            Ok(Figures {
                people: number(&row, "people")?,
                posts: number(&row, "posts")?,
                completed: number(&row, "completed")?,
                failed: number(&row, "failed")?,
                bytes: number(&row, "bytes")?,
            })
        })
    }
}

impl Holding {
    /// How many rows, and how many bytes they stand for.
    async fn count(&self, database: &Database, identity: IdentityId) -> Result<(u64, u64), StoreError> {
        let Self { table, of, bytes, .. } = self;
        let sql = format!(
            "SELECT COUNT(*) AS count, CAST(COALESCE(SUM({bytes}), 0) AS BIGINT) AS bytes FROM {table} WHERE {of}"
        );
        match database.first(sql, args![identity]).await? {
            Some(row) => Ok((number(&row, "count")?, number(&row, "bytes")?)),
            None => Ok((0, 0)),
        }
    }

    /// Deletes the rows, and says which objects they named.
    pub(crate) async fn erase(&self, tx: &mut Tx, identity: IdentityId) -> Result<Vec<String>, StoreError> {
        let Self { table, of, .. } = self;
        let prefixes = match self.objects {
            RowObjects::Nothing => Vec::new(),
            RowObjects::Renders => {
                let rows = tx.all(format!("SELECT id FROM {table} WHERE {of}"), args![identity]).await?;
                let prefix = |row: &Row| Ok(ObjectKey::renders_prefix(platform::VideoId::from_bytes(row.id("id")?)));
                rows.iter().map(prefix).collect::<Result<_, StoreError>>()?
            }
            RowObjects::FolderOf(column) => {
                let sql = format!(
                    "SELECT {column} AS name FROM {table} WHERE {column} IS NOT NULL AND {column} <> '' AND {of}"
                );
                let rows = tx.all(sql, args![identity]).await?;
                let prefix = |row: &Row| Ok(ObjectKey::from_row(row.text("name")?).parent().to_owned());
                rows.iter().map(prefix).collect::<Result<_, StoreError>>()?
            }
        };
        tx.execute(format!("DELETE FROM {table} WHERE {of}"), args![identity]).await?;
        Ok(prefixes)
    }
}

fn number(row: &Row, column: &'static str) -> Result<u64, StoreError> {
    Ok(u64::try_from(row.int(column)?).unwrap_or(0))
}
