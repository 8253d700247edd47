//! Who may use whose likeness, asked of the rows as they are at that moment.

use platform::likeness::{
    Audience, Bonds, LikenessFacts, LikenessRefusal, Permission, StandingConsent, limits_version, permit, stand,
};
use platform::{
    ConsentId, DecidedItem, DecidedRule, DecisionEffect, DecisionId, DecisionRecord, DecisionScope, IdentityId,
    LikenessId, Refusal, RefusalCode, Service, Timestamp, UseId, VideoId,
};

use super::look::keep_look;
use super::own::Likeness;
use super::uses::{UseOutcome, insert_use};
use crate::database::{Row, Tx, args};
use crate::decision::record;
use crate::error::StoreError;
use crate::generation::{number, word};
use crate::store::Store;

/// A likeness in a clip, with what is needed to draw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cast {
    /// The likeness.
    pub likeness: Likeness,
    /// Whether whoever makes the clip may still do so.
    pub permitted: Result<(), LikenessRefusal>,
}

/// A likeness that may not be used so: which, and why. Nothing of the request was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CastRefused {
    /// Which.
    pub(crate) likeness: LikenessId,
    /// What whoever asked is told.
    pub(crate) refusal: Refusal,
    /// What its person sees of it.
    pub(crate) outcome: UseOutcome,
}

/// What [`facts`] reads of likeness `$2` for maker `$1`.
pub(super) fn facts_sql() -> String {
    let flag = |condition: &str| format!("CAST(CASE WHEN {condition} THEN 1 ELSE 0 END AS BIGINT)");
    let [present, blocked, approved, mutual] = conditions("$1");
    format!(
        "SELECT l.*, c.version AS consent_version, c.expires_at AS consent_until, c.generate, c.given_at, c.ended_at,
         {} AS present, {} AS is_blocked, {} AS is_approved, {} AS is_mutual
         FROM likenesses l JOIN likeness_consents c ON c.id = l.consent WHERE l.id = $2",
        flag(&present),
        flag(&blocked),
        flag(&approved),
        flag(&mutual)
    )
}

/// Whether the person of likeness `l` is there; whether a block stands between them and a maker; whether they approved the maker; whether each
/// follows the other.
fn conditions(maker: &str) -> [String; 4] {
    [
        "EXISTS (SELECT 1 FROM memberships lm WHERE lm.identity = l.identity AND lm.service = 'likeness'
                 AND lm.state IN ('active', 'restricted'))"
            .to_owned(),
        format!(
            "(EXISTS (SELECT 1 FROM likeness_blocks lb WHERE lb.likeness = l.id AND lb.blocked = {maker})
              OR EXISTS (SELECT 1 FROM blocks sb WHERE sb.blocker = l.identity AND sb.blocked = {maker})
              OR EXISTS (SELECT 1 FROM blocks sb WHERE sb.blocker = {maker} AND sb.blocked = l.identity))"
        ),
        format!("EXISTS (SELECT 1 FROM likeness_grants lg WHERE lg.likeness = l.id AND lg.grantee = {maker})"),
        format!(
            "(EXISTS (SELECT 1 FROM follows lf WHERE lf.follower = l.identity AND lf.followed = {maker} AND lf.accepted_at IS NOT NULL)
              AND EXISTS (SELECT 1 FROM follows lf WHERE lf.follower = {maker} AND lf.followed = l.identity AND lf.accepted_at IS NOT NULL))"
        ),
    ]
}

/// Whether everyone who appears in a clip of a maker still lets them: `platform::likeness::stand` in SQL, for lists. A consent that has ended by
/// itself is withdrawn by whoever keeps house. `video` and `maker` are columns.
pub(crate) fn stands(video: &str, maker: &str) -> String {
    let [present, blocked, approved, mutual] = conditions(maker);
    format!(
        "NOT EXISTS (SELECT 1 FROM likeness_outputs lo WHERE lo.generation = {video} AND NOT EXISTS (
             SELECT 1 FROM likenesses l JOIN likeness_consents c ON c.id = l.consent
             WHERE l.id = lo.likeness AND l.revoked_at IS NULL AND c.ended_at IS NULL AND c.generate = 1 AND {present}
             AND (l.identity = {maker} OR (NOT {blocked} AND (l.audience = 'everyone'
                  OR (l.audience IN ('approved', 'mutuals') AND {approved}) OR (l.audience = 'mutuals' AND {mutual}))))))"
    )
}

