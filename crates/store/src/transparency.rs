//! What was decided in a time, counted: for the report that everyone reads, and the load of whoever moderates.

use platform::{IdentityId, TakedownKind, Timestamp};

use crate::database::{Row, args};
use crate::error::StoreError;
use crate::store::Store;

/// Decisions of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionCount {
    /// What they are against.
    pub ground: String,
    /// The rule.
    pub rule: String,
    /// What they do.
    pub effect: String,
    /// Whether a program found what they are about.
    pub automated_detection: bool,
    /// Whether a program decided.
    pub automated_decision: bool,
    /// How many there were.
    pub decisions: u64,
    /// How many of them were contested since.
    pub appeals: u64,
    /// How many of those appeals were right.
    pub overturned: u64,
}

/// Something that is answered: how many there were, and how long it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// How many came.
    pub received: u64,
    /// How many of them are answered.
    pub answered: u64,
    /// The time that half of the answers took at most.
    pub median_seconds: Option<u64>,
}

/// Notices of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoticeCount {
    /// The kind.
    pub kind: TakedownKind,
    /// How many, and how long they took.
    pub answered: Answered,
    /// How many were followed.
    pub followed: u64,
    /// How many were refused.
    pub refused: u64,
    /// How many were answered with a counter-notice.
    pub countered: u64,
    /// How many items came back.
    pub restored: u64,
}

/// What was decided in a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transparency {
    /// Decisions, the most frequent kind first.
    pub decisions: Vec<DecisionCount>,
    /// Appeals that were filed then.
    pub appeals: Answered,
    /// How many of them were right.
    pub overturned: u64,
    /// How many of them were late.
    pub overdue: u64,
    /// Notices that came then.
    pub notices: Vec<NoticeCount>,
    /// Reports that came then.
    pub reports: Answered,
}

/// A figure of a load.
type Figure = fn(&mut Workload) -> &mut u64;

/// What someone did as a moderator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Who.
    pub identity: IdentityId,
    /// Decisions.
    pub decisions: u64,
    /// Appeals that they reviewed.
    pub appeals: u64,
    /// Notices that they followed or refused.
    pub notices: u64,
}

