//! Profiles and the handles that lead to them.

use platform::{ActiveMembership, Bio, DisplayName, Handle, IdentityId, Timestamp, Viewer, search_words};

use sha2::{Digest as _, Sha256};

use super::relation::FollowState;
use super::{is_present, no_block, person};
use crate::database::{Row, Tx, args};
use crate::error::{StoreError, corrupt};
use crate::generation::moment;
use crate::objects::ObjectKey;
use crate::store::{Store, delete_objects};

/// How many handles one person holds, those that were given up among them.
const MAX_HANDLES: i64 = 5;

/// A profile as a viewer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Whose.
    pub identity: IdentityId,
    /// How they are called.
    pub handle: Handle,
    /// The name beside it.
    pub display_name: DisplayName,
    /// What they say of themselves.
    pub bio: Bio,
    /// Their picture.
    pub avatar: Option<ObjectKey>,
    /// Whether they are asked before someone follows.
    pub closed: bool,
    /// When they came.
    pub created_at: Timestamp,
    /// How many follow them.
    pub followers: u64,
    /// How many they follow.
    pub following: u64,
    /// How the viewer follows them.
    pub follow: FollowState,
    /// Whether the viewer has muted them.
    pub muted: bool,
}

/// What a profile says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewProfile {
    /// How they are called.
    pub handle: Handle,
    /// The name beside it.
    pub display_name: DisplayName,
    /// What they say of themselves.
    pub bio: Bio,
    /// Whether they are asked before someone follows.
    pub closed: bool,
}

impl Store {
    /// Makes someone's profile, or changes it. A handle that is given up stays theirs and leads to them.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if the handle, or one that looks like it, is another's; [`StoreError::State`] after too many handles.
    pub async fn set_profile(
        &self,
        member: ActiveMembership,
        profile: &NewProfile,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let me = person(member);
        let mut tx = self.database.begin().await?;
        let NewProfile { handle, display_name, bio, closed } = profile;
        // The handle first: it is what can be refused, and a failed transaction leaves nothing.
        // Nobody poses as anyone: not as who left, nor as someone's likeness or character. What is theirs already stays theirs.
        let sql = "SELECT handle FROM handles WHERE skeleton = $1 AND identity = $2";
        let taken = tx.first(sql, args![handle.skeleton(), me]).await?;
        let held = taken.as_ref().map(|row| row.text("handle")).transpose()?;
        if held.as_deref() != Some(handle.as_str()) && is_anothers(&mut tx, handle, me).await? {
            return Err(StoreError::Exists("handle"));
        }
        let sql = "INSERT INTO profiles (identity, handle, display_name, bio, closed, created_at, updated_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (identity) DO UPDATE SET handle = excluded.handle,
                   display_name = excluded.display_name, bio = excluded.bio, closed = excluded.closed, updated_at = excluded.updated_at";
        let args = args![me, handle.as_str(), display_name.as_str(), bio.as_str(), *closed, now];
        unique(tx.execute(sql, args).await, "handle")?;
        let sql = "INSERT INTO handles (skeleton, handle, identity, taken_at) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (skeleton) DO UPDATE SET handle = excluded.handle WHERE handles.identity = excluded.identity";
        let changed = unique(tx.execute(sql, args![handle.skeleton(), handle.as_str(), me, now]).await, "handle")?;
        if changed == 0 {
            return Err(StoreError::Exists("handle"));
        }
        let row = tx.first("SELECT COUNT(*) AS held FROM handles WHERE identity = $1", args![me]).await?;
        if taken.is_none() && row.map_or(Ok(0), |row| row.int("held"))? > MAX_HANDLES {
            return Err(StoreError::State { what: "handle", state: "changed too often".into() });
        }
        index_profile(&mut tx, me, handle.as_str(), display_name.as_str()).await?;
        if !closed {
            // Whoever had asked may follow an open profile.
            accept_all(&mut tx, me, now).await?;
        }
        tx.commit().await
    }

