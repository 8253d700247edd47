//! The record of what was done to others: lines are added and never changed, and each is chained to the one before it, so that a line
//! that was changed or taken out is found.
//!
//! A line's hash is SHA-256 over the hash before it and its own fields. One row, `audit_head`, holds the newest hash; whoever adds a line
//! locks that row, so lines are added one after the other. It is the last lock of a transaction. Pruning the oldest lines leaves the hash
//! of the last pruned one there, and the rest still proves itself.
//!
//! Whoever can write all tables can write a new chain. What was told before, the hash that `misora admin audit verify` prints and that
//! every evidence kit holds, then fits no more.

use platform::{IdentityId, Timestamp, hex};
use sha2::{Digest as _, Sha256};

use crate::database::{Row, Tx, args};
use crate::error::{StoreError, corrupt};
use crate::generation::number;
use crate::store::Store;

/// Lines read, chained or pruned at a time.
const PAGE: u32 = 1000;

/// A line of the record of what was done to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// By whom; nothing for the installation itself.
    pub actor: Option<IdentityId>,
    /// What, one word such as `key.revoke`.
    pub action: String,
    /// To what, an id.
    pub subject: String,
    /// More, for people. No secrets.
    pub detail: String,
}

/// What the record is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditChain {
    /// How many lines there are, up to the first that does not fit.
    pub lines: u64,
    /// When the oldest of them was written.
    pub since: Option<Timestamp>,
    /// The hash of the newest line, in hexadecimal.
    pub head: String,
    /// How many older lines were pruned, their time being over.
    pub pruned: u64,
    /// Where the chain breaks, if it does.
    pub broken: Option<AuditBreak>,
}

/// The first line of the record that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditBreak {
    /// This line was changed, or what stood before it was taken out.
    Line {
        /// Its number.
        id: i64,
        /// What it says now.
        entry: AuditEntry,
    },
    /// This line was written past Misora: it is not chained.
    Unchained {
        /// Its number.
        id: i64,
        /// What it says.
        entry: AuditEntry,
    },
    /// Lines at the end were taken out.
    End,
}

/// The one row of `audit_head`.
struct Head {
    hash: [u8; 32],
    /// The hash of the last line that was pruned.
    anchor: [u8; 32],
    pruned: u64,
    /// The last line that was there before lines were chained.
    unchained_until: i64,
}

impl Store {
    /// Adds a line to the record.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn record_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        append(&mut tx, entry).await?;
        tx.commit().await
    }

    /// The newest lines of the record.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn audit(&self, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = self.database.all("SELECT * FROM audit ORDER BY id DESC LIMIT $1", args![limit]).await?;
        rows.iter().map(entry).collect()
    }

    /// The lines about a subject, an id, and those that say what someone did, from a number on, oldest first, each with its number.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn audit_about(
        &self,
        subject: &str,
        actor: Option<IdentityId>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, AuditEntry)>, StoreError> {
        let sql = "SELECT * FROM audit WHERE (subject = $1 OR actor = $2) AND id > $3 ORDER BY id LIMIT $4";
        let rows = self.database.all(sql, args![subject, actor, after, limit]).await?;
        rows.iter().map(|row| Ok((row.int("id")?, entry(row)?))).collect()
    }

    /// Chains the lines that a version before the chain wrote. Once is enough, and more changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn chain_audit(&self) -> Result<(), StoreError> {
        loop {
            let mut tx = self.database.begin().await?;
            let mut head = lock_head(&mut tx).await?;
            let chained = chain_old_lines(&mut tx, &mut head).await?;
            tx.commit().await?;
            if chained < PAGE as usize {
                return Ok(());
            }
        }
    }

    /// Reads the whole record and says whether it is as it was written.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn verify_audit(&self) -> Result<AuditChain, StoreError> {
        let mut tx = self.database.begin_snapshot().await?;
        let row = tx.first("SELECT * FROM audit_head WHERE one = 1", args![]).await?;
        let head = head(&row.ok_or_else(no_head)?)?;
        let (mut before, mut after) = (head.anchor, 0);
        let mut chain = AuditChain { lines: 0, since: None, head: hex(&head.hash), pruned: head.pruned, broken: None };
        loop {
            let sql = "SELECT * FROM audit WHERE id > $1 ORDER BY id LIMIT $2";
            let rows = tx.all(sql, args![after, PAGE]).await?;
            for row in &rows {
                let (id, entry) = (row.int("id")?, entry(row)?);
                let Some(hash) = row.opt_blob("hash")? else {
                    chain.broken = Some(AuditBreak::Unchained { id, entry });
                    return Ok(chain);
                };
                before = link(&before, &entry);
                if hash != before {
                    chain.broken = Some(AuditBreak::Line { id, entry });
                    return Ok(chain);
                }
                chain.lines += 1;
                chain.since.get_or_insert(entry.at);
                after = id;
            }
            if rows.len() < PAGE as usize {
                break;
            }
        }
        if before != head.hash {
            chain.broken = Some(AuditBreak::End);
        }
        Ok(chain)
    }

    /// The hash of the newest line, in hexadecimal: whoever keeps it can show later that nothing before it was changed.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn audit_head(&self) -> Result<String, StoreError> {
        let row = self.database.first("SELECT * FROM audit_head WHERE one = 1", args![]).await?;
        Ok(hex(&head(&row.ok_or_else(no_head)?)?.hash))
    }

    /// Forgets the oldest lines, those before the first that is not older than a moment, so many at most; says how many. The rest of
    /// the record still proves itself.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn prune_audit(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut tx = self.database.begin().await?;
        let mut head = lock_head(&mut tx).await?;
        while chain_old_lines(&mut tx, &mut head).await? > 0 {}
        let sql = "SELECT id, hash FROM audit
                   WHERE id < (SELECT COALESCE(MIN(id), 9223372036854775807) FROM audit WHERE at >= $1) ORDER BY id LIMIT $2";
        let rows = tx.all(sql, args![before, limit]).await?;
        let Some(last) = rows.last() else { return Ok(0) };
        // A line that was written past us has no hash; the chain goes on from the last that has one.
        let mut anchor = head.anchor;
        for row in rows.iter().rev() {
            if let Some(hash) = row.opt_blob("hash")? {
                anchor = sha256(hash)?;
                break;
            }
        }
        let last = last.int("id")?;
        // First the head, which allows these lines to go and no others.
        let sql = "UPDATE audit_head SET anchor = $1, pruned_until = $2, pruned = pruned + $3 WHERE one = 1";
        tx.execute(sql, args![anchor, last, i64::try_from(rows.len()).unwrap_or(i64::MAX)]).await?;
        let gone = tx.execute("DELETE FROM audit WHERE id <= $1", args![last]).await?;
        tx.commit().await?;
        Ok(gone)
    }
}

