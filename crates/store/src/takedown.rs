//! Notices from people without an account: what they ask for is taken down by decisions, so its maker gets reasons and can contest them.
//!
//! What a notice says is sealed. A notice touches its item, and for intimate images copies of it and what was made from it; it knows no
//! other item and no service.

use platform::{
    DecisionId, DecisionRecord, DecisionState, IdentityId, MAX_OPEN_NOTICES, MAX_REFUSED_NOTICES, PostId,
    REFUSALS_COUNTED, TakedownId, TakedownKind, TakedownState, Timestamp, TokenHash,
};

use crate::audit::{AuditEntry, append};
use crate::database::{Row, Tx, args};
use crate::decision::{carry_out, give_back, one, record};
use crate::error::{StoreError, corrupt};
use crate::generation::{moment, word};
use crate::letter::{Letter, insert_letter};
use crate::objects::ObjectKey;
use crate::store::Store;

/// A notice to be filed.
#[derive(Clone, Debug)]
pub struct NewTakedown<'a> {
    /// Its id.
    pub id: TakedownId,
    /// What it is about.
    pub kind: TakedownKind,
    /// The hash of the secret of its page.
    pub link: TokenHash,
    /// A keyed hash of the writer's address.
    pub notifier: [u8; 32],
    /// What it says, as JSON.
    pub details: &'a str,
    /// Which post.
    pub post: PostId,
}

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Takedown {
    /// Its id.
    pub id: TakedownId,
    /// What it is about.
    pub kind: TakedownKind,
    /// What it says, as JSON.
    pub details: String,
    /// Which post.
    pub post: PostId,
    /// Whose post that is.
    pub subject: IdentityId,
    /// Where it stands.
    pub state: TakedownState,
    /// When it came.
    pub received_at: Timestamp,
    /// When it must be done.
    pub due_at: Timestamp,
    /// When everyone who administers was called.
    pub alarmed_at: Option<Timestamp>,
    /// When it was followed or refused.
    pub decided_at: Option<Timestamp>,
    /// The counter-notice, as JSON.
    pub counter: Option<String>,
    /// When that came.
    pub countered_at: Option<Timestamp>,
    /// When the item comes back, unless a suit is shown.
    pub restore_at: Option<Timestamp>,
    /// The suit that was shown, as JSON.
    pub suit: Option<String>,
    /// When it was shown.
    pub suit_at: Option<Timestamp>,
    /// When it came to its end.
    pub ended_at: Option<Timestamp>,
    /// How many notices of the same address were refused, and how many there were, in the time that counts.
    pub refused_before: (u64, u64),
}

/// A post as far as its frames are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FramesOfPost {
    /// Which.
    pub post: PostId,
    /// Whose.
    pub author: IdentityId,
    /// The hashes of its frames.
    pub hashes: Vec<[u8; 32]>,
}

/// A post whose frames are to be hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnhashedPost {
    /// Which.
    pub post: PostId,
    /// Whose.
    pub author: IdentityId,
    /// Its sides.
    pub size: (u32, u32),
    /// Pictures of frames all through it.
    pub spritesheet: Option<ObjectKey>,
    /// A picture of its first frame.
    pub thumbnail: Option<ObjectKey>,
}

/// What may not come back: the hashes of its frames, straight and mirrored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedClip {
    /// By which notice.
    pub takedown: TakedownId,
    /// Its frames.
    pub frames: Vec<([u8; 32], [u8; 32])>,
}

/// The columns of a notice `t`, with what its writer did before it.
const COLUMNS: &str = "t.*,
    (SELECT COUNT(*) FROM takedowns r WHERE r.notifier = t.notifier AND r.id <> t.id AND r.state = 'refused'
     AND r.received_at > t.received_at - 7776000000000) AS refused,
    (SELECT COUNT(*) FROM takedowns r WHERE r.notifier = t.notifier AND r.id <> t.id
     AND r.received_at > t.received_at - 7776000000000) AS filed";