    /// Sets or takes away someone's picture: a key of [`crate::Objects::put_upload`] with an owner that nothing else has.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without a profile.
    pub async fn set_avatar(
        &self,
        member: ActiveMembership,
        avatar: Option<&ObjectKey>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let me = person(member);
        let mut tx = self.database.begin().await?;
        let sql = format!("SELECT avatar_key FROM profiles WHERE identity = $1{}", tx.for_update());
        let row = tx.first(sql, args![me]).await?.ok_or(StoreError::NotFound("profile"))?;
        if let Some(old) = row.opt_text("avatar_key")?.filter(|old| Some(old.as_str()) != avatar.map(ObjectKey::as_str))
        {
            delete_objects(&mut tx, ObjectKey::from_row(old).parent(), now).await?;
        }
        let sql = "UPDATE profiles SET avatar_key = $2, updated_at = $3 WHERE identity = $1";
        tx.execute(sql, args![me, avatar.map(|key| key.as_str().to_owned()), now]).await?;
        tx.commit().await
    }

    /// A profile by a handle that its person has, or had, or that looks like it. Compare the handles to send people on.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if one of the two has blocked the other or the person's membership has ended.
    pub async fn profile(&self, viewer: Viewer, handle: &Handle) -> Result<Profile, StoreError> {
        let sql = "SELECT identity FROM handles WHERE skeleton = $1";
        let row = self.database.first(sql, args![handle.skeleton()]).await?.ok_or(StoreError::NotFound("profile"))?;
        self.profile_of(viewer, IdentityId::from_bytes(row.id("identity")?)).await
    }

    /// A person's profile.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], as [`Store::profile`].
    pub async fn profile_of(&self, viewer: Viewer, identity: IdentityId) -> Result<Profile, StoreError> {
        let sql = format!(
            "SELECT a.*, f.asked_at, f.accepted_at,
             (SELECT COUNT(*) FROM follows n WHERE n.followed = a.identity AND n.accepted_at IS NOT NULL) AS followers,
             (SELECT COUNT(*) FROM follows n WHERE n.follower = a.identity AND n.accepted_at IS NOT NULL) AS following,
             (SELECT COUNT(*) FROM mutes u WHERE u.muter = $1 AND u.muted = a.identity) AS muted
             FROM profiles a LEFT JOIN follows f ON f.follower = $1 AND f.followed = a.identity
             WHERE a.identity = $2 AND {} AND {}",
            no_block("a.identity"),
            is_present("a.identity")
        );
        let row = self.database.first(sql, args![viewer.identity(), identity]).await?;
        from_row(&row.ok_or(StoreError::NotFound("profile"))?)
    }
}