/// Adds a line within a transaction. All lines are added here. It locks the record's head, so it comes after all other locks.
pub(crate) async fn append(tx: &mut Tx, entry: &AuditEntry) -> Result<(), StoreError> {
    let mut head = lock_head(tx).await?;
    while chain_old_lines(tx, &mut head).await? > 0 {}
    let hash = link(&head.hash, entry);
    let sql = "INSERT INTO audit (at, actor, action, subject, detail, hash) VALUES ($1, $2, $3, $4, $5, $6)";
    let (action, subject, detail) = (entry.action.as_str(), entry.subject.as_str(), entry.detail.as_str());
    tx.execute(sql, args![entry.at, entry.actor, action, subject, detail, hash]).await?;
    tx.execute("UPDATE audit_head SET hash = $1 WHERE one = 1", args![hash]).await.map(|_| ())
}

async fn lock_head(tx: &mut Tx) -> Result<Head, StoreError> {
    let sql = format!("SELECT * FROM audit_head WHERE one = 1{}", tx.for_update());
    head(&tx.first(sql, args![]).await?.ok_or_else(no_head)?)
}

/// Chains a page of the lines that were there before; says how many. The head moves with them.
async fn chain_old_lines(tx: &mut Tx, head: &mut Head) -> Result<usize, StoreError> {
    if head.unchained_until == 0 {
        return Ok(0);
    }
    let sql = "SELECT * FROM audit WHERE hash IS NULL AND id <= $1 ORDER BY id LIMIT $2";
    let rows = tx.all(sql, args![head.unchained_until, PAGE]).await?;
    for row in &rows {
        head.hash = link(&head.hash, &entry(row)?);
        tx.execute("UPDATE audit SET hash = $2 WHERE id = $1", args![row.int("id")?, head.hash]).await?;
    }
    if rows.len() < PAGE as usize {
        head.unchained_until = 0;
    }
    tx.execute(
        "UPDATE audit_head SET hash = $1, unchained_until = $2 WHERE one = 1",
        args![head.hash, head.unchained_until],
    )
    .await?;
    Ok(rows.len())
}

/// The hash of a line that comes after one of this hash: each field with its length before it, so that none can flow into the next.
fn link(before: &[u8; 32], entry: &AuditEntry) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(b"misora audit 1\0");
    digest.update(before);
    digest.update(entry.at.micros().to_be_bytes());
    let actor = entry.actor.map(IdentityId::bytes).map_or_else(Vec::new, |id| id.to_vec());
    let texts = [entry.action.as_bytes(), entry.subject.as_bytes(), entry.detail.as_bytes()];
    for field in std::iter::once(actor.as_slice()).chain(texts) {
        digest.update((field.len() as u64).to_be_bytes());
        digest.update(field);
    }
    digest.finalize().into()
}

fn entry(row: &Row) -> Result<AuditEntry, StoreError> {
    Ok(AuditEntry {
        at: Timestamp::from_micros(row.int("at")?),
        actor: row.opt_id("actor")?.map(IdentityId::from_bytes),
        action: row.text("action")?,
        subject: row.text("subject")?,
        detail: row.text("detail")?,
    })
}

fn head(row: &Row) -> Result<Head, StoreError> {
    Ok(Head {
        hash: sha256(row.blob("hash")?)?,
        anchor: sha256(row.blob("anchor")?)?,
        pruned: number(row, "pruned")?,
        unchained_until: row.int("unchained_until")?,
    })
}

fn sha256(bytes: Vec<u8>) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| corrupt("hash", "no SHA-256"))
}

fn no_head() -> StoreError {
    corrupt("audit_head", "no row")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_counts_and_none_flows_into_the_next() {
        let line = |at, action: &str, subject: &str, detail: &str| AuditEntry {
            at: Timestamp::from_micros(at),
            actor: None,
            action: action.into(),
            subject: subject.into(),
            detail: detail.into(),
        };
        let lines = [
            line(1, "a", "b", "c"),
            line(2, "a", "b", "c"),
            line(1, "ab", "", "c"),
            line(1, "a", "bc", ""),
            AuditEntry { actor: Some(IdentityId::from_bytes([0; 16])), ..line(1, "a", "b", "c") },
        ];
        let mut hashes: Vec<_> = lines.iter().map(|line| link(&[0; 32], line)).collect();
        hashes.push(link(&[1; 32], &lines[0]));
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), lines.len() + 1);
    }
}