impl Store {
    /// Files a notice, with its letters. What it is about must be there.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such post; [`StoreError::State`] if this address has too many open notices, or too many
    /// that were refused.
    pub async fn file_takedown(
        &self,
        notice: &NewTakedown<'_>,
        letters: &[Letter],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = "SELECT author FROM posts WHERE id = $1 AND state <> 'deleted' AND video_key <> ''";
        let row = tx.first(sql, args![notice.post]).await?.ok_or(StoreError::NotFound("post"))?;
        let author = IdentityId::from_bytes(row.id("author")?);
        let sql = "SELECT (SELECT COUNT(*) FROM takedowns WHERE notifier = $1 AND state = 'open') AS open,
                   (SELECT COUNT(*) FROM takedowns WHERE notifier = $1 AND state = 'refused' AND received_at > $2) AS refused";
        let row = tx.first(sql, args![notice.notifier, now - REFUSALS_COUNTED]).await?;
        let count = |column: &str| -> Result<u64, StoreError> {
            row.as_ref().map_or(Ok(0), |row| Ok(u64::try_from(row.int(column)?).unwrap_or(0)))
        };
        if count("open")? >= MAX_OPEN_NOTICES || count("refused")? >= MAX_REFUSED_NOTICES {
            return Err(StoreError::State { what: "notice", state: "one too many from this address".into() });
        }
        let details = self.sealer()?.seal(notice.details.as_bytes(), &purpose(notice.id, "details"));
        let sql = "INSERT INTO takedowns (id, kind, link, notifier, details, post, subject, state, received_at, alarm_at, due_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, 'open', $8, $9, $10)";
        let args = args![
            notice.id,
            notice.kind.as_str(),
            notice.link,
            notice.notifier,
            details,
            notice.post,
            author,
            now,
            notice.kind.alarm_at(now),
            notice.kind.due_at(now),
        ];
        tx.execute(sql, args).await?;
        self.post_letters(&mut tx, letters).await?;
        audit(&mut tx, notice.id, notice.post, None, "received", now).await?;
        tx.commit().await
    }

