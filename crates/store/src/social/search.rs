//! Search over captions, visible prompts and people, by whole words, on both databases the same way.

use platform::{PlaceId, Viewer, Way, search_words};

use super::feed::NOT_MUTED;
use super::post::{AuthorCard, Post, card, columns};
use super::{is_present, listed, no_block};
use crate::database::{Value, args};
use crate::error::StoreError;
use crate::store::Store;

/// More words than this find nothing more.
const MAX_WORDS: usize = 8;
/// So far we count to find the rarest of the words.
const COUNTED: i64 = 500;

impl Store {
    /// Posts with all of these words in caption or visible prompt, the newest first. New posts move nothing.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn search_posts(
        &self,
        viewer: Viewer,
        text: &str,
        before: Option<PlaceId>,
        limit: u32,
    ) -> Result<Vec<Post>, StoreError> {
        let mut words = Vec::new();
        for word in search_words(text).into_iter().take(MAX_WORDS) {
            let sql =
                "SELECT COUNT(*) AS count FROM (SELECT 1 AS one FROM post_words WHERE word = $1 LIMIT $2) AS found";
            let count =
                self.database.first(sql, args![word.as_str(), COUNTED]).await?.map_or(Ok(0), |row| row.int("count"))?;
            words.push((count, word));
        }
        // The rarest word leads, the others are looked up.
        words.sort();
        if words.first().is_none_or(|(count, _)| *count == 0) {
            return Ok(Vec::new());
        }
        let before = before.unwrap_or(PlaceId::from_bytes([255; 16]));
        let mut args: Vec<Value> = args![viewer.identity(), before, limit].to_vec();
        let mut others = String::new();
        for (at, (_, word)) in words.into_iter().enumerate() {
            args.push(word.into());
            if at > 0 {
                let at = at + 4;
                others +=
                    &format!(" AND EXISTS (SELECT 1 FROM post_words o WHERE o.word = ${at} AND o.place = w.place)");
            }
        }
        let sql = format!(
            "SELECT {} FROM post_words w JOIN posts p ON p.id = w.post JOIN profiles a ON a.identity = p.author
             WHERE w.word = $4 AND w.place < $2{others} AND {} AND {NOT_MUTED} ORDER BY w.place DESC LIMIT $3",
            columns(),
            listed()
        );
        let rows = self.database.all(sql, &args).await?;
        rows.iter().map(|row| Post::from_row(row, viewer.identity(), Way::Listed)).collect()
    }

    /// People whose handle and name together have words that begin so: the handle that was typed first, then by handle.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn search_people(&self, viewer: Viewer, text: &str, limit: u32) -> Result<Vec<AuthorCard>, StoreError> {
        let words = search_words(text);
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let typed = text.trim().trim_start_matches('@').to_lowercase();
        let mut args: Vec<Value> = args![viewer.identity(), limit, typed].to_vec();
        let mut has = String::new();
        for word in words.into_iter().take(MAX_WORDS) {
            let at = args.len() + 1;
            has += &format!(
                " AND a.identity IN (SELECT w.identity FROM profile_words w WHERE w.word >= ${at} AND w.word < ${})",
                at + 1
            );
            args.push(word.as_str().into());
            args.push(format!("{word}\u{10ffff}").into());
        }
        let sql = format!(
            "SELECT a.identity AS author, a.handle, a.display_name, a.avatar_key FROM profiles a
             WHERE {} AND {}{has} ORDER BY CASE WHEN a.handle = $3 THEN 0 ELSE 1 END, a.handle LIMIT $2",
            no_block("a.identity"),
            is_present("a.identity")
        );
        self.database.all(sql, &args).await?.iter().map(card).collect()
    }
}
