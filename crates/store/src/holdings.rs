//! How much there is: what each service of a person holds, and what the installation does.

use platform::{IdentityId, Service, Timestamp};

use crate::database::{Row, args};
use crate::error::StoreError;
use crate::store::Store;

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

impl Store {
    /// What a service holds of someone. Services that keep nothing of their own hold nothing.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn holdings(&self, identity: IdentityId, service: Service) -> Result<Holdings, StoreError> {
        let sql = match service {
            Service::Video => {
                "SELECT COUNT(*) AS count, CAST(COALESCE(SUM(video_size), 0) AS BIGINT) AS bytes FROM generations
                 WHERE identity = $1 AND video_key IS NOT NULL"
            }
            Service::Social => {
                "SELECT COUNT(*) AS count, CAST(COALESCE(SUM(video_size), 0) AS BIGINT) AS bytes FROM posts
                 WHERE author = $1 AND state <> 'deleted'"
            }
            Service::Api => {
                "SELECT COUNT(*) AS count, CAST(COALESCE(SUM(f.size_bytes), 0) AS BIGINT) AS bytes FROM files f
                 JOIN projects p ON p.id = f.project WHERE p.owner = $1"
            }
            _ => return Ok(Holdings::default()),
        };
        let row = self.database.first(sql, args![identity]).await?;
        row.map_or(Ok(Holdings::default()), |row| {
            Ok(Holdings { count: number(&row, "count")?, bytes: number(&row, "bytes")? })
        })
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

fn number(row: &Row, column: &'static str) -> Result<u64, StoreError> {
    Ok(u64::try_from(row.int(column)?).unwrap_or(0))
}
