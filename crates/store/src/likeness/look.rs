//! How clips look in which someone appears: kept beside their traces, and outliving them as those do, so that a file that was changed is
//! known again. What looks alike is the caller's to say; here are the rows.

use platform::likeness::{LikenessRefusal, permit};
use platform::{DecidedItem, IdentityId, LikenessId, Timestamp, UseId, VideoId};

use super::permission::{Appearing, Brought, CastRefused, facts, facts_sql, known_again, refusal};
use super::uses::UseOutcome;
use crate::database::{Row, Tx, args};
use crate::error::StoreError;
use crate::objects::ObjectKey;
use crate::store::Store;

/// How a clip looks in which someone appears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LikenessLook {
    /// Which clip; it may be gone.
    pub video: VideoId,
    /// The hashes of its frames; none if nobody could look at it.
    pub frames: Vec<[u8; 32]>,
}

/// A file that someone brings and clips are known in.
#[derive(Clone, Copy, Debug)]
pub struct BroughtFile<'a> {
    /// SHA-256 of it, as it came and as it is kept, hexadecimal.
    pub sha256: [&'a str; 2],
    /// The clips that it looks like. What is known by its bytes is that clip, whatever else it looks like.
    pub alike: &'a [VideoId],
    /// What a refusal is about, so that an appeal that is right lets the same file pass.
    pub item: DecidedItem,
    /// The field of the request.
    pub field: &'static str,
    /// What is to be made of it, in words.
    pub prompt: &'a str,
}

impl Store {
    /// How clips look in which someone appears, by their ids, from one on.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn likeness_looks(&self, after: Option<VideoId>, limit: u32) -> Result<Vec<LikenessLook>, StoreError> {
        let sql = "SELECT generation, frames FROM likeness_looks WHERE generation > $1 ORDER BY generation LIMIT $2";
        let after = after.unwrap_or(VideoId::from_bytes([0; 16]));
        let read = |row: &Row| {
            let video = VideoId::from_bytes(row.id("generation")?);
            Ok(LikenessLook { video, frames: row.blob("frames")?.as_chunks().0.to_vec() })
        };
        self.database.all(sql, args![after, limit]).await?.iter().map(read).collect()
    }

    /// Clips in which someone appears and that nobody has looked at, as long as they or a post of them are there: each with its film.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn unseen_likeness_clips(&self, limit: u32) -> Result<Vec<(VideoId, ObjectKey)>, StoreError> {
        let sql = "SELECT generation, film FROM (SELECT t.generation, COALESCE(
                       (SELECT g.video_key FROM generations g WHERE g.id = t.generation AND g.video_key <> ''),
                       (SELECT MIN(p.video_key) FROM posts p WHERE p.video = t.generation AND p.video_key <> '')) AS film
                   FROM likeness_traces t
                   WHERE NOT EXISTS (SELECT 1 FROM likeness_looks k WHERE k.generation = t.generation)) AS found
                   WHERE film IS NOT NULL GROUP BY generation, film ORDER BY generation DESC LIMIT $1";
        let read = |row: &Row| Ok((VideoId::from_bytes(row.id("generation")?), ObjectKey::from_row(row.text("film")?)));
        self.database.all(sql, args![limit]).await?.iter().map(read).collect()
    }

    /// Keeps how a clip looks in which someone appears; nothing at all of one that cannot be read. What was kept before stays.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn keep_likeness_look(&self, video: VideoId, frames: &[[u8; 32]]) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        keep_look(&mut tx, video, frames).await?;
        tx.commit().await
    }

    /// Who appears in a file that someone wants to make something of, if all of them let its bringer at this moment and nobody of them
    /// deleted it. A refusal is kept with its reasons, and those who appear see it; `id` is that of the attempt.
    ///
    /// # Errors
    /// [`StoreError::Refused`]; what cannot be asked is an error too, which counts as no.
    pub async fn may_make_of(
        &self,
        id: UseId,
        maker: IdentityId,
        file: &BroughtFile<'_>,
        now: Timestamp,
    ) -> Result<Vec<LikenessId>, StoreError> {
        let mut tx = self.database.begin().await?;
        let brought = Brought { ids: &[], sha256: file.sha256, alike: file.alike };
        let mut found = Vec::new();
        for Appearing { likeness, removed, .. } in known_again(&mut tx, &brought).await? {
            let permitted = match tx.first(facts_sql(), args![maker, likeness]).await? {
                Some(_) if removed => Err(LikenessRefusal::NotForYou),
                Some(row) => permit(&facts(&row)?, maker, now).map(|_| ()),
                None => Err(LikenessRefusal::Revoked),
            };
            if let Err(reason) = permitted {
                drop(tx);
                let mut refusal = refusal(reason);
                refusal.param = Some(file.field);
                refusal.message = format!("This shows a clip in which someone appears. {}", refusal.message);
                let refused = CastRefused { likeness, refusal, outcome: UseOutcome::NotPermitted(reason) };
                self.note_refused_use(id, maker, &refused, (file.item, file.prompt), now).await?;
                return Err(refused.refusal.into());
            }
            found.push(likeness);
        }
        Ok(found)
    }
}

/// Keeps how a clip looks, if someone appears in it.
pub(crate) async fn keep_look(tx: &mut Tx, video: VideoId, frames: &[[u8; 32]]) -> Result<(), StoreError> {
    let sql = "INSERT INTO likeness_looks (generation, frames)
               SELECT t.generation, $2 FROM likeness_traces t WHERE t.generation = $1 LIMIT 1 ON CONFLICT DO NOTHING";
    tx.execute(sql, args![video, frames.concat()]).await.map(|_| ())
}