pub(super) fn facts(row: &Row) -> Result<LikenessFacts, StoreError> {
    let ended = row.opt_int("ended_at")?.is_some();
    let consent = StandingConsent {
        id: ConsentId::from_bytes(row.id("consent")?),
        version: number(row, "consent_version")?,
        generate: row.int("generate")? == 1,
        given_at: Timestamp::from_micros(row.int("given_at")?),
        expires_at: Timestamp::from_micros(row.int("consent_until")?),
    };
    Ok(LikenessFacts {
        likeness: LikenessId::from_bytes(row.id("id")?),
        owner: IdentityId::from_bytes(row.id("identity")?),
        present: row.int("present")? == 1,
        revoked_at: row.opt_int("revoked_at")?.map(Timestamp::from_micros),
        consent: (!ended).then_some(consent),
        audience: word(row, "audience", Audience::from_word)?,
        bonds: Bonds {
            blocked: row.int("is_blocked")? == 1,
            approved: row.int("is_approved")? == 1,
            mutual: row.int("is_mutual")? == 1,
        },
    })
}

impl Store {
    /// Whether `maker` may use a likeness for something new at a moment.
    ///
    /// # Errors
    /// The refusal inside; [`StoreError`] if it cannot be asked, which counts as no.
    pub async fn likeness_permission(
        &self,
        maker: IdentityId,
        likeness: LikenessId,
        at: Timestamp,
    ) -> Result<Result<Permission, LikenessRefusal>, StoreError> {
        match self.database.first(facts_sql(), args![maker, likeness]).await? {
            Some(row) => Ok(permit(&facts(&row)?, maker, at)),
            None => Ok(Err(LikenessRefusal::Revoked)),
        }
    }

    /// Who appears in a clip, each with whether its maker may still show them. One whose likeness is gone is a refusal by itself.
    ///
    /// # Errors
    /// The refusal inside; [`StoreError`] if it cannot be asked, which counts as no.
    pub async fn cast_of(
        &self,
        video: VideoId,
        maker: IdentityId,
        at: Timestamp,
    ) -> Result<Result<Vec<Cast>, LikenessRefusal>, StoreError> {
        let sql = "SELECT likeness FROM likeness_outputs WHERE generation = $1 ORDER BY likeness";
        let mut cast = Vec::new();
        for row in self.database.all(sql, args![video]).await? {
            let id = LikenessId::from_bytes(row.id("likeness")?);
            let Some(row) = self.database.first(facts_sql(), args![maker, id]).await? else {
                return Ok(Err(LikenessRefusal::Revoked));
            };
            let permitted = stand(&facts(&row)?, maker, at).map(|_| ());
            cast.push(Cast { likeness: Likeness::from_row(&row)?, permitted });
        }
        Ok(Ok(cast))
    }

    /// Whether a clip may be made or shown as far as those go who appear in it: nothing if nobody does, else whether all let its maker.
    ///
    /// # Errors
    /// The refusal inside; [`StoreError`] if it cannot be asked, which counts as no.
    pub async fn likenesses_stand(
        &self,
        video: VideoId,
        maker: IdentityId,
        at: Timestamp,
    ) -> Result<Result<usize, LikenessRefusal>, StoreError> {
        let cast = match self.cast_of(video, maker, at).await? {
            Ok(cast) => cast,
            Err(refusal) => return Ok(Err(refusal)),
        };
        Ok(cast.iter().try_for_each(|one| one.permitted).map(|()| cast.len()))
    }

    /// Clips that contain a likeness and join to no receipt that was valid when they were made: must be none.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn likeness_orphans(&self) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) AS count FROM likeness_outputs o LEFT JOIN likeness_consents c ON c.id = o.consent
                   WHERE c.id IS NULL OR c.likeness <> o.likeness OR c.generate <> 1 OR c.given_at > o.made_at
                   OR o.made_at >= c.expires_at OR o.made_at > COALESCE(c.ended_at, o.made_at)";
        self.database.first(sql, args![]).await?.map_or(Ok(0), |row| number(&row, "count"))
    }

    /// Keeps that someone wanted to use a likeness and was refused, for its person to see; whoever asked gets the reasons in one step with it.
    /// `item` is what the reasons are about.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(crate) async fn note_refused_use(
        &self,
        id: UseId,
        maker: IdentityId,
        refused: &CastRefused,
        (item, prompt): (DecidedItem, &str),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        // Whoever may not use a likeness does not get to write to its person either.
        let told = if matches!(refused.outcome, UseOutcome::Limited(_)) { prompt } else { "" };
        insert_use(&mut tx, id, (refused.likeness, maker, None), (told, &refused.outcome), now).await?;
        let rule = match &refused.outcome {
            UseOutcome::Limited(limit) => {
                DecidedRule { id: format!("likeness.{limit}"), version: limits_version().into() }
            }
            _ => DecidedRule { id: "likeness.permission".into(), version: limits_version().into() },
        };
        let decision = DecisionRecord {
            id: DecisionId::derived(id.bytes(), "reasons"),
            subject: maker,
            scope: DecisionScope::Item,
            service: Some(Service::Video),
            effect: DecisionEffect::Refuse,
            item,
            ground: refused.refusal.code.as_str().into(),
            rule,
            facts: refused.refusal.message.clone(),
            evidence: prompt.to_owned(),
            unlawful: false,
            automated_detection: true,
            author: None,
            second: None,
            strikes: 0,
            decided_at: now,
            ends_at: None,
        };
        record(&mut tx, &decision).await?;
        tx.commit().await
    }
}

