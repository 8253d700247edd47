//! Sessions of browsers, and tokens that work once: recovery codes, links in mails, the set-up link. Only hashes are kept.

use platform::{IdentityId, Membership, SessionId, Timestamp, TokenHash, TokenKind};

use crate::database::{Row, args};
use crate::error::StoreError;
use crate::generation::number;
use crate::membership;
use crate::store::Store;

/// A browser that is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its public id, for the list of one's sessions.
    pub id: SessionId,
    /// Who is signed in.
    pub identity: IdentityId,
    /// What the list shows, such as browser and system.
    pub label: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When the person last proved who they are.
    pub authenticated_at: Timestamp,
    /// When it was last used.
    pub last_seen_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What a token that worked was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimeToken {
    /// Whose; nothing for the set-up link.
    pub identity: Option<IdentityId>,
    /// What about, such as an address to confirm.
    pub subject: String,
}

/// What is known of a token that someone holds. Only they can ask, so it may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// It works, once.
    Good(OneTimeToken),
    /// It has worked.
    Used,
    /// Its time is over.
    Expired,
    /// Nobody made it, or it was taken back.
    Unknown,
}

impl Store {
    /// Begins a session.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn create_session(&self, hash: TokenHash, session: &Session) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO sessions (hash, id, identity, label, created_at, authenticated_at, last_seen_at, expires_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let args = args![
            hash,
            session.id,
            session.identity,
            session.label.as_str(),
            session.created_at,
            session.authenticated_at,
            session.last_seen_at,
            session.expires_at,
        ];
        self.database.execute(sql, args).await.map(|_| ())
    }

    /// The session of a cookie, if it has not ended.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn session(&self, hash: TokenHash, now: Timestamp) -> Result<Option<Session>, StoreError> {
        let sql = "SELECT * FROM sessions WHERE hash = $1 AND expires_at > $2";
        self.database.first(sql, args![hash, now]).await?.map(|row| session_from_row(&row)).transpose()
    }

    /// The session of a cookie, if it has not ended, with all that its owner ever joined.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn signed_in(
        &self,
        hash: TokenHash,
        now: Timestamp,
    ) -> Result<Option<(Session, Vec<Membership>)>, StoreError> {
        let sql = "SELECT s.id, s.identity, s.label, s.created_at, s.authenticated_at, s.last_seen_at, s.expires_at, m.service, m.state,
                   m.role, m.strikes, m.limited_until FROM sessions s LEFT JOIN memberships m ON m.identity = s.identity
                   WHERE s.hash = $1 AND s.expires_at > $2 ORDER BY m.service";
        let rows = self.database.all(sql, args![hash, now]).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let mut memberships = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.opt_text("service")?.is_some() {
                memberships.push(membership::from_row(row)?);
            }
        }
        Ok(Some((session_from_row(first)?, memberships)))
    }

    /// A person's sessions, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn sessions(&self, identity: IdentityId, now: Timestamp) -> Result<Vec<Session>, StoreError> {
        let sql = "SELECT * FROM sessions WHERE identity = $1 AND expires_at > $2 ORDER BY id DESC";
        self.database.all(sql, args![identity, now]).await?.iter().map(session_from_row).collect()
    }

    /// Notes that a session was used. Call it at most once a minute for each.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn touch_session(&self, id: SessionId, expires_at: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET last_seen_at = $2, expires_at = $3 WHERE id = $1";
        self.database.execute_quietly(sql, args![id, now, expires_at]).await.map(|_| ())
    }

    /// The person has proved again who they are.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn reauthenticate_session(&self, id: SessionId, now: Timestamp) -> Result<(), StoreError> {
        self.database
            .execute("UPDATE sessions SET authenticated_at = $2 WHERE id = $1", args![id, now])
            .await
            .map(|_| ())
    }

    /// Ends a session of a person.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn end_session(&self, identity: IdentityId, id: SessionId) -> Result<(), StoreError> {
        let sql = "DELETE FROM sessions WHERE id = $1 AND identity = $2";
        self.database.execute(sql, args![id, identity]).await.map(|_| ())
    }

    /// Ends all sessions of a person but one; says how many.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn end_sessions(&self, identity: IdentityId, keep: Option<SessionId>) -> Result<u64, StoreError> {
        let keep = keep.unwrap_or(SessionId::from_bytes([0; 16]));
        self.database.execute("DELETE FROM sessions WHERE identity = $1 AND id <> $2", args![identity, keep]).await
    }

    /// Keeps a token that works once.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn create_one_time_token(
        &self,
        hash: TokenHash,
        kind: TokenKind,
        token: &OneTimeToken,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO one_time_tokens (hash, kind, identity, subject, created_at, expires_at)
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let args = args![hash, kind_word(kind), token.identity, token.subject.as_str(), now, expires_at];
        self.database.execute(sql, args).await.map(|_| ())
    }

    /// Looks at a token without using it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn one_time_token(
        &self,
        hash: TokenHash,
        kind: TokenKind,
        now: Timestamp,
    ) -> Result<TokenState, StoreError> {
        let sql = "SELECT identity, subject, expires_at, used_at FROM one_time_tokens WHERE hash = $1 AND kind = $2";
        let Some(row) = self.database.first(sql, args![hash, kind_word(kind)]).await? else {
            return Ok(TokenState::Unknown);
        };
        if row.opt_int("used_at")?.is_some() {
            return Ok(TokenState::Used);
        }
        if row.opt_int("expires_at")?.is_some_and(|end| end <= now.micros()) {
            return Ok(TokenState::Expired);
        }
        Ok(TokenState::Good(token_from_row(&row)?))
    }

    /// Uses a token up. Nothing if it is unknown, of another kind, over or used: which of these is nobody's business.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn use_one_time_token(
        &self,
        hash: TokenHash,
        kind: TokenKind,
        now: Timestamp,
    ) -> Result<Option<OneTimeToken>, StoreError> {
        let sql = "UPDATE one_time_tokens SET used_at = $3 WHERE hash = $1 AND kind = $2 AND used_at IS NULL
                   AND (expires_at IS NULL OR expires_at > $3) RETURNING identity, subject";
        let mut tx = self.database.begin().await?;
        let row = tx.first(sql, args![hash, kind_word(kind), now]).await?;
        tx.commit().await?;
        row.map(|row| token_from_row(&row)).transpose()
    }

    /// How many tokens of a kind a person has that still work.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn count_one_time_tokens(
        &self,
        identity: IdentityId,
        kind: TokenKind,
        now: Timestamp,
    ) -> Result<u32, StoreError> {
        let sql = "SELECT COUNT(*) AS count FROM one_time_tokens WHERE identity = $1 AND kind = $2
                   AND used_at IS NULL AND (expires_at IS NULL OR expires_at > $3)";
        let row = self.database.first(sql, args![identity, kind_word(kind), now]).await?;
        row.map_or(Ok(0), |row| number(&row, "count"))
    }

    /// Forgets tokens whose time was over before a moment; says how many. Until then their holders are told that they came late.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn forget_expired_tokens(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.database.execute("DELETE FROM one_time_tokens WHERE expires_at < $1", args![before]).await
    }

    /// Forgets a person's tokens of a kind, used or not: before new recovery codes are made.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn forget_one_time_tokens(&self, identity: IdentityId, kind: TokenKind) -> Result<u64, StoreError> {
        let sql = "DELETE FROM one_time_tokens WHERE identity = $1 AND kind = $2";
        self.database.execute(sql, args![identity, kind_word(kind)]).await
    }
}

fn token_from_row(row: &Row) -> Result<OneTimeToken, StoreError> {
    let identity = row.opt_id("identity")?.map(IdentityId::from_bytes);
    Ok(OneTimeToken { identity, subject: row.text("subject")? })
}

fn kind_word(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Session => "session",
        TokenKind::RecoveryCode => "recovery_code",
        TokenKind::Invite => "invite",
        TokenKind::SetUp => "set_up",
        TokenKind::EmailConfirmation => "email_confirmation",
        TokenKind::PasswordReset => "password_reset",
        TokenKind::Ceremony => "ceremony",
        TokenKind::Takedown => "takedown",
        TokenKind::RightsRequest => "rights_request",
    }
}

fn session_from_row(row: &Row) -> Result<Session, StoreError> {
    let at = |column| row.int(column).map(Timestamp::from_micros);
    Ok(Session {
        id: SessionId::from_bytes(row.id("id")?),
        identity: IdentityId::from_bytes(row.id("identity")?),
        label: row.text("label")?,
        created_at: at("created_at")?,
        authenticated_at: at("authenticated_at")?,
        last_seen_at: at("last_seen_at")?,
        expires_at: at("expires_at")?,
    })
}
