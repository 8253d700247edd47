//! A backup of an installation on SQLite and a folder, taken while it runs, and its restore.

use std::fs;
use std::path::Path;

use crate::database::{Database, args};
use crate::error::StoreError;
use crate::objects::Objects;
use crate::store::Store;

const ROWS: &str = "misora.sqlite";
const OBJECTS: &str = "objects";

/// Writes a backup into a folder, which must not exist or be empty: the rows first, as of one moment, then the
/// objects, all of which those rows name were there before. Objects deleted meanwhile may be missing. Objects in S3 are not
/// copied. Blocks while it copies.
///
/// # Errors
/// [`StoreError::BackupNeedsPgDump`] on PostgreSQL; [`StoreError::Backup`] if the folder holds something or cannot be written.
pub async fn backup(store: &Store, objects: &Objects, folder: &Path) -> Result<(), StoreError> {
    let Database::Sqlite { .. } = &store.database else { return Err(StoreError::BackupNeedsPgDump) };
    let step = |step| move |source| StoreError::Backup { step, source };
    fs::create_dir_all(folder).map_err(step("making the backup's folder"))?;
    if fs::read_dir(folder).map_err(step("reading the backup's folder"))?.next().is_some() {
        let source = std::io::Error::from(std::io::ErrorKind::DirectoryNotEmpty);
        return Err(StoreError::Backup { step: "making the backup's folder", source });
    }
    let rows = folder.join(ROWS).to_string_lossy().into_owned();
    store.database.execute("VACUUM INTO $1", args![rows]).await?;
    if let Some(source) = objects.folder() {
        copy_folder(source, &folder.join(OBJECTS)).map_err(step("copying the objects"))?;
    }
    Ok(())
}

/// Puts a backup where an installation will look: `database` is the SQLite file, `objects` the folder. Neither may exist, so that
/// nothing is overwritten. Not while a server runs there.
///
/// # Errors
/// [`StoreError::Backup`].
pub fn restore(backup: &Path, database: &Path, objects: &Path) -> Result<(), StoreError> {
    let step = |step| move |source| StoreError::Backup { step, source };
    for (place, name) in [(database, "restoring the database"), (objects, "restoring the objects")] {
        let occupied = place.exists() && (place.is_file() || fs::read_dir(place).map_err(step(name))?.next().is_some());
        if occupied {
            let source = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(StoreError::Backup { step: name, source });
        }
    }
    // Objects first: rows without objects would look like a finished restore.
    if backup.join(OBJECTS).exists() {
        copy_folder(&backup.join(OBJECTS), objects).map_err(step("restoring the objects"))?;
    }
    fs::copy(backup.join(ROWS), database).map_err(step("restoring the database"))?;
    Ok(())
}

/// Copies a folder with all that is in it. A file that vanishes meanwhile is passed over; links are not followed.
fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            match fs::copy(entry.path(), &target) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
