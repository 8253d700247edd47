//! Folders and favourites: the order that a person keeps among their clips.

use platform::{FolderId, FolderName, IdentityId, MAX_FOLDERS, Timestamp, VideoId};

use crate::database::{Tx, args};
use crate::error::{StoreError, corrupt};
use crate::generation::number;
use crate::library::{LibraryPlace, pick};
use crate::store::Store;

/// A folder of someone's library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Its id.
    pub id: FolderId,
    /// Its name. No other of theirs has it, in upper or lower case.
    pub name: FolderName,
    /// How many clips lie in it; those in the trash do not count.
    pub clips: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Store {
    /// A person's folders by name.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn folders(&self, identity: IdentityId) -> Result<Vec<Folder>, StoreError> {
        let sql = "SELECT f.id, f.name, f.created_at, COUNT(g.id) AS clips
                   FROM folders f LEFT JOIN generations g ON g.folder = f.id AND g.trashed_at IS NULL
                   WHERE f.identity = $1 GROUP BY f.id, f.name, f.created_at";
        let rows = self.database.all(sql, args![identity]).await?;
        let folders = rows.iter().map(|row| {
            let name = row.text("name")?;
            Ok(Folder {
                id: FolderId::from_bytes(row.id("id")?),
                name: FolderName::parse(&name).map_err(|_| corrupt("name", name))?,
                clips: number(row, "clips")?,
                created_at: Timestamp::from_micros(row.int("created_at")?),
            })
        });
        let mut folders = folders.collect::<Result<Vec<_>, StoreError>>()?;
        // The engines know different orders of letters.
        folders.sort_by_cached_key(|folder| key(&folder.name));
        Ok(folders)
    }

    /// Makes a folder.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is one of this name, [`StoreError::State`] if there are as many as there may be.
    pub async fn create_folder(
        &self,
        identity: IdentityId,
        id: FolderId,
        name: &FolderName,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        take_person(&mut tx, identity).await?;
        unused(&mut tx, identity, name, None).await?;
        let row = tx.first("SELECT COUNT(*) AS count FROM folders WHERE identity = $1", args![identity]).await?;
        if row.map_or(Ok(0), |row| row.int("count"))? >= i64::from(MAX_FOLDERS) {
            return Err(StoreError::State { what: "library", state: format!("full: it has {MAX_FOLDERS} folders") });
        }
        let sql = "INSERT INTO folders (id, identity, name, name_key, created_at) VALUES ($1, $2, $3, $4, $5)";
        tx.execute(sql, args![id, identity, name.as_str(), key(name), now]).await?;
        tx.commit().await
    }

    /// Gives a folder another name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it is not theirs, [`StoreError::Exists`] if another has this name.
    pub async fn rename_folder(&self, identity: IdentityId, id: FolderId, name: &FolderName) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        take_person(&mut tx, identity).await?;
        take_folder(&mut tx, identity, id).await?;
        unused(&mut tx, identity, name, Some(id)).await?;
        let sql = "UPDATE folders SET name = $2, name_key = $3 WHERE id = $1";
        tx.execute(sql, args![id, name.as_str(), key(name)]).await?;
        tx.commit().await
    }

    /// Deletes a folder. Its clips stay, in no folder.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it is not theirs.
    pub async fn delete_folder(&self, identity: IdentityId, id: FolderId) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        take_folder(&mut tx, identity, id).await?;
        tx.execute("UPDATE generations SET folder = NULL WHERE folder = $1", args![id]).await?;
        tx.execute("DELETE FROM folders WHERE id = $1", args![id]).await?;
        tx.commit().await
    }

    /// Puts clips into a folder, or out of theirs; says how many of them are the person's. The others stay as they are.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the folder is not theirs; then nothing was moved.
    pub async fn move_to_folder(
        &self,
        identity: IdentityId,
        clips: &[VideoId],
        folder: Option<FolderId>,
    ) -> Result<usize, StoreError> {
        let mut tx = self.database.begin().await?;
        if let Some(folder) = folder {
            take_folder(&mut tx, identity, folder).await?;
        }
        let picked = pick(&mut tx, identity, clips, LibraryPlace::Library).await?;
        for (id, _) in &picked {
            tx.execute("UPDATE generations SET folder = $2 WHERE id = $1", args![*id, folder]).await?;
        }
        tx.commit().await?;
        Ok(picked.len())
    }

    /// Makes clips favourites, or no longer; says how many of them are the person's. The others stay as they are.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn set_favourites(
        &self,
        identity: IdentityId,
        clips: &[VideoId],
        favourite: bool,
    ) -> Result<usize, StoreError> {
        let mut tx = self.database.begin().await?;
        let picked = pick(&mut tx, identity, clips, LibraryPlace::Library).await?;
        for (id, _) in &picked {
            tx.execute("UPDATE generations SET favourite = $2 WHERE id = $1", args![*id, favourite]).await?;
        }
        tx.commit().await?;
        Ok(picked.len())
    }
}

/// What a name is compared by.
fn key(name: &FolderName) -> String {
    name.as_str().to_lowercase()
}

/// Takes the person's row: what names and counts folders goes one after the other.
async fn take_person(tx: &mut Tx, identity: IdentityId) -> Result<(), StoreError> {
    let sql = format!("SELECT id FROM identities WHERE id = $1{}", tx.for_update());
    tx.first(sql, args![identity]).await?.map(|_| ()).ok_or(StoreError::NotFound("identity"))
}

/// Takes the row of a folder of the person's.
async fn take_folder(tx: &mut Tx, identity: IdentityId, id: FolderId) -> Result<(), StoreError> {
    let sql = format!("SELECT id FROM folders WHERE id = $1 AND identity = $2{}", tx.for_update());
    tx.first(sql, args![id, identity]).await?.map(|_| ()).ok_or(StoreError::NotFound("folder"))
}

/// Makes sure that no folder has this name, but for one.
async fn unused(tx: &mut Tx, identity: IdentityId, name: &FolderName, but: Option<FolderId>) -> Result<(), StoreError> {
    let sql = "SELECT id FROM folders WHERE identity = $1 AND name_key = $2";
    match tx.first(sql, args![identity, key(name)]).await? {
        Some(row) if Some(FolderId::from_bytes(row.id("id")?)) != but => Err(StoreError::Exists("folder")),
        _ => Ok(()),
    }
}
