//! Characters: a short clip or a picture of something that can appear in clips: a pet, a toy, a drawing. Its owner may give it a handle and let
//! others use it. A person is no character: see [`crate::Likeness`].

use platform::likeness::{Audience, Bonds};
use platform::{CharacterId, Handle, IdentityId, ProjectId, Timestamp};

use crate::database::{Row, args};
use crate::error::{StoreError, corrupt};
use crate::generation::word;
use crate::objects::ObjectKey;
use crate::social::is_anothers;
use crate::store::{Store, delete_objects};

/// A character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Character {
    /// Its id.
    pub id: CharacterId,
    /// Whose.
    pub project: ProjectId,
    /// Its name, 1 to 80 characters.
    pub name: String,
    /// How others name it, if they may.
    pub handle: Option<Handle>,
    /// Who may use it beside its project: for characters nobody, mutuals or everyone.
    pub audience: Audience,
    /// Its clip or picture: a key of [`crate::Objects::put_upload`] with the character's id as owner.
    pub key: ObjectKey,
    /// When it came.
    pub created_at: Timestamp,
}

impl Store {
    /// Keeps a character's row. Its clip must lie there already.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if the handle is taken, by a character, a likeness or a profile of another.
    pub async fn create_character(&self, character: &Character) -> Result<(), StoreError> {
        let Character { id, project, name, handle, audience, key, created_at } = character;
        let mut tx = self.database.begin().await?;
        if let Some(handle) = handle {
            let owner = tx.first("SELECT owner FROM projects WHERE id = $1", args![*project]).await?;
            let owner = IdentityId::from_bytes(owner.ok_or(StoreError::NotFound("project"))?.id("owner")?);
            // In a prompt a name means one thing, also of what is one's own.
            let sql = "SELECT 1 AS one FROM characters WHERE handle = $1 OR skeleton = $2
                       UNION ALL SELECT 1 AS one FROM likenesses WHERE skeleton = $2";
            if is_anothers(&mut tx, handle, owner).await?
                || tx.first(sql, args![handle.as_str(), handle.skeleton()]).await?.is_some()
            {
                return Err(StoreError::Exists("handle"));
            }
        }
        let sql = "INSERT INTO characters (id, project, name, handle, skeleton, audience, object_key, created_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let skeleton = handle.as_ref().map(Handle::skeleton);
        let handle = handle.as_ref().map(|handle| handle.as_str().to_owned());
        let args = args![*id, *project, name.as_str(), handle, skeleton, audience.as_str(), key.as_str(), *created_at];
        match tx.execute(sql, args).await {
            Err(StoreError::Database(sqlx::Error::Database(source))) if source.is_unique_violation() => {
                return Err(StoreError::Exists("handle"));
            }
            other => other?,
        };
        tx.commit().await
    }

    /// A character of a project.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is another project's.
    pub async fn character(&self, project: ProjectId, id: CharacterId) -> Result<Character, StoreError> {
        let sql = "SELECT * FROM characters WHERE id = $1 AND project = $2";
        from_row(&self.database.first(sql, args![id, project]).await?.ok_or(StoreError::NotFound("character"))?)
    }

    /// A character that someone may use: of a project of theirs, or lent to them by its owner.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is not for them.
    pub async fn usable_character(&self, maker: IdentityId, id: CharacterId) -> Result<Character, StoreError> {
        self.usable(maker, ("id", id.into())).await
    }

    /// The same by its handle.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is not for them.
    pub async fn character_named(&self, maker: IdentityId, handle: &Handle) -> Result<Character, StoreError> {
        self.usable(maker, ("handle", handle.as_str().into())).await
    }

    async fn usable(
        &self,
        maker: IdentityId,
        (column, value): (&'static str, crate::database::Value),
    ) -> Result<Character, StoreError> {
        let follows = |who: &str, whom: &str| {
            format!(
                "EXISTS (SELECT 1 FROM follows f WHERE f.follower = {who} AND f.followed = {whom} AND f.accepted_at IS NOT NULL)"
            )
        };
        let flag = |condition: &str| format!("CAST(CASE WHEN {condition} THEN 1 ELSE 0 END AS BIGINT)");
        let sql = format!(
            "SELECT c.*, p.owner, {} AS is_mutual, {} AS is_blocked FROM characters c JOIN projects p ON p.id = c.project
             WHERE c.{column} = $2",
            flag(&format!("{} AND {}", follows("$1", "p.owner"), follows("p.owner", "$1"))),
            flag(
                "EXISTS (SELECT 1 FROM blocks b WHERE (b.blocker = p.owner AND b.blocked = $1)
                 OR (b.blocker = $1 AND b.blocked = p.owner))"
            ),
        );
        let row = self.database.first(sql, &[maker.into(), value]).await?.ok_or(StoreError::NotFound("character"))?;
        let character = from_row(&row)?;
        let (mutual, blocked) = (row.int("is_mutual")? == 1, row.int("is_blocked")? == 1);
        let bonds = Bonds { blocked, approved: false, mutual };
        if row.id("owner")? == maker.bytes() || character.audience.includes(bonds) {
            Ok(character)
        } else {
            Err(StoreError::NotFound("character"))
        }
    }

    /// Deletes a character and, soon after, its clip.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_character(
        &self,
        project: ProjectId,
        id: CharacterId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = "DELETE FROM characters WHERE id = $1 AND project = $2 RETURNING object_key";
        let row = tx.first(sql, args![id, project]).await?.ok_or(StoreError::NotFound("character"))?;
        delete_objects(&mut tx, ObjectKey::from_row(row.text("object_key")?).parent(), now).await?;
        tx.commit().await
    }
}

fn from_row(row: &Row) -> Result<Character, StoreError> {
    let handle = row.opt_text("handle")?;
    let handle = handle.map(|text| Handle::read(&text).map_err(|_| corrupt("handle", text))).transpose()?;
    Ok(Character {
        id: CharacterId::from_bytes(row.id("id")?),
        project: ProjectId::from_bytes(row.id("project")?),
        name: row.text("name")?,
        handle,
        audience: word(row, "audience", Audience::from_word)?,
        key: ObjectKey::from_row(row.text("object_key")?),
        created_at: Timestamp::from_micros(row.int("created_at")?),
    })
}
