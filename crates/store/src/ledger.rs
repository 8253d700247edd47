//! The ledger and the days' usage, for reading and for the owner's grants. Holds, charges and releases are written where they happen.

use platform::{Credits, LedgerEntryId, LedgerKind, ProjectId, Timestamp, VideoId};

use crate::database::args;
use crate::error::StoreError;
use crate::generation::{number, word};
use crate::store::{Page, Store};

/// What a project has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Granted, less what was charged.
    pub balance: Credits,
    /// Set aside for what is not finished.
    pub held: Credits,
}

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Its id.
    pub id: LedgerEntryId,
    /// What it says.
    pub kind: LedgerKind,
    /// How much; only a grant can be negative.
    pub amount: Credits,
    /// For which generation; nothing for a grant.
    pub generation: Option<VideoId>,
    /// Why, for a grant.
    pub note: String,
    /// When.
    pub at: Timestamp,
}

/// What a project used in a day (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageDay {
    /// Days since 1970.
    pub day: i64,
    /// Generations accepted.
    pub accepted: u64,
    /// Those of them that were completed.
    pub completed: u64,
    /// Seconds of video, of those accepted that did not fail.
    pub seconds: u64,
    /// What they cost.
    pub charged: Credits,
}

impl Store {
    /// Gives credits to a project, or takes some with a negative amount. The same id twice gives once.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such project.
    pub async fn grant(
        &self,
        id: LedgerEntryId,
        project: ProjectId,
        amount: Credits,
        note: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!("SELECT id FROM projects WHERE id = $1{}", tx.for_update());
        tx.first(sql, args![project]).await?.ok_or(StoreError::NotFound("project"))?;
        let sql = "INSERT INTO ledger (id, project, generation, kind, amount, note, at) VALUES ($1, $2, NULL, 'grant', $3, $4, $5)
                   ON CONFLICT (id) DO NOTHING";
        if tx.execute(sql, args![id, project, amount, note, now]).await? > 0 {
            tx.execute("UPDATE projects SET balance = balance + $2 WHERE id = $1", args![project, amount]).await?;
        }
        tx.commit().await
    }

    /// What a project has.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn balance(&self, project: ProjectId) -> Result<Balance, StoreError> {
        let row = self.database.first("SELECT balance, held FROM projects WHERE id = $1", args![project]).await?;
        let row = row.ok_or(StoreError::NotFound("project"))?;
        let credits = |column| row.int(column).map(Credits::from_micros);
        Ok(Balance { balance: credits("balance")?, held: credits("held")? })
    }

    /// The ledger's lines by time.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the page begins behind a line that is not there.
    pub async fn ledger(&self, project: ProjectId, page: Page<LedgerEntryId>) -> Result<Vec<LedgerEntry>, StoreError> {
        let (comparison, direction) = page.order.sql();
        let mut args = vec![project.into(), page.limit.into()];
        let mut behind = String::new();
        if let Some(after) = page.after {
            let sql = "SELECT at FROM ledger WHERE id = $1 AND project = $2";
            let row =
                self.database.first(sql, args![after, project]).await?.ok_or(StoreError::NotFound("ledger entry"))?;
            args.extend([row.int("at")?.into(), after.into()]);
            behind = format!("AND (at, id) {comparison} ($3, $4)");
        }
        let sql = format!(
            "SELECT * FROM ledger WHERE project = $1 {behind} ORDER BY at {direction}, id {direction} LIMIT $2"
        );
        let rows = self.database.all(sql, &args).await?;
        let entry = |row: &crate::database::Row| {
            Ok(LedgerEntry {
                id: LedgerEntryId::from_bytes(row.id("id")?),
                kind: word(row, "kind", LedgerKind::from_word)?,
                amount: Credits::from_micros(row.int("amount")?),
                generation: row.opt_id("generation")?.map(VideoId::from_bytes),
                note: row.text("note")?,
                at: Timestamp::from_micros(row.int("at")?),
            })
        };
        rows.iter().map(entry).collect()
    }

    /// A project's days with usage, from one day to another, inclusive.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn usage_days(&self, project: ProjectId, first: i64, last: i64) -> Result<Vec<UsageDay>, StoreError> {
        let sql = "SELECT * FROM usage_days WHERE project = $1 AND day >= $2 AND day <= $3 ORDER BY day";
        let rows = self.database.all(sql, args![project, first, last]).await?;
        let day = |row: &crate::database::Row| {
            Ok(UsageDay {
                day: row.int("day")?,
                accepted: number(row, "accepted")?,
                completed: number(row, "completed")?,
                seconds: number(row, "seconds")?,
                charged: Credits::from_micros(row.int("charged")?),
            })
        };
        rows.iter().map(day).collect()
    }
}