impl Store {
    /// What was decided from a moment up to another.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn transparency(&self, from: Timestamp, until: Timestamp) -> Result<Transparency, StoreError> {
        let sql =
            "SELECT d.ground, d.rule, d.effect, d.automated_detection, d.automated_decision, COUNT(*) AS decisions,
                   COUNT(a.id) AS appeals, COUNT(CASE WHEN a.outcome = 'overturned' THEN 1 END) AS overturned
                   FROM decisions d LEFT JOIN appeals a ON a.decision = d.id
                   WHERE d.state <> 'proposed' AND d.decided_at >= $1 AND d.decided_at < $2
                   GROUP BY d.ground, d.rule, d.effect, d.automated_detection, d.automated_decision
                   ORDER BY COUNT(*) DESC, d.ground, d.rule, d.effect, d.automated_detection, d.automated_decision";
        let rows = self.database.all(sql, args![from, until]).await?;
        let decisions = rows.iter().map(|row| {
            Ok(DecisionCount {
                ground: row.text("ground")?,
                rule: row.text("rule")?,
                effect: row.text("effect")?,
                automated_detection: row.int("automated_detection")? == 1,
                automated_decision: row.int("automated_decision")? == 1,
                decisions: count(row, "decisions")?,
                appeals: count(row, "appeals")?,
                overturned: count(row, "overturned")?,
            })
        });
        let decisions = decisions.collect::<Result<Vec<_>, StoreError>>()?;
        let sql =
            "SELECT COUNT(CASE WHEN outcome = 'overturned' THEN 1 END) AS overturned, COUNT(overdue_at) AS overdue
                   FROM appeals WHERE filed_at >= $1 AND filed_at < $2";
        let row = self.database.first(sql, args![from, until]).await?;
        let of = |column: &'static str| row.as_ref().map_or(Ok(0), |row| count(row, column));
        let (overturned, overdue) = (of("overturned")?, of("overdue")?);
        let mut notices = Vec::new();
        for kind in TakedownKind::ALL {
            let sql = "SELECT COUNT(CASE WHEN state = 'refused' THEN 1 END) AS refused,
                       COUNT(CASE WHEN decided_at IS NOT NULL AND state <> 'refused' THEN 1 END) AS followed,
                       COUNT(countered_at) AS countered, COUNT(CASE WHEN state = 'restored' THEN 1 END) AS restored
                       FROM takedowns WHERE kind = $1 AND received_at >= $2 AND received_at < $3";
            let row = self.database.first(sql, args![kind.as_str(), from, until]).await?;
            let of = |column: &'static str| row.as_ref().map_or(Ok(0), |row| count(row, column));
            let times = format!(
                "SELECT received_at AS since, decided_at AS until FROM takedowns WHERE kind = '{}' AND received_at >= $1 AND received_at < $2",
                kind.as_str()
            );
            notices.push(NoticeCount {
                kind: *kind,
                answered: self.answered(times, from, until).await?,
                followed: of("followed")?,
                refused: of("refused")?,
                countered: of("countered")?,
                restored: of("restored")?,
            });
        }
        let appeals =
            "SELECT filed_at AS since, decided_at AS until FROM appeals WHERE filed_at >= $1 AND filed_at < $2";
        let reports =
            "SELECT reported_at AS since, closed_at AS until FROM reports WHERE reported_at >= $1 AND reported_at < $2";
        Ok(Transparency {
            decisions,
            appeals: self.answered(appeals.to_owned(), from, until).await?,
            overturned,
            overdue,
            notices,
            reports: self.answered(reports.to_owned(), from, until).await?,
        })
    }

    /// How many appeals and notices are late, or nearly.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn late_cases(&self, now: Timestamp) -> Result<u64, StoreError> {
        let sql = "SELECT (SELECT COUNT(*) FROM appeals WHERE outcome IS NULL AND due_at <= $1)
                   + (SELECT COUNT(*) FROM takedowns WHERE state = 'open' AND alarm_at <= $1) AS late";
        let row = self.database.first(sql, args![now]).await?;
        row.map_or(Ok(0), |row| count(&row, "late"))
    }

    /// What everyone who moderates did since a moment, whoever did most first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn workloads(&self, since: Timestamp) -> Result<Vec<Workload>, StoreError> {
        let mut loads: Vec<Workload> = Vec::new();
        let counts: [(&str, Figure); 3] = [
            (
                "SELECT author AS who, COUNT(*) AS count FROM decisions WHERE author IS NOT NULL AND decided_at >= $1
                 AND rule <> 'likeness.removed_by_person' GROUP BY author",
                |load| &mut load.decisions,
            ),
            (
                "SELECT reviewer AS who, COUNT(*) AS count FROM appeals WHERE reviewer IS NOT NULL AND decided_at >= $1 GROUP BY reviewer",
                |load| &mut load.appeals,
            ),
            (
                "SELECT decided_by AS who, COUNT(*) AS count FROM takedowns WHERE decided_by IS NOT NULL AND decided_at >= $1 GROUP BY decided_by",
                |load| &mut load.notices,
            ),
        ];
        for (sql, place) in counts {
            for row in self.database.all(sql, args![since]).await? {
                let identity = IdentityId::from_bytes(row.id("who")?);
                let at = loads.iter().position(|load| load.identity == identity).unwrap_or_else(|| {
                    loads.push(Workload { identity, decisions: 0, appeals: 0, notices: 0 });
                    loads.len() - 1
                });
                *place(&mut loads[at]) = count(&row, "count")?;
            }
        }
        loads.sort_by_key(|load| (std::cmp::Reverse(load.decisions + load.appeals + load.notices), load.identity));
        Ok(loads)
    }

    /// How many rows of a statement there are, and how long it took from `since` to `until`.
    async fn answered(&self, sql: String, from: Timestamp, until: Timestamp) -> Result<Answered, StoreError> {
        let rows = self.database.all(sql, args![from, until]).await?;
        let mut times = Vec::new();
        for row in &rows {
            if let Some(end) = row.opt_int("until")? {
                let since = Timestamp::from_micros(row.int("since")?);
                times.push(Timestamp::from_micros(end).since(since).as_secs());
            }
        }
        times.sort_unstable();
        Ok(Answered {
            received: rows.len() as u64,
            answered: times.len() as u64,
            median_seconds: times.get(times.len().saturating_sub(1) / 2).copied(),
        })
    }
}

fn count(row: &Row, column: &'static str) -> Result<u64, StoreError> {
    Ok(u64::try_from(row.int(column)?).unwrap_or(0))
}
