//! Reports to the moderators, and their queue. Decisions about them are made elsewhere.

use platform::{
    ActiveMembership, CommentId, DecisionId, IdentityId, MessageId, PostAddress, ReportId, ReportKind, ReportReason,
    Role, Timestamp, Viewer,
};

use super::person;
use super::profile::unique;
use crate::database::{Row, args};
use crate::error::StoreError;
use crate::generation::word;
use crate::store::Store;

/// A report to be made.
#[derive(Clone, Debug)]
pub struct NewReport<'a> {
    /// Its id.
    pub id: ReportId,
    /// What it is about.
    pub subject: ReportSubject,
    /// Why.
    pub reason: ReportReason,
    /// More, for the moderators; 1,000 characters of it are kept.
    pub note: &'a str,
}

/// What a report is about, as its writer names it. They see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportSubject {
    /// A post.
    Post(PostAddress),
    /// Someone's profile.
    Profile(IdentityId),
    /// A comment below a post.
    Comment(PostAddress, CommentId),
    /// A message that was sent to the writer.
    Message(MessageId),
}

/// A report in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its id.
    pub id: ReportId,
    /// Who reported.
    pub reporter: IdentityId,
    /// What kind of thing.
    pub kind: ReportKind,
    /// The bytes of the thing's id.
    pub subject: [u8; 16],
    /// Whose it is.
    pub about: IdentityId,
    /// Why.
    pub reason: ReportReason,
    /// More.
    pub note: String,
    /// The words of the thing as they were then.
    pub copy: String,
    /// When.
    pub reported_at: Timestamp,
}

impl Store {
    /// Reports something.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the person does not see it; [`StoreError::State`] if it is their own; [`StoreError::Exists`] if they
    /// reported it before.
    pub async fn report(
        &self,
        member: ActiveMembership,
        report: &NewReport<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (me, viewer) = (person(member), Viewer::from(member));
        let (kind, subject, about, copy) = match report.subject {
            ReportSubject::Post(address) => {
                let post = self.post(viewer, address).await?;
                (ReportKind::Post, post.id.bytes(), post.author.identity, post.caption.as_str().to_owned())
            }
            ReportSubject::Profile(identity) => {
                let profile = self.profile_of(viewer, identity).await?;
                let words = [profile.handle.as_str(), profile.display_name.as_str(), profile.bio.as_str()].join("\n");
                (ReportKind::Profile, identity.bytes(), identity, words)
            }
            ReportSubject::Comment(address, id) => {
                let post = self.post(viewer, address).await?;
                let sql = "SELECT author, text FROM comments WHERE id = $1 AND post = $2 AND state = 'shown' AND withheld_at IS NULL";
                let row = self.database.first(sql, args![id, post.id]).await?.ok_or(StoreError::NotFound("comment"))?;
                (ReportKind::Comment, id.bytes(), IdentityId::from_bytes(row.id("author")?), row.text("text")?)
            }
            ReportSubject::Message(id) => {
                let sql = "SELECT m.sender, m.text FROM messages m JOIN conversations c ON c.id = m.conversation
                           WHERE m.id = $1 AND m.deleted_at IS NULL AND m.withheld_at IS NULL AND (c.low = $2 OR c.high = $2)";
                let row = self.database.first(sql, args![id, me]).await?.ok_or(StoreError::NotFound("message"))?;
                (ReportKind::Message, id.bytes(), IdentityId::from_bytes(row.id("sender")?), row.text("text")?)
            }
        };
        if about == me {
            return Err(StoreError::State { what: "report", state: "about yourself".into() });
        }
        let note: String = report.note.chars().take(1_000).collect();
        let sql = "INSERT INTO reports (id, reporter, kind, subject, about, reason, note, copy, reported_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let subject = uuid::Uuid::from_bytes(subject);
        let reason = report.reason.as_str();
        let args = args![report.id, me, kind.as_str(), subject, about, reason, note, copy, now];
        unique(self.database.execute(sql, args).await, "report").map(|_| ())
    }

    /// What waits for a moderator, the oldest first. What is about themselves waits for another.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for anyone else.
    pub async fn open_reports(
        &self,
        moderator: Role,
        who: IdentityId,
        after: Option<ReportId>,
        limit: u32,
    ) -> Result<Vec<Report>, StoreError> {
        may_moderate(moderator)?;
        let after = after.unwrap_or(ReportId::from_bytes([0; 16]));
        let sql = "SELECT * FROM reports WHERE closed_at IS NULL AND about <> $3 AND id > $1 ORDER BY id LIMIT $2";
        self.database.all(sql, args![after, limit, who]).await?.iter().map(from_row).collect()
    }

    /// A report in the queue of a moderator.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it is not there or about themselves, and for anyone but moderators.
    pub async fn open_report(&self, moderator: Role, who: IdentityId, id: ReportId) -> Result<Report, StoreError> {
        may_moderate(moderator)?;
        let sql = "SELECT * FROM reports WHERE id = $1 AND about <> $2 AND closed_at IS NULL";
        from_row(&self.database.first(sql, args![id, who]).await?.ok_or(StoreError::NotFound("report"))?)
    }

    /// Takes a report from the queue, with the decision that came of it if there is one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it is not in the queue, and for anyone but moderators.
    pub async fn close_report(
        &self,
        moderator: Role,
        id: ReportId,
        decision: Option<DecisionId>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        may_moderate(moderator)?;
        let sql = "UPDATE reports SET closed_at = $2, decision = $3 WHERE id = $1 AND closed_at IS NULL";
        match self.database.execute(sql, args![id, now, decision]).await? {
            0 => Err(StoreError::NotFound("report")),
            _ => Ok(()),
        }
    }
}

/// Takes the role that someone has in `social`.
pub(super) fn may_moderate(role: Role) -> Result<(), StoreError> {
    if role >= Role::Moderator { Ok(()) } else { Err(StoreError::NotFound("report")) }
}

fn from_row(row: &Row) -> Result<Report, StoreError> {
    Ok(Report {
        id: ReportId::from_bytes(row.id("id")?),
        reporter: IdentityId::from_bytes(row.id("reporter")?),
        kind: word(row, "kind", ReportKind::from_word)?,
        subject: row.id("subject")?,
        about: IdentityId::from_bytes(row.id("about")?),
        reason: word(row, "reason", ReportReason::from_word)?,
        note: row.text("note")?,
        copy: row.text("copy")?,
        reported_at: Timestamp::from_micros(row.int("reported_at")?),
    })
}