/// Whether a handle, or one that looks like it, is someone else's: of a profile, a likeness, a character, or of who left. All of them are named
/// alike in prompts and addresses, so they share their names. Whoever asks for the same name at the same time waits until the transaction ends.
pub(crate) async fn is_anothers(tx: &mut Tx, handle: &Handle, me: IdentityId) -> Result<bool, StoreError> {
    let skeleton = handle.skeleton();
    if let Tx::Postgres(_) = tx {
        let digest = Sha256::digest(skeleton.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        tx.all("SELECT 1 AS one FROM (SELECT pg_advisory_xact_lock($1)) AS held", args![i64::from_be_bytes(first)])
            .await?;
    }
    let sql = "SELECT 1 AS one FROM handles WHERE skeleton = $1 AND identity <> $2
               UNION ALL SELECT 1 AS one FROM likenesses WHERE skeleton = $1 AND identity <> $2
               UNION ALL SELECT 1 AS one FROM characters c JOIN projects p ON p.id = c.project
                   WHERE (c.skeleton = $1 OR c.handle = $3) AND p.owner <> $2
               UNION ALL SELECT 1 AS one FROM reserved_handles WHERE skeleton = $1 AND (identity IS NULL OR identity <> $2) LIMIT 1";
    Ok(tx.first(sql, args![skeleton, me, handle.as_str()]).await?.is_some())
}

/// Withholds what a profile says, or gives it back: what it said when it was first withheld. Its handle stays: it is where its person is
/// found. What they wrote meanwhile stays too, unless it is withheld in its turn; then it is gone.
pub(crate) async fn set_profile_withheld(
    tx: &mut Tx,
    whose: IdentityId,
    withhold: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = format!("SELECT handle, avatar_key FROM profiles WHERE identity = $1{}", tx.for_update());
    let row = tx.first(sql, args![whose]).await?.ok_or(StoreError::NotFound("profile"))?;
    let handle = row.text("handle")?;
    if withhold {
        let sql = "SELECT 1 AS one FROM withheld_profiles WHERE identity = $1";
        let again = tx.first(sql, args![whose]).await?.is_some();
        // What was withheld before is still what comes back; a picture that was chosen since then is kept nowhere.
        if let Some(newer) = row.opt_text("avatar_key")?.filter(|_| again) {
            delete_objects(tx, ObjectKey::from_row(newer).parent(), now).await?;
        }
        let sql = "INSERT INTO withheld_profiles (identity, display_name, bio, avatar_key, placeholder, withheld_at)
                   SELECT identity, display_name, bio, avatar_key, handle, $2 FROM profiles WHERE identity = $1
                   ON CONFLICT (identity) DO UPDATE SET placeholder = excluded.placeholder";
        tx.execute(sql, args![whose, now]).await?;
        let sql = "UPDATE profiles SET display_name = handle, bio = '', avatar_key = NULL, updated_at = $2 WHERE identity = $1";
        tx.execute(sql, args![whose, now]).await?;
    } else {
        let sql =
            "DELETE FROM withheld_profiles WHERE identity = $1 RETURNING display_name, bio, avatar_key, placeholder";
        let Some(kept) = tx.first(sql, args![whose]).await? else { return Ok(()) };
        let avatar = kept.opt_text("avatar_key")?;
        let sql = "UPDATE profiles SET display_name = CASE WHEN display_name = $6 THEN $2 ELSE display_name END,
                   bio = CASE WHEN bio = '' THEN $3 ELSE bio END, avatar_key = COALESCE(avatar_key, $4), updated_at = $5
                   WHERE identity = $1 RETURNING avatar_key";
        let (name, bio, placeholder) = (kept.text("display_name")?, kept.text("bio")?, kept.text("placeholder")?);
        let args = args![whose, name, bio, avatar.clone(), now, placeholder];
        let now_shown = tx.first(sql, args).await?.map(|row| row.opt_text("avatar_key")).transpose()?.flatten();
        // They chose another picture meanwhile.
        if let Some(old) = avatar.filter(|old| now_shown.as_ref() != Some(old)) {
            delete_objects(tx, ObjectKey::from_row(old).parent(), now).await?;
        }
    }
    let row = tx.first("SELECT display_name FROM profiles WHERE identity = $1", args![whose]).await?;
    let name = row.ok_or(StoreError::NotFound("profile"))?.text("display_name")?;
    index_profile(tx, whose, &handle, &name).await
}

/// Writes anew by which words a profile is found.
async fn index_profile(tx: &mut Tx, whose: IdentityId, handle: &str, name: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM profile_words WHERE identity = $1", args![whose]).await?;
    for word in search_words(&format!("{handle}\n{name}")) {
        tx.execute("INSERT INTO profile_words (word, identity) VALUES ($1, $2)", args![word, whose]).await?;
    }
    Ok(())
}

/// Turns a second row of something unique into its refusal.
pub(super) fn unique<T>(result: Result<T, StoreError>, what: &'static str) -> Result<T, StoreError> {
    result.map_err(|error| match &error {
        StoreError::Database(sqlx::Error::Database(source)) if source.is_unique_violation() => StoreError::Exists(what),
        _ => error,
    })
}

/// Lets everyone follow who has asked to.
pub(super) async fn accept_all(tx: &mut Tx, followed: IdentityId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE follows SET accepted_at = $2 WHERE followed = $1 AND accepted_at IS NULL";
    tx.execute(sql, args![followed, now]).await.map(|_| ())
}

pub(super) fn handle(row: &Row, column: &'static str) -> Result<Handle, StoreError> {
    let text = row.text(column)?;
    Handle::read(&text).map_err(|_| corrupt(column, text))
}

pub(super) fn display_name(row: &Row) -> Result<DisplayName, StoreError> {
    let text = row.text("display_name")?;
    DisplayName::parse(&text).map_err(|_| corrupt("display_name", text))
}

fn from_row(row: &Row) -> Result<Profile, StoreError> {
    let bio = row.text("bio")?;
    let count = |column| row.int(column).map(|count| u64::try_from(count).unwrap_or(0));
    Ok(Profile {
        identity: IdentityId::from_bytes(row.id("identity")?),
        handle: handle(row, "handle")?,
        display_name: display_name(row)?,
        bio: Bio::parse(&bio).map_err(|_| corrupt("bio", bio))?,
        avatar: row.opt_text("avatar_key")?.map(ObjectKey::from_row),
        closed: row.int("closed")? == 1,
        created_at: Timestamp::from_micros(row.int("created_at")?),
        followers: count("followers")?,
        following: count("following")?,
        follow: FollowState::of(moment(row, "asked_at")?, moment(row, "accepted_at")?),
        muted: row.int("muted")? == 1,
    })
}
