//! Characters: a short clip of someone or something that can appear in others.

use platform::{CharacterId, ProjectId, Timestamp};

use crate::database::args;
use crate::error::StoreError;
use crate::objects::ObjectKey;
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
    /// Its clip: a key of [`crate::Objects::put_upload`] with the character's id as owner.
    pub key: ObjectKey,
    /// When it came.
    pub created_at: Timestamp,
}

impl Store {
    /// Keeps a character's row. Its clip must lie there already.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn create_character(&self, character: &Character) -> Result<(), StoreError> {
        let sql = "INSERT INTO characters (id, project, name, object_key, created_at) VALUES ($1, $2, $3, $4, $5)";
        let Character { id, project, name, key, created_at } = character;
        self.database.execute(sql, args![*id, *project, name.as_str(), key.as_str(), *created_at]).await.map(|_| ())
    }

    /// A character of a project.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is another project's.
    pub async fn character(&self, project: ProjectId, id: CharacterId) -> Result<Character, StoreError> {
        let sql = "SELECT * FROM characters WHERE id = $1 AND project = $2";
        let row = self.database.first(sql, args![id, project]).await?.ok_or(StoreError::NotFound("character"))?;
        Ok(Character {
            id,
            project,
            name: row.text("name")?,
            key: ObjectKey::from_row(row.text("object_key")?),
            created_at: Timestamp::from_micros(row.int("created_at")?),
        })
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
