//! What waits for whoever is signed in, in one statement: every page of the feed says it.

use platform::{ActiveMembership, IdentityId};

use super::message::unread_messages;
use super::notice::unread_notices;
use super::person;
use crate::database::args;
use crate::error::StoreError;
use crate::generation::number;
use crate::notice_settings::unseen_clips;
use crate::store::Store;

/// How much waits; none is counted beyond a hundred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Clips that have ended and were not seen since.
    pub clips: u64,
    /// Decisions about them that they have not seen.
    pub decisions: u64,
    /// Notices of `social`; none for whoever is no member.
    pub notices: u64,
    /// Whether there are messages that they have not read.
    pub messages: bool,
}

impl Store {
    /// What waits for someone, and for the member of `social` that they may be.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn news(&self, identity: IdentityId, member: Option<ActiveMembership>) -> Result<News, StoreError> {
        let clips = unseen_clips();
        let decisions =
            "SELECT 1 AS one FROM decisions WHERE subject = $1 AND seen_at IS NULL AND state <> 'proposed' LIMIT 100";
        let counted = |rows: &str, name: &str| format!("(SELECT COUNT(*) FROM ({rows}) AS {name}_found) AS {name}");
        let mut columns = vec![counted(&clips, "clips"), counted(decisions, "decisions")];
        if member.map(person) == Some(identity) {
            columns.push(counted(&unread_notices(), "notices"));
            columns.push(counted(&unread_messages(), "messages"));
        }
        let sql = format!("SELECT {}", columns.join(", "));
        let Some(row) = self.database.first(sql, args![identity]).await? else { return Ok(News::default()) };
        let mut news = News { clips: number(&row, "clips")?, decisions: number(&row, "decisions")?, ..News::default() };
        if columns.len() > 2 {
            news.notices = number(&row, "notices")?;
            news.messages = row.int("messages")? > 0;
        }
        Ok(news)
    }
}