    /// The notice of a secret.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn takedown_of_link(&self, link: TokenHash) -> Result<Takedown, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM takedowns t WHERE t.link = $1");
        self.takedown_from_row(&self.database.first(sql, args![link]).await?.ok_or(StoreError::NotFound("notice"))?)
    }

    /// A notice.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn takedown(&self, id: TakedownId) -> Result<Takedown, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM takedowns t WHERE t.id = $1");
        self.takedown_from_row(&self.database.first(sql, args![id]).await?.ok_or(StoreError::NotFound("notice"))?)
    }

    /// Notices in a state, the one that is due first at the top, so many at most.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn takedowns(&self, state: TakedownState, limit: u32) -> Result<Vec<Takedown>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM takedowns t WHERE t.state = $1 ORDER BY t.due_at, t.id LIMIT $2");
        let rows = self.database.all(sql, args![state.as_str(), limit]).await?;
        rows.iter().map(|row| self.takedown_from_row(row)).collect()
    }

    /// The notice that a decision followed, if one did.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn takedown_of_decision(&self, decision: DecisionId) -> Result<Option<Takedown>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM takedowns t JOIN takedown_posts p ON p.takedown = t.id WHERE p.decision = $1 LIMIT 1"
        );
        self.database.first(sql, args![decision]).await?.map(|row| self.takedown_from_row(&row)).transpose()
    }

    /// Notices of which the alarm is due, those of intimate images whose time is over, and those whose items come back: each so many at
    /// most.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn takedowns_due(&self, limit: u32, now: Timestamp) -> Result<[Vec<Takedown>; 3], StoreError> {
        let mut due = [const { Vec::new() }; 3];
        let conditions = [
            "t.state = 'open' AND t.alarm_at <= $1 AND t.alarmed_at IS NULL",
            "t.state = 'open' AND t.due_at <= $1 AND t.kind = 'intimate'",
            "t.state = 'countered' AND t.restore_at <= $1",
        ];
        for (found, condition) in due.iter_mut().zip(conditions) {
            let sql = format!("SELECT {COLUMNS} FROM takedowns t WHERE {condition} ORDER BY t.due_at, t.id LIMIT $2");
            let rows = self.database.all(sql, args![now, limit]).await?;
            *found = rows.iter().map(|row| self.takedown_from_row(row)).collect::<Result<_, _>>()?;
        }
        Ok(due)
    }

    /// Calls everyone who administers about a notice, once; says whether nobody else did.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn alarm_takedown(&self, id: TakedownId, letters: &[Letter], now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = "UPDATE takedowns SET alarmed_at = $2 WHERE id = $1 AND alarmed_at IS NULL AND state = 'open' RETURNING post";
        let Some(row) = tx.first(sql, args![id, now]).await? else { return Ok(false) };
        self.post_letters(&mut tx, letters).await?;
        audit(&mut tx, id, PostId::from_bytes(row.id("post")?), None, "alarm", now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Follows a notice: its decisions are carried out and recorded, and what they are about may not come back. What is gone by then
    /// is passed over.
    ///
    /// # Errors
    /// [`StoreError::State`] if it is not open.
    pub async fn follow_takedown(
        &self,
        id: TakedownId,
        decisions: &[DecisionRecord],
        frames: &[([u8; 32], [u8; 32])],
        letters: &[Letter],
        by: Option<IdentityId>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let post = move_takedown(&mut tx, id, TakedownState::Open, TakedownState::Acted).await?;
        let sql = "UPDATE takedowns SET decided_at = $2, decided_by = $3 WHERE id = $1";
        tx.execute(sql, args![id, now, by]).await?;
        let mut carried_out = Vec::new();
        for decision in decisions {
            match carry_out(&mut tx, decision, now).await {
                Ok(()) => carried_out.push(decision),
                Err(StoreError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        for (place, (straight, mirrored)) in (0_u32..).zip(frames) {
            let sql = "INSERT INTO blocked_frames (takedown, place, hash, mirrored) VALUES ($1, $2, $3, $4)";
            tx.execute(sql, args![id, place, *straight, *mirrored]).await?;
        }
        self.post_letters(&mut tx, letters).await?;
        for decision in carried_out {
            took(&mut tx, id, decision).await?;
            record(&mut tx, decision).await?;
        }
        audit(&mut tx, id, post, by, "followed", now).await?;
        tx.commit().await
    }

    /// Takes down what was found to be a copy after a notice was followed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the post is gone.
    pub async fn follow_for_copy(&self, id: TakedownId, decision: &DecisionRecord) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        carry_out(&mut tx, decision, decision.decided_at).await?;
        took(&mut tx, id, decision).await?;
        record(&mut tx, decision).await?;
        tx.commit().await
    }

    /// Whether an appeal found that a post is no copy of what a notice took down.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn is_no_copy(&self, post: PostId) -> Result<bool, StoreError> {
        let sql = "SELECT 1 AS one FROM decisions WHERE item = $1 AND item_kind = 'post' AND ground = $2 AND state = 'overturned' LIMIT 1";
        let ground = TakedownKind::Intimate.as_str();
        Ok(self.database.first(sql, args![post, ground]).await?.is_some())
    }

    /// Does not follow a notice. It counts against its writer.
    ///
    /// # Errors
    /// [`StoreError::State`] if it is not open.
    pub async fn refuse_takedown(
        &self,
        id: TakedownId,
        letters: &[Letter],
        by: IdentityId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let post = move_takedown(&mut tx, id, TakedownState::Open, TakedownState::Refused).await?;
        let sql = "UPDATE takedowns SET decided_at = $2, decided_by = $3, ended_at = $2 WHERE id = $1";
        tx.execute(sql, args![id, now, by]).await?;
        self.post_letters(&mut tx, letters).await?;
        audit(&mut tx, id, post, Some(by), "refused", now).await?;
        tx.commit().await
    }

    /// Keeps the answer of whoever made what a copyright notice took down. The item comes back at `restore_at`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the notice is about someone else's; [`StoreError::State`] if there is nothing to answer.
    pub async fn counter_takedown(
        &self,
        id: TakedownId,
        subject: IdentityId,
        counter: &str,
        restore_at: Timestamp,
        letters: &[Letter],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = "SELECT 1 AS one FROM takedowns WHERE id = $1 AND subject = $2 AND kind = 'copyright'";
        tx.first(sql, args![id, subject]).await?.ok_or(StoreError::NotFound("notice"))?;
        let post = move_takedown(&mut tx, id, TakedownState::Acted, TakedownState::Countered).await?;
        let counter = self.sealer()?.seal(counter.as_bytes(), &purpose(id, "counter"));
        let sql = "UPDATE takedowns SET counter = $2, countered_at = $3, restore_at = $4 WHERE id = $1";
        tx.execute(sql, args![id, counter, now, restore_at]).await?;
        self.post_letters(&mut tx, letters).await?;
        audit(&mut tx, id, post, Some(subject), "countered", now).await?;
        tx.commit().await
    }

    /// A suit is shown, and kept: the item stays off past the day on which it would have come back.
    ///
    /// # Errors
    /// [`StoreError::State`] if there was no counter-notice, or the item is back.
    pub async fn show_suit(
        &self,
        id: TakedownId,
        suit: &str,
        letters: &[Letter],
        by: Option<IdentityId>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let post = move_takedown(&mut tx, id, TakedownState::Countered, TakedownState::Suit).await?;
        let suit = self.sealer()?.seal(suit.as_bytes(), &purpose(id, "suit"));
        tx.execute("UPDATE takedowns SET ended_at = $2, suit = $3, suit_at = $2 WHERE id = $1", args![id, now, suit])
            .await?;
        self.post_letters(&mut tx, letters).await?;
        audit(&mut tx, id, post, by, "suit", now).await?;
        tx.commit().await
    }

    /// Brings back what a notice took down, once; says whether nobody else did.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn restore_takedown(
        &self,
        id: TakedownId,
        letters: &[Letter],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tx = self.database.begin().await?;
        let post = match move_takedown(&mut tx, id, TakedownState::Countered, TakedownState::Restored).await {
            Err(StoreError::State { .. }) => return Ok(false),
            post => post?,
        };
        tx.execute("UPDATE takedowns SET ended_at = $2 WHERE id = $1", args![id, now]).await?;
        tx.execute("DELETE FROM blocked_frames WHERE takedown = $1", args![id]).await?;
        let sql = "SELECT decision FROM takedown_posts WHERE takedown = $1 ORDER BY post";
        for row in tx.all(sql, args![id]).await? {
            let decision = one(&mut tx, DecisionId::from_bytes(row.id("decision")?)).await?;
            if matches!(decision.state, DecisionState::Standing | DecisionState::Paused) {
                give_back(&mut tx, &decision.record, DecisionState::Lifted, now).await?;
            }
        }
        self.post_letters(&mut tx, letters).await?;
        audit(&mut tx, id, post, None, "restored", now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// A post and everything that was made from it, step by step, as long as it has its film: who made each. What is deleted or withheld
    /// could be shown again.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn post_and_remixes(&self, post: PostId) -> Result<Vec<(PostId, IdentityId)>, StoreError> {
        let sql = "WITH RECURSIVE down (id, level) AS (
                       SELECT id, 0 FROM posts WHERE id = $1
                       UNION ALL SELECT p.id, down.level + 1 FROM posts p JOIN down ON p.parent = down.id WHERE down.level < 50)
                   SELECT p.id, p.author FROM down JOIN posts p ON p.id = down.id
                   WHERE p.video_key <> '' ORDER BY down.level, p.id LIMIT 10000";
        let rows = self.database.all(sql, args![post]).await?;
        rows.iter()
            .map(|row| Ok((PostId::from_bytes(row.id("id")?), IdentityId::from_bytes(row.id("author")?))))
            .collect()
    }

    /// Posts whose frames nobody has looked at, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn unhashed_posts(&self, limit: u32) -> Result<Vec<UnhashedPost>, StoreError> {
        let sql = "SELECT id, author, width, height, spritesheet_key, thumbnail_key FROM posts
                   WHERE frame_hashes IS NULL AND video_key <> '' ORDER BY id DESC LIMIT $1";
        self.database.all(sql, args![limit]).await?.iter().map(unhashed).collect()
    }

    /// The same for one post, whether or not it was looked at.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn frames_to_hash(&self, post: PostId) -> Result<UnhashedPost, StoreError> {
        let sql = "SELECT id, author, width, height, spritesheet_key, thumbnail_key FROM posts WHERE id = $1 AND video_key <> ''";
        unhashed(&self.database.first(sql, args![post]).await?.ok_or(StoreError::NotFound("post"))?)
    }

    /// Keeps how the frames of a post look; nothing at all for one whose pictures cannot be read.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn keep_frame_hashes(&self, post: PostId, hashes: &[[u8; 32]]) -> Result<(), StoreError> {
        let sql = "UPDATE posts SET frame_hashes = $2 WHERE id = $1 AND video_key <> ''";
        self.database.execute(sql, args![post, hashes.concat()]).await.map(|_| ())
    }

    /// Posts that are shown or could be, the deleted and the withheld ones too, with how their frames look, by their ids, from one on.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn frames_of_posts(&self, after: Option<PostId>, limit: u32) -> Result<Vec<FramesOfPost>, StoreError> {
        let sql = "SELECT id, author, frame_hashes FROM posts WHERE frame_hashes IS NOT NULL AND video_key <> ''
                   AND id > $1 ORDER BY id LIMIT $2";
        let after = after.unwrap_or(PostId::from_bytes([0; 16]));
        let read = |row: &Row| {
            let bytes = row.blob("frame_hashes")?;
            Ok(FramesOfPost {
                post: PostId::from_bytes(row.id("id")?),
                author: IdentityId::from_bytes(row.id("author")?),
                hashes: bytes.as_chunks().0.to_vec(),
            })
        };
        self.database.all(sql, args![after, limit]).await?.iter().map(read).collect()
    }

    /// Everything that may not come back.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn blocked_clips(&self) -> Result<Vec<BlockedClip>, StoreError> {
        let mut clips: Vec<BlockedClip> = Vec::new();
        let sql = "SELECT takedown, hash, mirrored FROM blocked_frames ORDER BY takedown, place";
        for row in self.database.all(sql, args![]).await? {
            let takedown = TakedownId::from_bytes(row.id("takedown")?);
            let hash = |column: &'static str| -> Result<[u8; 32], StoreError> {
                row.blob(column)?.try_into().map_err(|_| corrupt(column, "not 32 bytes"))
            };
            let frame = (hash("hash")?, hash("mirrored")?);
            match clips.last_mut().filter(|clip| clip.takedown == takedown) {
                Some(clip) => clip.frames.push(frame),
                None => clips.push(BlockedClip { takedown, frames: vec![frame] }),
            }
        }
        Ok(clips)
    }

    async fn post_letters(&self, tx: &mut Tx, letters: &[Letter]) -> Result<(), StoreError> {
        for letter in letters {
            insert_letter(tx, self.sealer()?, letter).await?;
        }
        Ok(())
    }

    fn takedown_from_row(&self, row: &Row) -> Result<Takedown, StoreError> {
        let id = TakedownId::from_bytes(row.id("id")?);
        let open = |sealed: Vec<u8>, column: &'static str| {
            let text = self.sealer()?.open(&sealed, &purpose(id, column))?;
            String::from_utf8(text).map_err(|_| corrupt(column, "no text"))
        };
        let count = |column: &str| Ok::<_, StoreError>(u64::try_from(row.int(column)?).unwrap_or(0));
        Ok(Takedown {
            id,
            kind: word(row, "kind", TakedownKind::from_word)?,
            details: open(row.blob("details")?, "details")?,
            post: PostId::from_bytes(row.id("post")?),
            subject: IdentityId::from_bytes(row.id("subject")?),
            state: word(row, "state", TakedownState::from_word)?,
            received_at: Timestamp::from_micros(row.int("received_at")?),
            due_at: Timestamp::from_micros(row.int("due_at")?),
            alarmed_at: moment(row, "alarmed_at")?,
            decided_at: moment(row, "decided_at")?,
            counter: row.opt_blob("counter")?.map(|sealed| open(sealed, "counter")).transpose()?,
            countered_at: moment(row, "countered_at")?,
            restore_at: moment(row, "restore_at")?,
            suit: row.opt_blob("suit")?.map(|sealed| open(sealed, "suit")).transpose()?,
            suit_at: moment(row, "suit_at")?,
            ended_at: moment(row, "ended_at")?,
            refused_before: (count("refused")?, count("filed")?),
        })
    }
}

