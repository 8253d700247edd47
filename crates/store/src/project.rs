//! Projects: who pays, whose keys and quotas they are.

use platform::{IdentityId, ProjectId, RateDecision, RateState, Timestamp, rate_decision};

use crate::database::{Row, args};
use crate::error::StoreError;
use crate::generation::moment;
use crate::store::Store;

/// A project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Whose it is.
    pub owner: IdentityId,
    /// What its owner calls it.
    pub name: String,
    /// The name of its tier.
    pub tier: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was put away: its keys do nothing any more.
    pub archived_at: Option<Timestamp>,
}

impl Store {
    /// Makes a project.
    ///
    /// # Errors
    /// [`StoreError::Database`], also if owner or tier do not exist.
    pub async fn create_project(&self, project: &Project) -> Result<(), StoreError> {
        let sql = "INSERT INTO projects (id, owner, name, tier, created_at) VALUES ($1, $2, $3, $4, $5)";
        let (name, tier) = (project.name.as_str(), project.tier.as_str());
        self.database.execute(sql, args![project.id, project.owner, name, tier, project.created_at]).await.map(|_| ())
    }

    /// A project.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn project(&self, id: ProjectId) -> Result<Project, StoreError> {
        let row = self.database.first("SELECT * FROM projects WHERE id = $1", args![id]).await?;
        from_row(&row.ok_or(StoreError::NotFound("project"))?)
    }

    /// A person's projects, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn projects(&self, owner: IdentityId) -> Result<Vec<Project>, StoreError> {
        let rows = self.database.all("SELECT * FROM projects WHERE owner = $1 ORDER BY id", args![owner]).await?;
        rows.iter().map(from_row).collect()
    }

    /// Renames a project or moves it to another tier.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn change_project(&self, id: ProjectId, name: &str, tier: &str) -> Result<(), StoreError> {
        match self
            .database
            .execute("UPDATE projects SET name = $2, tier = $3 WHERE id = $1", args![id, name, tier])
            .await?
        {
            0 => Err(StoreError::NotFound("project")),
            _ => Ok(()),
        }
    }

    /// Puts a project away. What it made stays readable to its owner.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn archive_project(&self, id: ProjectId, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE projects SET archived_at = COALESCE(archived_at, $2) WHERE id = $1";
        match self.database.execute(sql, args![id, now]).await? {
            0 => Err(StoreError::NotFound("project")),
            _ => Ok(()),
        }
    }

    /// Counts one request against a project's limit, exactly, across all nodes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn count_request(
        &self,
        id: ProjectId,
        requests_per_minute: u32,
        now: Timestamp,
    ) -> Result<RateDecision, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!("SELECT rate_full_at FROM projects WHERE id = $1{}", tx.for_update());
        let row = tx.first(sql, args![id]).await?.ok_or(StoreError::NotFound("project"))?;
        let state = RateState::from_timestamp(Timestamp::from_micros(row.int("rate_full_at")?));
        let decision = rate_decision(state, requests_per_minute, now);
        if decision.allowed {
            let sql = "UPDATE projects SET rate_full_at = $2 WHERE id = $1";
            tx.execute(sql, args![id, decision.state.timestamp()]).await?;
        }
        tx.commit().await?;
        Ok(decision)
    }
}

fn from_row(row: &Row) -> Result<Project, StoreError> {
    Ok(Project {
        id: ProjectId::from_bytes(row.id("id")?),
        owner: IdentityId::from_bytes(row.id("owner")?),
        name: row.text("name")?,
        tier: row.text("tier")?,
        created_at: Timestamp::from_micros(row.int("created_at")?),
        archived_at: moment(row, "archived_at")?,
    })
}
