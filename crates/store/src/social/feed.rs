//! Lists of posts: the latest, those of people one follows, of one person, of one hashtag. Newest first, by place; a page begins
//! below the last place of the page before, so new posts move nothing.

use platform::{Hashtag, IdentityId, PlaceId, Viewer, Way};

use super::listed;
use super::post::{Post, columns};
use crate::database::{Database, Value, args};
use crate::error::StoreError;
use crate::likeness::stands;
use crate::store::Store;

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing<'a> {
    /// Public posts of everyone, without those whom the viewer has muted.
    Latest,
    /// Posts of the viewer and of those whom they follow and have not muted.
    Following,
    /// What one person has published.
    Of(IdentityId),
    /// What has a hashtag.
    Tagged(&'a Hashtag),
}

/// A place before all.
const OLDEST: PlaceId = PlaceId::from_bytes([0; 16]);

pub(super) const NOT_MUTED: &str = "NOT EXISTS (SELECT 1 FROM mutes u WHERE u.muter = $1 AND u.muted = p.author)";

impl Store {
    /// A page of a list, as a viewer sees it. Signed out, *Following* is empty.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn posts(
        &self,
        viewer: Viewer,
        listing: Listing<'_>,
        before: Option<PlaceId>,
        limit: u32,
    ) -> Result<Vec<Post>, StoreError> {
        let (columns, listed) = (columns(), listed());
        let before = before.unwrap_or(PlaceId::from_bytes([255; 16]));
        let mut args: Vec<Value> = args![viewer.identity(), before, limit].to_vec();
        let author = "JOIN profiles a ON a.identity = p.author";
        let sql = match listing {
            Listing::Latest => format!(
                "SELECT {columns} FROM posts p {author} WHERE p.state = 'published' AND p.visibility = 'public' AND p.place < $2
                 AND {listed} AND {NOT_MUTED} ORDER BY p.place DESC LIMIT $3"
            ),
            Listing::Following => {
                args.push(OLDEST.into());
                self.following(&columns)
            }
            Listing::Of(whose) => {
                args.push(whose.into());
                format!(
                    "SELECT {columns} FROM posts p {author} WHERE p.author = $4 AND p.place < $2 AND {listed}
                     ORDER BY p.place DESC LIMIT $3"
                )
            }
            Listing::Tagged(tag) => {
                args.push(tag.as_str().into());
                format!(
                    "SELECT {columns} FROM post_tags t JOIN posts p ON p.id = t.post {author}
                     WHERE t.tag = $4 AND t.place < $2 AND {listed} AND {NOT_MUTED} ORDER BY t.place DESC LIMIT $3"
                )
            }
        };
        let rows = self.database.all(sql, &args).await?;
        rows.iter().map(|row| Post::from_row(row, viewer.identity(), Way::Listed)).collect()
    }

    /// The newest posts of those whom someone follows and of themselves, as [`Listing::Following`] has them, but that `liked` is not read.
    pub(super) async fn posts_of_followed(
        &self,
        identity: IdentityId,
        before: PlaceId,
        limit: u32,
    ) -> Result<Vec<Post>, StoreError> {
        // The list itself asks all of this of each author.
        let one = |flag: i64, name: &str| format!("CAST({flag} AS BIGINT) AS {name}");
        let columns = format!(
            "p.*, a.handle, a.display_name, a.avatar_key, {}, {}, {}, {}, {}",
            one(1, "present"),
            one(1, "stands"),
            one(1, "follows"),
            one(0, "blocks"),
            one(0, "liked")
        );
        let rows = self.database.all(self.following(&columns), args![Some(identity), before, limit, OLDEST]).await?;
        rows.iter().map(|row| Post::from_row(row, Some(identity), Way::Listed)).collect()
    }

    /// The newest posts of all stand among the newest of those few authors who posted last: one look into the index for each followed
    /// person finds these authors, and then only those of their posts are read that are not older than the last of these. `$4` is a place
    /// that is older than all.
    fn following(&self, columns: &str) -> String {
        let newest = format!(
            "SELECT r.id, r.place FROM posts r WHERE r.author = n.author AND r.state = 'published'
             AND r.visibility IN ('public', 'followers') AND r.place < $2
             AND r.place >= COALESCE((SELECT place FROM nearest ORDER BY place DESC LIMIT 1 OFFSET $3 - 1), $4)
             AND {} ORDER BY r.place DESC LIMIT $3",
            stands("r.video", "r.author")
        );
        let each_ones_newest = match self.database {
            Database::Sqlite { .. } => format!("JOIN posts q ON q.id IN (SELECT id FROM ({newest}))"),
            // PostgreSQL would look at every post for every author.
            Database::Postgres(_) => format!("CROSS JOIN LATERAL ({newest}) q"),
        };
        format!(
            "WITH sources (author) AS (
                 SELECT f.followed FROM follows f WHERE f.follower = $1 AND f.accepted_at IS NOT NULL
                 UNION SELECT identity FROM profiles WHERE identity = $1),
             heads (author, place) AS (
                 SELECT s.author, (SELECT p.place FROM posts p WHERE p.author = s.author AND p.state = 'published'
                     AND p.visibility IN ('public', 'followers') AND p.place < $2 AND {} ORDER BY p.place DESC LIMIT 1)
                 FROM sources s),
             nearest (author, place) AS (
                 SELECT p.author, p.place FROM heads p WHERE p.place IS NOT NULL AND {NOT_MUTED} AND {} AND {}
                 ORDER BY p.place DESC LIMIT $3),
             page (id) AS (
                 SELECT q.id FROM nearest n {each_ones_newest}
                 ORDER BY q.place DESC LIMIT $3)
             SELECT {columns} FROM page g JOIN posts p ON p.id = g.id JOIN profiles a ON a.identity = p.author
             ORDER BY p.place DESC",
            stands("p.video", "p.author"),
            super::no_block("p.author"),
            super::is_present("p.author")
        )
    }
}
