//! Uploaded and produced files: rows here, bytes among the objects.

use platform::{FileId, ProjectId, Timestamp};

use crate::database::{Row, args};
use crate::error::StoreError;
use crate::generation::{moment, number};
use crate::objects::ObjectKey;
use crate::store::{Page, Store, delete_objects};

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its id.
    pub id: FileId,
    /// Whose.
    pub project: ProjectId,
    /// Its name as uploaded; never a path.
    pub filename: String,
    /// `vision`, `batch` and so on.
    pub purpose: String,
    /// What its bytes were found to be, such as `image/png`.
    pub media_type: String,
    /// Its size.
    pub size_bytes: u64,
    /// Where its bytes are: a key of [`crate::Objects::put_upload`] with the file's id as owner.
    pub key: ObjectKey,
    /// When it came.
    pub created_at: Timestamp,
    /// When it goes.
    pub expires_at: Option<Timestamp>,
}

impl Store {
    /// Keeps a file's row. Its bytes must lie there already.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn create_file(&self, file: &File) -> Result<(), StoreError> {
        let sql = "INSERT INTO files (id, project, filename, purpose, media_type, size_bytes, object_key, created_at, expires_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let args = args![
            file.id,
            file.project,
            file.filename.as_str(),
            file.purpose.as_str(),
            file.media_type.as_str(),
            i64::try_from(file.size_bytes).unwrap_or(i64::MAX),
            file.key.as_str(),
            file.created_at,
            file.expires_at,
        ];
        self.database.execute(sql, args).await.map(|_| ())
    }

    /// A file of a project.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], also if it is another project's.
    pub async fn file(&self, project: ProjectId, id: FileId) -> Result<File, StoreError> {
        let row = self.database.first("SELECT * FROM files WHERE id = $1 AND project = $2", args![id, project]).await?;
        from_row(&row.ok_or(StoreError::NotFound("file"))?)
    }

    /// A project's files by time, of one purpose if said. One more than asked for tells that there are more: ask for that.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the page begins behind a file that is not there.
    pub async fn files(
        &self,
        project: ProjectId,
        purpose: Option<&str>,
        page: Page<FileId>,
    ) -> Result<Vec<File>, StoreError> {
        let (comparison, direction) = page.order.sql();
        let mut args = vec![project.into(), page.limit.into()];
        let mut conditions = String::new();
        if let Some(after) = page.after {
            let file = self.file(project, after).await?;
            args.extend([file.created_at.into(), after.into()]);
            conditions = format!("AND (created_at, id) {comparison} ($3, $4)");
        }
        if let Some(purpose) = purpose {
            args.push(purpose.into());
            conditions += &format!(" AND purpose = ${}", args.len());
        }
        let sql = format!(
            "SELECT * FROM files WHERE project = $1 {conditions} ORDER BY created_at {direction}, id {direction} LIMIT $2"
        );
        self.database.all(sql, &args).await?.iter().map(from_row).collect()
    }

    /// Whether a generation was made, or is being made, from a file.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn file_is_used(&self, project: ProjectId, id: FileId) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM generations WHERE project = $1 AND (first_frame = $2 OR source_file = $2) LIMIT 1";
        Ok(self.database.first(sql, args![project, id]).await?.is_some())
    }

    /// Deletes a file and, soon after, its bytes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_file(&self, project: ProjectId, id: FileId, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = "DELETE FROM files WHERE id = $1 AND project = $2 RETURNING object_key";
        let row = tx.first(sql, args![id, project]).await?.ok_or(StoreError::NotFound("file"))?;
        delete_objects(&mut tx, ObjectKey::from_row(row.text("object_key")?).parent(), now).await?;
        tx.commit().await
    }

    /// Deletes files whose time was over at a moment; says how many.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn expire_files(&self, before: Timestamp, now: Timestamp) -> Result<usize, StoreError> {
        let mut tx = self.database.begin().await?;
        let rows = tx.all("DELETE FROM files WHERE expires_at <= $1 RETURNING object_key", args![before]).await?;
        for row in &rows {
            delete_objects(&mut tx, ObjectKey::from_row(row.text("object_key")?).parent(), now).await?;
        }
        tx.commit().await?;
        Ok(rows.len())
    }
}

fn from_row(row: &Row) -> Result<File, StoreError> {
    Ok(File {
        id: FileId::from_bytes(row.id("id")?),
        project: ProjectId::from_bytes(row.id("project")?),
        filename: row.text("filename")?,
        purpose: row.text("purpose")?,
        media_type: row.text("media_type")?,
        size_bytes: number(row, "size_bytes")?,
        key: ObjectKey::from_row(row.text("object_key")?),
        created_at: Timestamp::from_micros(row.int("created_at")?),
        expires_at: moment(row, "expires_at")?,
    })
}