fn purpose(id: TakedownId, column: &str) -> String {
    format!("{column} of {id}")
}

fn unhashed(row: &Row) -> Result<UnhashedPost, StoreError> {
    let side = |column: &str| Ok::<_, StoreError>(u32::try_from(row.int(column)?).unwrap_or(0));
    Ok(UnhashedPost {
        post: PostId::from_bytes(row.id("id")?),
        author: IdentityId::from_bytes(row.id("author")?),
        size: (side("width")?, side("height")?),
        spritesheet: row.opt_text("spritesheet_key")?.map(ObjectKey::from_row),
        thumbnail: row.opt_text("thumbnail_key")?.map(ObjectKey::from_row),
    })
}

/// Moves a notice on, and says which post it is about. Its row stays locked.
async fn move_takedown(
    tx: &mut Tx,
    id: TakedownId,
    from: TakedownState,
    to: TakedownState,
) -> Result<PostId, StoreError> {
    let sql = format!("SELECT state, post FROM takedowns WHERE id = $1{}", tx.for_update());
    let row = tx.first(sql, args![id]).await?.ok_or(StoreError::NotFound("notice"))?;
    let state = word(&row, "state", TakedownState::from_word)?;
    if state != from {
        return Err(StoreError::State { what: "notice", state: state.as_str().into() });
    }
    tx.execute("UPDATE takedowns SET state = $2 WHERE id = $1", args![id, to.as_str()]).await?;
    Ok(PostId::from_bytes(row.id("post")?))
}

