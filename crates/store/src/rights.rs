//! The registry of rights: who speaks for holders, and what they allow and forbid.

use platform::policy::{RightsEntry, RightsKind, RightsUse, Stance};
use platform::{IdentityId, RightsAgentId, RightsId, Timestamp};

use crate::database::{Row, args};
use crate::error::{StoreError, corrupt};
use crate::generation::{moment, word};
use crate::store::Store;

/// Someone who speaks for holders of rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RightsAgent {
    /// Its id.
    pub id: RightsAgentId,
    /// A firm, an estate or a person.
    pub name: String,
    /// A mail address or a page.
    pub contact: String,
    /// How it was shown that they may speak.
    pub proof: String,
    /// Since when they are known.
    pub created_at: Timestamp,
    /// Who checked that, and when. Nothing of theirs counts before.
    pub verified: Option<(IdentityId, Timestamp)>,
    /// Since when nothing of theirs counts any more.
    pub revoked_at: Option<Timestamp>,
}

/// An entry with whom it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRights {
    /// The entry.
    pub entry: RightsEntry,
    /// Who says so.
    pub agent: RightsAgentId,
    /// Since when it was taken back.
    pub withdrawn_at: Option<Timestamp>,
}

impl Store {
    /// Keeps an agent.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn create_rights_agent(&self, agent: &RightsAgent) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO rights_agents (id, name, contact, created_at, proof, verified_by, verified_at, revoked_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let (by, at) = agent.verified.unzip();
        let (name, contact, proof) = (agent.name.as_str(), agent.contact.as_str(), agent.proof.as_str());
        let args = args![agent.id, name, contact, agent.created_at, proof, by, at, agent.revoked_at];
        self.database.execute(sql, args).await.map(|_| ())
    }

    /// Writes down that someone checked who an agent is, and how.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none, or nothing of theirs counts any more.
    pub async fn verify_rights_agent(
        &self,
        id: RightsAgentId,
        by: IdentityId,
        proof: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE rights_agents SET proof = $2, verified_by = $3, verified_at = $4
                   WHERE id = $1 AND revoked_at IS NULL";
        match self.database.execute(sql, args![id, proof, by, now]).await? {
            0 => Err(StoreError::NotFound("agent")),
            _ => Ok(()),
        }
    }

    /// Nothing that an agent says counts any more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none.
    pub async fn revoke_rights_agent(&self, id: RightsAgentId, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE rights_agents SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
        match self.database.execute(sql, args![id, now]).await? {
            0 => Err(StoreError::NotFound("agent")),
            _ => Ok(()),
        }
    }

    /// An agent.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn rights_agent(&self, id: RightsAgentId) -> Result<RightsAgent, StoreError> {
        let row = self.database.first("SELECT * FROM rights_agents WHERE id = $1", args![id]).await?;
        agent(&row.ok_or(StoreError::NotFound("agent"))?)
    }

    /// All agents, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn rights_agents(&self) -> Result<Vec<RightsAgent>, StoreError> {
        let rows = self.database.all("SELECT * FROM rights_agents ORDER BY id DESC", args![]).await?;
        rows.iter().map(agent).collect()
    }

    /// Keeps an entry of an agent.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the agent is not known, or nothing of theirs counts any more.
    pub async fn create_rights(
        &self,
        agent: RightsAgentId,
        entry: &RightsEntry,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO rights_entries
                       (id, agent, kind, stance, names, uses, holder, from_at, until_at, created_at)
                   SELECT $1, a.id, $3, $4, $5, $6, $7, $8, $9, $10
                   FROM rights_agents a WHERE a.id = $2 AND a.revoked_at IS NULL";
        let (kind, stance) = (entry.kind.as_str(), entry.stance.as_str());
        let names = entry.names.join("\n");
        let uses: Vec<_> = entry.uses.iter().map(|reach| reach.as_str()).collect();
        let uses = uses.join(" ");
        let holder = entry.holder.as_str();
        let args = args![entry.id, agent, kind, stance, names, uses, holder, entry.from, entry.until, now];
        match self.database.execute(sql, args).await? {
            0 => Err(StoreError::NotFound("agent")),
            _ => Ok(()),
        }
    }

    /// Takes an entry back.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is none.
    pub async fn withdraw_rights(&self, id: RightsId, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE rights_entries SET withdrawn_at = $2 WHERE id = $1 AND withdrawn_at IS NULL";
        match self.database.execute(sql, args![id, now]).await? {
            0 => Err(StoreError::NotFound("entry")),
            _ => Ok(()),
        }
    }

    /// All entries, the newest first, those that were taken back too.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn rights(&self) -> Result<Vec<StoredRights>, StoreError> {
        let rows = self.database.all("SELECT * FROM rights_entries ORDER BY id DESC", args![]).await?;
        rows.iter().map(stored).collect()
    }

    /// What counts at a moment: entries of agents that were checked, which have begun and not ended.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn standing_rights(&self, at: Timestamp) -> Result<Vec<RightsEntry>, StoreError> {
        let sql = "SELECT e.* FROM rights_entries e JOIN rights_agents a ON a.id = e.agent
                   WHERE e.withdrawn_at IS NULL AND a.revoked_at IS NULL AND a.verified_at IS NOT NULL
                     AND e.from_at <= $1 AND (e.until_at IS NULL OR e.until_at > $1)
                   ORDER BY e.id";
        let rows = self.database.all(sql, args![at]).await?;
        rows.iter().map(|row| Ok(stored(row)?.entry)).collect()
    }
}

fn agent(row: &Row) -> Result<RightsAgent, StoreError> {
    let verified = match (row.opt_id("verified_by")?, moment(row, "verified_at")?) {
        (Some(by), Some(at)) => Some((IdentityId::from_bytes(by), at)),
        _ => None,
    };
    Ok(RightsAgent {
        id: RightsAgentId::from_bytes(row.id("id")?),
        name: row.text("name")?,
        contact: row.text("contact")?,
        proof: row.text("proof")?,
        created_at: Timestamp::from_micros(row.int("created_at")?),
        verified,
        revoked_at: moment(row, "revoked_at")?,
    })
}

fn stored(row: &Row) -> Result<StoredRights, StoreError> {
    let uses = row.text("uses")?;
    let read = |text: &str| {
        let known = RightsUse::ALL.into_iter().find(|reach| reach.as_str() == text);
        known.ok_or_else(|| corrupt("uses", text))
    };
    let entry = RightsEntry {
        id: RightsId::from_bytes(row.id("id")?),
        kind: word(row, "kind", |text| RightsKind::ALL.into_iter().find(|kind| kind.as_str() == text))?,
        stance: word(row, "stance", |text| Stance::ALL.into_iter().find(|stance| stance.as_str() == text))?,
        names: row.text("names")?.lines().map(str::to_owned).collect(),
        uses: uses.split_whitespace().map(read).collect::<Result<_, _>>()?,
        holder: row.text("holder")?,
        from: Timestamp::from_micros(row.int("from_at")?),
        until: moment(row, "until_at")?,
    };
    let agent = RightsAgentId::from_bytes(row.id("agent")?);
    Ok(StoredRights { entry, agent, withdrawn_at: moment(row, "withdrawn_at")? })
}
