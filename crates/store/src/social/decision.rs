//! Why a post is withheld: decided by a moderator or by a rule of this program, told to the post's author.

use platform::{DecisionId, IdentityId, PostId, ReportReason, Role, Timestamp};

use super::report::may_moderate;
use crate::database::args;
use crate::error::StoreError;
use crate::generation::word;
use crate::store::Store;

/// A decision to withhold a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostDecision {
    /// Its id.
    pub id: DecisionId,
    /// Which post.
    pub post: PostId,
    /// What it is against.
    pub ground: ReportReason,
    /// The rule, in the words of whoever decided; may be empty.
    pub rule: String,
    /// Who decided; nobody if a rule of this program did.
    pub decided_by: Option<IdentityId>,
    /// When.
    pub decided_at: Timestamp,
}

/// How much of a rule's words is kept.
const RULE_LENGTH: usize = 1_000;

impl Store {
    /// Withholds a post by a decision, and keeps the decision with its reasons. Says whose post it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if there is no such post, and for anyone but moderators.
    pub async fn withhold_by(&self, moderator: Role, decision: &PostDecision) -> Result<IdentityId, StoreError> {
        may_moderate(moderator)?;
        let mut tx = self.database.begin().await?;
        super::post::withhold(&mut tx, decision.post, true, decision.decided_at).await?;
        let row = tx.first("SELECT author FROM posts WHERE id = $1", args![decision.post]).await?;
        let author = IdentityId::from_bytes(row.ok_or(StoreError::NotFound("post"))?.id("author")?);
        let rule: String = decision.rule.chars().take(RULE_LENGTH).collect();
        let sql = "INSERT INTO post_decisions (id, post, author, ground, rule, decided_by, decided_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let ground = decision.ground.as_str();
        let PostDecision { id, post, decided_by, decided_at, .. } = decision;
        tx.execute(sql, args![*id, *post, author, ground, rule, *decided_by, *decided_at]).await?;
        tx.commit().await?;
        Ok(author)
    }

    /// The decision by which someone's own post is withheld, the last if there are several; nothing if there is none, or none that
    /// counts any more.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn post_decision(&self, author: IdentityId, post: PostId) -> Result<Option<PostDecision>, StoreError> {
        let sql = "SELECT * FROM post_decisions WHERE post = $1 AND author = $2 AND lifted_at IS NULL
                   ORDER BY decided_at DESC, id DESC LIMIT 1";
        let Some(row) = self.database.first(sql, args![post, author]).await? else { return Ok(None) };
        Ok(Some(PostDecision {
            id: DecisionId::from_bytes(row.id("id")?),
            post,
            ground: word(&row, "ground", ReportReason::from_word)?,
            rule: row.text("rule")?,
            decided_by: row.opt_id("decided_by")?.map(IdentityId::from_bytes),
            decided_at: Timestamp::from_micros(row.int("decided_at")?),
        }))
    }
}
