//! Every use of a likeness, as its person sees it: drafts of others and attempts that were refused among them.

use std::collections::BTreeSet;

use platform::likeness::LikenessRefusal;
use platform::{DecisionRecord, GenerationState, IdentityId, LikenessId, PostId, PostState, Timestamp, UseId, VideoId};

use crate::database::{Row, Tx, args};
use crate::decision::record;
use crate::error::StoreError;
use crate::export::renew_exports_of;
use crate::generation::{drop_generation, moment, word};
use crate::queue::end_not_permitted;
use crate::social::erase_post;
use crate::store::Store;

/// What came of a use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UseOutcome {
    /// A clip was asked for.
    Made,
    /// The maker may not use this likeness.
    NotPermitted(LikenessRefusal),
    /// The prompt asks for what the person does not want shown: which limit.
    Limited(String),
    /// The policy stopped the prompt: which rule.
    Blocked(String),
}

/// A use, or an attempt at one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Its id.
    pub id: UseId,
    /// Who made it.
    pub maker: IdentityId,
    /// How they are called, if they have a profile.
    pub maker_handle: Option<String>,
    /// The clip, if there was one.
    pub video: Option<VideoId>,
    /// Where the clip stands; nothing if it is gone.
    pub state: Option<GenerationState>,
    /// The post that shows it, and where that stands.
    pub post: Option<(PostId, PostState)>,
    /// The prompt, as far as it is there.
    pub prompt: String,
    /// What came of it.
    pub outcome: UseOutcome,
    /// When.
    pub at: Timestamp,
    /// When the person deleted it.
    pub removed_at: Option<Timestamp>,
}

/// A use that its person deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedUse {
    /// Whose clip it was.
    pub maker: IdentityId,
    /// The clip.
    pub video: VideoId,
}

/// What a withdrawal did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The likeness.
    pub likeness: LikenessId,
    /// Whose.
    pub identity: IdentityId,
    /// Jobs that waited and were cancelled.
    pub cancelled: usize,
    /// Jobs that run, and hear of it at their next heartbeat.
    pub running: usize,
    /// Clips of others that were to be made and are not, each with its maker.
    pub stopped: Vec<(VideoId, IdentityId)>,
    /// Posts of others that are hidden now, each with its author.
    pub hidden: Vec<(PostId, IdentityId)>,
}

const COLUMNS: &str = "u.*, a.handle AS maker_handle, g.state AS video_state, p.id AS post, p.state AS post_state,
    COALESCE(g.prompt, NULLIF(p.prompt, ''), u.prompt) AS told";
const TABLES: &str =
    "likeness_uses u LEFT JOIN profiles a ON a.identity = u.maker LEFT JOIN generations g ON g.id = u.generation
    LEFT JOIN posts p ON p.id = (SELECT q.id FROM posts q WHERE q.video = u.generation ORDER BY q.id LIMIT 1)";

