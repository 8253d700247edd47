//! The registry of rights: who speaks for holders, what they allow and forbid, and what they ask to have entered.

use platform::policy::{RightsEntry, RightsKind, RightsRequestState, RightsUse, Stance};
use platform::{IdentityId, RightsAgentId, RightsId, RightsRequestId, Timestamp, TokenHash};

use crate::audit::{AuditEntry, append};
use crate::database::{Row, Tx, args};
use crate::error::{StoreError, corrupt};
use crate::generation::{moment, word};
use crate::letter::{Letter, insert_letter};
use crate::store::Store;

/// Open requests that one address may have at a time.
const MAX_OPEN_REQUESTS: i64 = 20;

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

/// What a holder of rights asks to have entered. It counts for nothing before someone here has checked who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RightsRequest {
    /// Its id.
    pub id: RightsRequestId,
    /// What it says, as JSON.
    pub details: String,
    /// Where it stands.
    pub state: RightsRequestState,
    /// When it came.
    pub received_at: Timestamp,
    /// When it was decided, and by whom.
    pub decided: Option<(IdentityId, Timestamp)>,
    /// What was entered for it.
    pub entry: Option<RightsId>,
    /// How it was checked, or why it was refused.
    pub answer: String,
}

/// A request to be filed.
#[derive(Clone, Debug)]
pub struct NewRightsRequest<'a> {
    /// Its id.
    pub id: RightsRequestId,
    /// The hash of the secret of its page.
    pub link: TokenHash,
    /// A keyed hash of the asker's address.
    pub asker: [u8; 32],
    /// What it says, as JSON.
    pub details: &'a str,
}

impl Store {
    /// Keeps what a holder of rights asks for, with its letters.
    ///
    /// # Errors
    /// [`StoreError::State`] if too many of this address are open.
    pub async fn file_rights_request(
        &self,
        request: &NewRightsRequest<'_>,
        letters: &[Letter],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = "SELECT COUNT(*) AS count FROM rights_requests WHERE asker = $1 AND state = 'open'";
        let open = tx.first(sql, args![request.asker]).await?.map_or(Ok(0), |row| row.int("count"))?;
        if open >= MAX_OPEN_REQUESTS {
            return Err(StoreError::State { what: "request", state: "one too many from this address".into() });
        }
        let details = self.sealer()?.seal(request.details.as_bytes(), &purpose(request.id));
        let sql = "INSERT INTO rights_requests (id, link, asker, details, state, received_at)
                   VALUES ($1, $2, $3, $4, 'open', $5)";
        tx.execute(sql, args![request.id, request.link, request.asker, details, now]).await?;
        for letter in letters {
            insert_letter(&mut tx, self.sealer()?, letter).await?;
        }
        tx.commit().await
    }