/// Whether `maker` may use likenesses for these words within a transaction: those that are named, and those that the source contains.
///
/// # Errors
/// The refusal inside, of the first that may not.
pub(crate) async fn cast(
    tx: &mut Tx,
    maker: IdentityId,
    named: &[LikenessId],
    source: Option<VideoId>,
    prompt: &str,
    now: Timestamp,
) -> Result<Result<Vec<Permission>, CastRefused>, StoreError> {
    let mut all = named.to_vec();
    if let Some(source) = source {
        let sql = "SELECT likeness FROM likeness_outputs WHERE generation = $1 ORDER BY likeness";
        for row in tx.all(sql, args![source]).await? {
            all.push(LikenessId::from_bytes(row.id("likeness")?));
        }
    }
    all.sort_unstable();
    all.dedup();
    let mut permissions = Vec::new();
    for id in all {
        let refuse = |reason: LikenessRefusal| CastRefused {
            likeness: id,
            refusal: refusal(reason),
            outcome: UseOutcome::NotPermitted(reason),
        };
        let Some(row) = tx.first(facts_sql(), args![maker, id]).await? else {
            return Ok(Err(refuse(LikenessRefusal::Revoked)));
        };
        let facts = facts(&row)?;
        let permission = match permit(&facts, maker, now) {
            Ok(permission) => permission,
            Err(reason) => return Ok(Err(refuse(reason))),
        };
        let likeness = Likeness::from_row(&row)?;
        // Whose likeness it is may break their own limits.
        if facts.owner != maker
            && let Some(hit) = likeness.limits.judge(prompt)
        {
            let message = format!(
                "@{} does not want to be shown so: {}. Nothing was charged.",
                likeness.handle.as_str(),
                hit.what().replace('_', " ")
            );
            let refusal = Refusal::new(RefusalCode::LikenessLimit, Some("prompt"), message);
            return Ok(Err(CastRefused { likeness: id, refusal, outcome: UseOutcome::Limited(hit.what().to_owned()) }));
        }
        permissions.push(permission);
    }
    Ok(Ok(permissions))
}

/// Refuses unless everyone who appears in a clip lets its maker show it, within the transaction that shows it.
///
/// # Errors
/// [`StoreError::Refused`].
pub(crate) async fn require(tx: &mut Tx, video: VideoId, maker: IdentityId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "SELECT likeness FROM likeness_outputs WHERE generation = $1 ORDER BY likeness";
    for row in tx.all(sql, args![video]).await? {
        let id = LikenessId::from_bytes(row.id("likeness")?);
        let standing = match tx.first(facts_sql(), args![maker, id]).await? {
            Some(row) => stand(&facts(&row)?, maker, now).map(|_| ()),
            None => Err(LikenessRefusal::Revoked),
        };
        standing.map_err(refusal)?;
    }
    Ok(())
}

/// Remembers by which id and which hash a finished clip is known again in which someone appears. What was remembered before stays.
pub(crate) async fn trace(tx: &mut Tx, video: VideoId, sha256: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO likeness_traces (generation, likeness, consent, made_at, sha256)
               SELECT o.generation, o.likeness, o.consent, o.made_at, $2 FROM likeness_outputs o WHERE o.generation = $1
               ON CONFLICT DO NOTHING";
    tx.execute(sql, args![video, sha256]).await.map(|_| ())
}

/// A clip that someone brings, and by what it is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Brought<'a> {
    /// Of one that an archive brings its id here, and the one that it had where the archive was written.
    pub(crate) ids: &'a [VideoId],
    /// SHA-256 of its file, as it came and as it is kept, hexadecimal.
    pub(crate) sha256: [&'a str; 2],
    /// The clips that it looks like.
    pub(crate) alike: &'a [VideoId],
}

/// Someone who appears in a clip that is brought.
pub(super) struct Appearing {
    pub(super) likeness: LikenessId,
    /// A consent that was valid then.
    consent: ConsentId,
    /// When it was made.
    made_at: Timestamp,
    /// Whether it was deleted by whoever appears in it.
    pub(super) removed: bool,
}

