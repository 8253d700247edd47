//! What a person made, over all of their projects: searched, filtered, page by page.

use platform::{FolderId, GenerationState, IdentityId, ProjectId, VideoId};

use crate::database::{Tx, Value, args};
use crate::error::StoreError;
use crate::generation::{COLUMNS, Generation, GenerationPage, TABLES, word};
use crate::store::Store;

/// Which clips of a library are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LibraryFilter<'a> {
    /// Their prompt holds this text, in upper or lower case.
    pub words: Option<&'a str>,
    /// How far they are.
    pub state: Option<LibraryState>,
    /// Their shape.
    pub shape: Option<Shape>,
    /// Favourites alone.
    pub favourites: bool,
    /// The folder that they lie in.
    pub folder: Option<FolderId>,
    /// Where they are.
    pub place: LibraryPlace,
}

/// Where a clip of a person's is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LibraryPlace {
    /// Among what they keep.
    #[default]
    Library,
    /// In the trash.
    Trash,
}

/// How far a clip is, as people ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LibraryState {
    /// Queued or being made.
    Unfinished,
    /// There to watch.
    Completed,
    /// Failed or cancelled.
    Ended,
}

/// The shape of a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Wider than high.
    Landscape,
    /// Higher than wide.
    Portrait,
    /// As wide as high.
    Square,
}

impl Store {
    /// A person's clips, newest first, or what they put into the trash, last first; pictures are not among them.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the page begins behind something that is not theirs.
    pub async fn library(
        &self,
        identity: IdentityId,
        filter: LibraryFilter<'_>,
        after: Option<VideoId>,
        limit: u32,
    ) -> Result<GenerationPage, StoreError> {
        let mut args: Vec<Value> = vec![identity.into(), limit.saturating_add(1).into()];
        let mut conditions = String::new();
        let (moment, state) = match filter.place {
            LibraryPlace::Library => ("created_at", "NULL"),
            LibraryPlace::Trash => ("trashed_at", "NOT NULL"),
        };
        if let Some(after) = after {
            let sql = format!("SELECT {moment} AS moment FROM generations WHERE id = $1 AND identity = $2");
            let row = self.database.first(sql, args![after, identity]).await?;
            let moment_of = row.map(|row| row.opt_int("moment")).transpose()?.flatten();
            args.extend([moment_of.ok_or(StoreError::NotFound("video"))?.into(), after.into()]);
            conditions.push_str(&format!(" AND (g.{moment}, g.id) < ($3, $4)"));
        }
        if let Some(folder) = filter.folder {
            args.push(folder.into());
            conditions.push_str(&format!(" AND g.folder = ${}", args.len()));
        }
        if filter.favourites {
            conditions.push_str(" AND g.favourite = 1");
        }
        if let Some(words) = filter.words {
            args.push(containing(words).into());
            conditions.push_str(&format!(" AND LOWER(g.prompt) LIKE ${} ESCAPE '!'", args.len()));
        }
        conditions.push_str(match filter.state {
            None => "",
            Some(LibraryState::Unfinished) => " AND g.state IN ('queued', 'in_progress')",
            Some(LibraryState::Completed) => " AND g.state = 'completed'",
            Some(LibraryState::Ended) => " AND g.state IN ('failed', 'cancelled')",
        });
        conditions.push_str(match filter.shape {
            None => "",
            Some(Shape::Landscape) => " AND g.width > g.height",
            Some(Shape::Portrait) => " AND g.width < g.height",
            Some(Shape::Square) => " AND g.width = g.height",
        });
        let sql = format!(
            "SELECT {COLUMNS} FROM {TABLES} WHERE g.identity = $1 AND g.kind <> 'image' AND g.trashed_at IS {state}{conditions}
             ORDER BY g.{moment} DESC, g.id DESC LIMIT $2"
        );
        let rows = self.database.all(sql, &args).await?;
        let mut generations = rows.iter().map(Generation::from_row).collect::<Result<Vec<_>, _>>()?;
        let has_more = generations.len() > limit as usize;
        generations.truncate(limit as usize);
        Ok(GenerationPage { generations, has_more })
    }

    /// Which of a person's projects the clips go to that they make without a key: the oldest that was not put away.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn home_project(&self, owner: IdentityId) -> Result<Option<ProjectId>, StoreError> {
        let sql = "SELECT id FROM projects WHERE owner = $1 AND archived_at IS NULL ORDER BY id LIMIT 1";
        Ok(self
            .database
            .first(sql, args![owner])
            .await?
            .map(|row| row.id("id"))
            .transpose()?
            .map(ProjectId::from_bytes))
    }
}

impl LibraryState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Unfinished, Self::Completed, Self::Ended];

    /// Its word in addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unfinished => "unfinished",
            Self::Completed => "completed",
            Self::Ended => "ended",
        }
    }
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 3] = [Self::Landscape, Self::Portrait, Self::Square];

    /// Its word in addresses and classes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Landscape => "landscape",
            Self::Portrait => "portrait",
            Self::Square => "square",
        }
    }

    /// The shape of a size.
    pub fn of(size: platform::Size) -> Self {
        match size.width().cmp(&size.height()) {
            std::cmp::Ordering::Greater => Self::Landscape,
            std::cmp::Ordering::Less => Self::Portrait,
            std::cmp::Ordering::Equal => Self::Square,
        }
    }
}

/// Takes the rows of those among these clips that are the person's and lie there, with how far each is. They are taken in one
/// order, so that two acts never wait for each other in a circle.
pub(crate) async fn pick(
    tx: &mut Tx,
    identity: IdentityId,
    clips: &[VideoId],
    place: LibraryPlace,
) -> Result<Vec<(VideoId, GenerationState)>, StoreError> {
    if clips.is_empty() {
        return Ok(Vec::new());
    }
    let state = if place == LibraryPlace::Trash { "NOT NULL" } else { "NULL" };
    let mut args = args![identity].to_vec();
    args.extend(clips.iter().map(|clip| Value::from(*clip)));
    let sql = format!(
        "SELECT id, state FROM generations
         WHERE identity = $1 AND kind <> 'image' AND trashed_at IS {state} AND id IN ({}) ORDER BY id{}",
        places(2, clips.len()),
        tx.for_update()
    );
    let rows = tx.all(sql, &args).await?;
    rows.iter()
        .map(|row| Ok((VideoId::from_bytes(row.id("id")?), word(row, "state", GenerationState::from_word)?)))
        .collect()
}

/// So many places for values in a statement, from this one on.
pub(crate) fn places(from: usize, count: usize) -> String {
    (from..from + count).map(|at| format!("${at}")).collect::<Vec<_>>().join(", ")
}

/// A pattern that is met by whatever contains these words as they are.
fn containing(words: &str) -> String {
    let mut pattern = String::from("%");
    for letter in words.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern + "%"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_searched_for_is_no_pattern() {
        assert_eq!(containing("100% A_b!"), "%100!% a!_b!!%");
    }
}