/// Notes that a decision took a post down for a notice, as long as that is there: what it blocks outlives it.
async fn took(tx: &mut Tx, id: TakedownId, decision: &DecisionRecord) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO takedown_posts (takedown, post, decision) SELECT t.id, $2, $3 FROM takedowns t WHERE t.id = $1
               ON CONFLICT (takedown, post) DO UPDATE SET decision = excluded.decision";
    tx.execute(sql, args![id, decision.item.id.map(uuid::Uuid::from_bytes), decision.id]).await.map(|_| ())
}

/// An appeal was right: if the decision took down what a notice named, the notice has come to its end and blocks nothing any more.
pub(crate) async fn overturned(tx: &mut Tx, decision: DecisionId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE takedowns SET state = 'restored', ended_at = $2 WHERE id IN (
                   SELECT p.takedown FROM takedown_posts p JOIN takedowns t ON t.id = p.takedown AND t.post = p.post
                   WHERE p.decision = $1) RETURNING id";
    for row in tx.all(sql, args![decision, now]).await? {
        let id = TakedownId::from_bytes(row.id("id")?);
        tx.execute("DELETE FROM blocked_frames WHERE takedown = $1", args![id]).await?;
    }
    Ok(())
}

async fn audit(
    tx: &mut Tx,
    id: TakedownId,
    post: PostId,
    actor: Option<IdentityId>,
    what: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let entry = AuditEntry {
        at: now,
        actor,
        action: format!("takedown.{what}"),
        subject: post.to_string(),
        detail: format!("social: {id}"),
    };
    append(tx, &entry).await
}