/// Who appears in a clip that is brought, as far as this installation knows it again: by its id, whichever that was, or by its file; if the
/// file is none that it knows, by what that looks like.
pub(super) async fn known_again(tx: &mut Tx, brought: &Brought<'_>) -> Result<Vec<Appearing>, StoreError> {
    let [came, kept] = brought.sha256;
    let sql =
        "SELECT likeness, consent, made_at, removed_at FROM likeness_traces WHERE sha256 <> '' AND sha256 IN ($1, $2)";
    let mut rows = tx.all(sql, args![came, kept]).await?;
    let alike = if rows.is_empty() { brought.alike } else { &[] };
    for id in brought.ids.iter().chain(alike) {
        let sql = "SELECT likeness, consent, made_at, removed_at FROM likeness_traces WHERE generation = $1
                   UNION SELECT likeness, consent, made_at, CAST(NULL AS BIGINT) FROM likeness_outputs WHERE generation = $1";
        rows.extend(tx.all(sql, args![*id]).await?);
    }
    let mut found: Vec<Appearing> = Vec::new();
    for row in rows {
        found.push(Appearing {
            likeness: LikenessId::from_bytes(row.id("likeness")?),
            consent: ConsentId::from_bytes(row.id("consent")?),
            made_at: Timestamp::from_micros(row.int("made_at")?),
            removed: row.opt_int("removed_at")?.is_some(),
        });
    }
    found.sort_by_key(|one| (one.likeness, one.made_at, one.consent));
    found.dedup_by(|next, first| {
        let same = next.likeness == first.likeness;
        first.removed |= same && next.removed;
        same
    });
    Ok(found)
}

/// Whether everyone who appears in a clip that an archive brings lets whoever brings it have it, and nobody of them deleted it; nothing is
/// written.
///
/// # Errors
/// The refusal inside.
pub(crate) async fn may_come_back(
    tx: &mut Tx,
    maker: IdentityId,
    brought: &Brought<'_>,
    now: Timestamp,
) -> Result<Result<(), LikenessRefusal>, StoreError> {
    for Appearing { likeness, removed, .. } in known_again(tx, brought).await? {
        let standing = match tx.first(facts_sql(), args![maker, likeness]).await? {
            Some(_) if removed => Err(LikenessRefusal::NotForYou),
            Some(row) => stand(&facts(&row)?, maker, now).map(|_| ()),
            None => Err(LikenessRefusal::Revoked),
        };
        if let Err(refusal) = standing {
            return Ok(Err(refusal));
        }
    }
    Ok(Ok(()))
}

/// Joins a clip that came back, and is `here` now, to the consents of those who appear in it, so that it is asked for like any other from then on, and writes
/// the uses down that they see.
pub(crate) async fn join_again(
    tx: &mut Tx,
    maker: IdentityId,
    here: VideoId,
    brought: &Brought<'_>,
    frames: &[[u8; 32]],
    now: Timestamp,
) -> Result<(), StoreError> {
    for Appearing { likeness, consent, made_at, .. } in known_again(tx, brought).await? {
        // A receipt whose time was over long ago is gone; then the one that stands says yes to it today.
        let there = tx.first("SELECT 1 AS one FROM likeness_consents WHERE id = $1", args![consent]).await?.is_some();
        let (valid, made_at) = if there {
            (consent, made_at)
        } else {
            let row = tx.first("SELECT consent FROM likenesses WHERE id = $1", args![likeness]).await?;
            (ConsentId::from_bytes(row.ok_or(StoreError::NotFound("consent"))?.id("consent")?), now)
        };
        let sql = "INSERT INTO likeness_outputs (generation, likeness, consent, made_at) VALUES ($1, $2, $3, $4)
                   ON CONFLICT DO NOTHING";
        tx.execute(sql, args![here, likeness, valid, made_at]).await?;
        let id = UseId::derived(here.bytes(), &likeness.to_string());
        insert_use(tx, id, (likeness, maker, Some(here)), ("", &UseOutcome::Made), now).await?;
    }
    for sha256 in brought.sha256.into_iter().filter(|sha256| !sha256.is_empty()) {
        trace(tx, here, sha256).await?;
    }
    if !frames.is_empty() {
        keep_look(tx, here, frames).await?;
    }
    Ok(())
}

/// A refusal in the API's words.
pub(super) fn refusal(reason: LikenessRefusal) -> Refusal {
    let code = match reason {
        LikenessRefusal::Revoked => RefusalCode::LikenessRevoked,
        LikenessRefusal::Outdated => RefusalCode::LikenessConsentOutdated,
        LikenessRefusal::NotForYou => RefusalCode::LikenessNotPermitted,
    };
    let mut sentence = reason.to_string();
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Refusal::new(code, Some("characters"), format!("{sentence}. Nothing was charged."))
}