impl Store {
    /// The uses of someone's likeness, the newest first. `before` is the last of the page before.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn likeness_uses(
        &self,
        identity: IdentityId,
        before: Option<UseId>,
        limit: u32,
    ) -> Result<Vec<Use>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE u.likeness = (SELECT l.id FROM likenesses l WHERE l.identity = $1) AND u.id < $2
             ORDER BY u.id DESC LIMIT $3"
        );
        let before = before.unwrap_or(UseId::from_bytes([255; 16]));
        self.database.all(sql, args![identity, before, limit]).await?.iter().map(Use::from_row).collect()
    }

    /// A use of someone's likeness.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn likeness_use(&self, identity: IdentityId, id: UseId) -> Result<Use, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE u.id = $2 AND u.likeness = (SELECT l.id FROM likenesses l WHERE l.identity = $1)"
        );
        Use::from_row(&self.database.first(sql, args![identity, id]).await?.ok_or(StoreError::NotFound("use"))?)
    }

    /// Keeps that the policy stopped a prompt that names a likeness.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn note_blocked_use(
        &self,
        id: UseId,
        (likeness, maker): (LikenessId, IdentityId),
        prompt: &str,
        rule: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let outcome = UseOutcome::Blocked(rule.to_owned());
        insert_use(&mut tx, id, (likeness, maker, None), (prompt, &outcome), now).await?;
        tx.commit().await
    }

    /// Deletes a clip in which someone appears, whosever it is: the clip, its pictures and every post of it go, a job ends uncharged, and
    /// its maker gets the reasons. Archives that hold it are made anew without it, and none brings it back. Clips that others made from it
    /// stay, each a use of its own.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the use is of another's likeness, or has no clip any more.
    pub async fn remove_use(
        &self,
        identity: IdentityId,
        id: UseId,
        reasons: impl Fn(&RemovedUse) -> Option<DecisionRecord>,
        now: Timestamp,
    ) -> Result<RemovedUse, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = "SELECT maker, generation FROM likeness_uses WHERE id = $1 AND generation IS NOT NULL
                   AND likeness = (SELECT l.id FROM likenesses l WHERE l.identity = $2)";
        let row = tx.first(sql, args![id, identity]).await?.ok_or(StoreError::NotFound("use"))?;
        let video = VideoId::from_bytes(row.opt_id("generation")?.ok_or(StoreError::NotFound("use"))?);
        let removed = RemovedUse { maker: IdentityId::from_bytes(row.id("maker")?), video };
        // The job's row is taken before the generation's, as everywhere.
        let sql = format!("SELECT id FROM jobs WHERE id = $1{}", tx.for_update());
        if tx.first(sql, args![video]).await?.is_some() {
            end_not_permitted(&mut tx, video, now).await?;
        }
        let sql = format!("SELECT id FROM generations WHERE id = $1{}", tx.for_update());
        let there = tx.first(sql, args![video]).await?.is_some();
        if there {
            drop_generation(&mut tx, video, now).await?;
        }
        let posts = tx.all("SELECT id, author FROM posts WHERE video = $1 AND video_key <> ''", args![video]).await?;
        let mut holders = BTreeSet::from([removed.maker]);
        for post in &posts {
            holders.insert(IdentityId::from_bytes(post.id("author")?));
            erase_post(&mut tx, PostId::from_bytes(post.id("id")?), now).await?;
        }
        if !there && posts.is_empty() {
            return Err(StoreError::NotFound("use"));
        }
        tx.execute("UPDATE likeness_uses SET removed_at = $2, prompt = '' WHERE generation = $1", args![video, now])
            .await?;
        tx.execute("UPDATE likeness_traces SET removed_at = $2 WHERE generation = $1", args![video, now]).await?;
        for holder in holders {
            renew_exports_of(&mut tx, holder, now).await?;
        }
        // Whoever deletes what they made themself needs no reasons.
        if removed.maker != identity
            && let Some(decision) = reasons(&removed)
        {
            record(&mut tx, &decision).await?;
        }
        tx.commit().await?;
        Ok(removed)
    }
}

/// Writes a use down. One that is there stays.
pub(crate) async fn insert_use(
    tx: &mut Tx,
    id: UseId,
    (likeness, maker, video): (LikenessId, IdentityId, Option<VideoId>),
    (prompt, outcome): (&str, &UseOutcome),
    now: Timestamp,
) -> Result<(), StoreError> {
    let (refusal, rule) = match outcome {
        UseOutcome::Made => (None, None),
        UseOutcome::NotPermitted(reason) => (Some(reason.as_str()), None),
        UseOutcome::Limited(limit) => (Some("likeness_limit"), Some(limit.as_str())),
        UseOutcome::Blocked(rule) => (Some("moderation_blocked"), Some(rule.as_str())),
    };
    let prompt: String = prompt.chars().take(2_000).collect();
    let sql = "INSERT INTO likeness_uses (id, likeness, maker, generation, prompt, refusal, rule, at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
    let (refusal, rule) = (refusal.map(str::to_owned), rule.map(str::to_owned));
    tx.execute(sql, args![id, likeness, maker, video, prompt, refusal, rule, now]).await.map(|_| ())
}

impl Use {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let rule = row.opt_text("rule")?.unwrap_or_default();
        let outcome = match row.opt_text("refusal")?.as_deref() {
            None => UseOutcome::Made,
            Some("likeness_limit") => UseOutcome::Limited(rule),
            Some("moderation_blocked") => UseOutcome::Blocked(rule),
            Some(word) => {
                let known = LikenessRefusal::ALL.into_iter().find(|refusal| refusal.as_str() == word);
                UseOutcome::NotPermitted(known.ok_or_else(|| crate::error::corrupt("refusal", word))?)
            }
        };
        let post = match row.opt_id("post")? {
            Some(id) => Some((PostId::from_bytes(id), word(row, "post_state", PostState::from_word)?)),
            None => None,
        };
        let state = match row.opt_text("video_state")? {
            Some(_) => Some(word(row, "video_state", GenerationState::from_word)?),
            None => None,
        };
        Ok(Self {
            id: UseId::from_bytes(row.id("id")?),
            maker: IdentityId::from_bytes(row.id("maker")?),
            maker_handle: row.opt_text("maker_handle")?,
            video: row.opt_id("generation")?.map(VideoId::from_bytes),
            state,
            post,
            prompt: row.text("told")?,
            outcome,
            at: Timestamp::from_micros(row.int("at")?),
            removed_at: moment(row, "removed_at")?,
        })
    }
}