    /// The request of a secret.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn rights_request_of_link(&self, link: TokenHash) -> Result<RightsRequest, StoreError> {
        let row = self.database.first("SELECT * FROM rights_requests WHERE link = $1", args![link]).await?;
        self.request_from_row(&row.ok_or(StoreError::NotFound("request"))?)
    }

    /// A request.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn rights_request(&self, id: RightsRequestId) -> Result<RightsRequest, StoreError> {
        let row = self.database.first("SELECT * FROM rights_requests WHERE id = $1", args![id]).await?;
        self.request_from_row(&row.ok_or(StoreError::NotFound("request"))?)
    }

    /// Requests that wait, the oldest first, from behind one on, so many at most.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn open_rights_requests(
        &self,
        after: Option<RightsRequestId>,
        limit: u32,
    ) -> Result<Vec<RightsRequest>, StoreError> {
        let after = after.unwrap_or(RightsRequestId::from_bytes([0; 16]));
        let sql = "SELECT * FROM rights_requests WHERE state = 'open' AND id > $1 ORDER BY id LIMIT $2";
        let rows = self.database.all(sql, args![after, limit]).await?;
        rows.iter().map(|row| self.request_from_row(row)).collect()
    }

    /// Enters what a request asks for, once: its agent, checked by whoever decides, and the entry, in one step.
    ///
    /// # Errors
    /// [`StoreError::State`] if it is decided.
    pub async fn enter_rights_request(
        &self,
        id: RightsRequestId,
        (agent, entry): (&RightsAgent, &RightsEntry),
        letters: &[Letter],
        by: IdentityId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        decide_request(&mut tx, id, (RightsRequestState::Entered, &agent.proof), by, now).await?;
        insert_agent(&mut tx, agent).await?;
        insert_entry(&mut tx, agent.id, entry, now).await?;
        tx.execute("UPDATE rights_requests SET entry = $2 WHERE id = $1", args![id, entry.id]).await?;
        for letter in letters {
            insert_letter(&mut tx, self.sealer()?, letter).await?;
        }
        append(&mut tx, &line(by, "rights.enter", id, format!("{}: {}", agent.id, entry.names.join(", ")), now))
            .await?;
        tx.commit().await
    }

    /// Does not enter what a request asks for, and says why.
    ///
    /// # Errors
    /// [`StoreError::State`] if it is decided.
    pub async fn refuse_rights_request(
        &self,
        id: RightsRequestId,
        why: &str,
        letters: &[Letter],
        by: IdentityId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        decide_request(&mut tx, id, (RightsRequestState::Refused, why), by, now).await?;
        for letter in letters {
            insert_letter(&mut tx, self.sealer()?, letter).await?;
        }
        append(&mut tx, &line(by, "rights.refuse", id, why.to_owned(), now)).await?;
        tx.commit().await
    }

    fn request_from_row(&self, row: &Row) -> Result<RightsRequest, StoreError> {
        let id = RightsRequestId::from_bytes(row.id("id")?);
        let details = self.sealer()?.open(&row.blob("details")?, &purpose(id))?;
        let decided = match (row.opt_id("decided_by")?, moment(row, "decided_at")?) {
            (Some(by), Some(at)) => Some((IdentityId::from_bytes(by), at)),
            _ => None,
        };
        Ok(RightsRequest {
            id,
            details: String::from_utf8(details).map_err(|_| corrupt("details", "no text"))?,
            state: word(row, "state", RightsRequestState::from_word)?,
            received_at: Timestamp::from_micros(row.int("received_at")?),
            decided,
            entry: row.opt_id("entry")?.map(RightsId::from_bytes),
            answer: row.text("answer")?,
        })
    }

    /// Keeps an agent.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn create_rights_agent(&self, agent: &RightsAgent) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        insert_agent(&mut tx, agent).await?;
        tx.commit().await
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
        let mut tx = self.database.begin().await?;
        insert_entry(&mut tx, agent, entry, now).await?;
        tx.commit().await
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

async fn insert_agent(tx: &mut Tx, agent: &RightsAgent) -> Result<(), StoreError> {
    let sql = "INSERT INTO rights_agents (id, name, contact, created_at, proof, verified_by, verified_at, revoked_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let (by, at) = agent.verified.unzip();
    let (name, contact, proof) = (agent.name.as_str(), agent.contact.as_str(), agent.proof.as_str());
    let args = args![agent.id, name, contact, agent.created_at, proof, by, at, agent.revoked_at];
    tx.execute(sql, args).await.map(|_| ())
}

async fn insert_entry(
    tx: &mut Tx,
    agent: RightsAgentId,
    entry: &RightsEntry,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO rights_entries (id, agent, kind, stance, names, uses, holder, from_at, until_at, created_at)
               SELECT $1, a.id, $3, $4, $5, $6, $7, $8, $9, $10 FROM rights_agents a WHERE a.id = $2 AND a.revoked_at IS NULL";
    let (kind, stance) = (entry.kind.as_str(), entry.stance.as_str());
    let names = entry.names.join("\n");
    let uses: Vec<_> = entry.uses.iter().map(|reach| reach.as_str()).collect();
    let uses = uses.join(" ");
    let holder = entry.holder.as_str();
    let args = args![entry.id, agent, kind, stance, names, uses, holder, entry.from, entry.until, now];
    match tx.execute(sql, args).await? {
        0 => Err(StoreError::NotFound("agent")),
        _ => Ok(()),
    }
}

/// Decides a request, once.
async fn decide_request(
    tx: &mut Tx,
    id: RightsRequestId,
    (state, answer): (RightsRequestState, &str),
    by: IdentityId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "UPDATE rights_requests SET state = $2, answer = $3, decided_by = $4, decided_at = $5 WHERE id = $1 AND state = 'open'";
    match tx.execute(sql, args![id, state.as_str(), answer, by, now]).await? {
        0 => Err(StoreError::State { what: "request", state: "decided".into() }),
        _ => Ok(()),
    }
}

fn line(by: IdentityId, action: &str, id: RightsRequestId, detail: String, now: Timestamp) -> AuditEntry {
    AuditEntry { at: now, actor: Some(by), action: action.to_owned(), subject: id.to_string(), detail }
}

fn purpose(id: RightsRequestId) -> String {
    format!("details of {id}")
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
