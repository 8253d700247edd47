//! What someone wants to be told of, in the app and by mail, and the letters that come of it. It is the account's: clips are in it beside
//! what `social` tells.

use platform::{IdentityId, NoticeTopic, NoticeWays, Timestamp};

use crate::database::{Row, Tx, args};
use crate::error::StoreError;
use crate::generation::{Generation, word};
use crate::letter::{Letter, insert_letter};
use crate::store::Store;

/// What a letter to someone is to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeLetter {
    /// Whom.
    pub identity: IdentityId,
    /// Their address.
    pub email: String,
    /// What happened, and how often.
    pub happened: Vec<(NoticeTopic, u64)>,
}

impl Store {
    /// What someone wants to be told of: every topic, in the order of the topics.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn notice_settings(&self, identity: IdentityId) -> Result<Vec<(NoticeTopic, NoticeWays)>, StoreError> {
        let sql = "SELECT topic, in_app, by_mail FROM notice_settings WHERE identity = $1";
        let mut settings: Vec<_> = NoticeTopic::ALL.iter().map(|topic| (*topic, NoticeWays::default())).collect();
        for row in self.database.all(sql, args![identity]).await? {
            let topic = word(&row, "topic", NoticeTopic::from_word)?;
            if let Some(setting) = settings.iter_mut().find(|(known, _)| *known == topic) {
                setting.1 = ways(&row)?;
            }
        }
        Ok(settings)
    }

    /// Keeps what someone wants to be told of. What waits for a letter that is not wanted any more is forgotten.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn set_notice_settings(
        &self,
        identity: IdentityId,
        settings: &[(NoticeTopic, NoticeWays)],
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        for (topic, ways) in settings {
            let sql = "INSERT INTO notice_settings (identity, topic, in_app, by_mail) VALUES ($1, $2, $3, $4)
                       ON CONFLICT (identity, topic) DO UPDATE SET in_app = excluded.in_app, by_mail = excluded.by_mail";
            tx.execute(sql, args![identity, topic.as_str(), ways.in_app, ways.by_mail]).await?;
            if !ways.by_mail {
                let sql = "DELETE FROM notice_letters WHERE identity = $1 AND topic = $2";
                tx.execute(sql, args![identity, topic.as_str()]).await?;
            }
        }
        tx.commit().await
    }

    /// Letters that are due: what happened first, happened until this moment. Those without a confirmed address get none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn notice_letters(&self, until: Timestamp, limit: u32) -> Result<Vec<NoticeLetter>, StoreError> {
        let sql = "SELECT l.identity, i.email FROM notice_letters l JOIN identities i ON i.id = l.identity
                   WHERE i.email_confirmed_at IS NOT NULL GROUP BY l.identity, i.email HAVING MIN(l.first_at) <= $1
                   ORDER BY MIN(l.first_at), l.identity LIMIT $2";
        let mut letters = Vec::new();
        for row in self.database.all(sql, args![until, limit]).await? {
            let identity = IdentityId::from_bytes(row.id("identity")?);
            let sql = "SELECT topic, happened FROM notice_letters WHERE identity = $1 ORDER BY topic";
            let rows = self.database.all(sql, args![identity]).await?;
            let happened = rows.iter().map(|row| {
                let times = u64::try_from(row.int("happened")?).unwrap_or(0);
                Ok((word(row, "topic", NoticeTopic::from_word)?, times))
            });
            let happened = happened.collect::<Result<Vec<_>, StoreError>>()?;
            letters.push(NoticeLetter { identity, email: row.text("email")?, happened });
        }
        Ok(letters)
    }

    /// Puts a letter of [`Self::notice_letters`] on its way, once: says whether nobody else did.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn post_notice_letter(&self, identity: IdentityId, letter: &Letter) -> Result<bool, StoreError> {
        let mut tx = self.database.begin().await?;
        if tx.execute("DELETE FROM notice_letters WHERE identity = $1", args![identity]).await? == 0 {
            return Ok(false);
        }
        insert_letter(&mut tx, self.sealer()?, letter).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Forgets what was to be written to an address that nobody confirmed until this moment.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn forget_notice_letters(&self, until: Timestamp) -> Result<u64, StoreError> {
        self.database.execute("DELETE FROM notice_letters WHERE first_at <= $1", args![until]).await
    }

    /// Someone's clips that ended last, the newest first, each with whether they have seen that. Nothing, if they do not want to know.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn ended_clips(&self, identity: IdentityId, limit: u32) -> Result<Vec<(Generation, bool)>, StoreError> {
        let sql = format!(
            "SELECT {}, CAST(CASE WHEN g.ended_at <= COALESCE((SELECT s.until FROM clips_seen s WHERE s.identity = $1), 0)
             THEN 1 ELSE 0 END AS BIGINT) AS seen FROM {} WHERE {} ORDER BY g.ended_at DESC, g.id LIMIT $2",
            crate::generation::COLUMNS,
            crate::generation::TABLES,
            told_clips("g")
        );
        let rows = self.database.all(sql, args![identity, limit]).await?;
        rows.iter().map(|row| Ok((Generation::from_row(row)?, row.int("seen")? == 1))).collect()
    }

    /// Someone has seen which of their clips ended until a moment.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn saw_clips(&self, identity: IdentityId, until: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO clips_seen (identity, until) VALUES ($1, $2) ON CONFLICT (identity) DO UPDATE
                   SET until = CASE WHEN clips_seen.until > excluded.until THEN clips_seen.until ELSE excluded.until END";
        self.database.execute(sql, args![identity, until]).await.map(|_| ())
    }
}

/// Whether a clip is one that `$1` is told of in the app: theirs, ended by itself, and they want to know.
fn told_clips(clip: &str) -> String {
    format!(
        "{clip}.identity = $1 AND {clip}.ended_at IS NOT NULL AND {clip}.state IN ('completed', 'failed')
         AND {clip}.kind <> 'image' AND {clip}.trashed_at IS NULL AND NOT EXISTS (
             SELECT 1 FROM notice_settings n WHERE n.identity = $1 AND n.topic = 'clips' AND n.in_app = 0)"
    )
}

/// The clips of `$1` that have ended and were not seen since, a hundred at most.
pub(crate) fn unseen_clips() -> String {
    format!(
        "SELECT 1 AS one FROM generations g WHERE {}
         AND g.ended_at > COALESCE((SELECT s.until FROM clips_seen s WHERE s.identity = $1), 0) LIMIT 100",
        told_clips("g")
    )
}

/// In which ways someone wants to be told of something.
pub(crate) async fn wanted(tx: &mut Tx, identity: IdentityId, topic: NoticeTopic) -> Result<NoticeWays, StoreError> {
    let sql = "SELECT in_app, by_mail FROM notice_settings WHERE identity = $1 AND topic = $2";
    tx.first(sql, args![identity, topic.as_str()]).await?.map_or(Ok(NoticeWays::default()), |row| ways(&row))
}

/// Notes that the next letter to someone tells of something.
pub(crate) async fn tell_by_mail(
    tx: &mut Tx,
    identity: IdentityId,
    topic: NoticeTopic,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO notice_letters (identity, topic, happened, first_at) VALUES ($1, $2, 1, $3)
               ON CONFLICT (identity, topic) DO UPDATE SET happened = notice_letters.happened + 1";
    tx.execute(sql, args![identity, topic.as_str(), now]).await.map(|_| ())
}

fn ways(row: &Row) -> Result<NoticeWays, StoreError> {
    Ok(NoticeWays { in_app: row.int("in_app")? == 1, by_mail: row.int("by_mail")? == 1 })
}
