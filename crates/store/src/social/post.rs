//! Posts: made of a completed generation, published, edited, liked, deleted and brought back; and the tree of remixes.

use std::time::Duration;

use platform::{
    Act, ActiveMembership, Caption, DisplayName, Engagement, GenerationState, Handle, IdentityId, LinkToken, ModelName,
    NoticeKind, PlaceId, PostAddress, PostFacts, PostId, PostState, PromptVisibility, Relation, Seconds, Size,
    Switches, Timestamp, VideoId, Viewer, Visibility, Way, hashtags, may, search_words, sees, sees_prompt,
};

use super::notice::{Happening, notify, unnotify};
use super::profile::{display_name, handle};
use super::{is_present, person};
use crate::database::{Row, Tx, Value, args};
use crate::decision::lift_from_post;
use crate::error::{StoreError, corrupt};
use crate::generation::{Generation, moment, number, word};
use crate::likeness::{require, stands};
use crate::objects::ObjectKey;
use crate::store::{Store, delete_objects};

/// A post as a viewer sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Post {
    /// Its id.
    pub id: PostId,
    /// Where it stands in lists, once it is published.
    pub place: Option<PlaceId>,
    /// Whose.
    pub author: AuthorCard,
    /// How the viewer stands to the author.
    pub relation: Relation,
    /// State, visibility and switches: what [`may`] asks for.
    pub facts: PostFacts,
    /// The secret of its link, for its author alone.
    pub link_token: Option<LinkToken>,
    /// What stands below it.
    pub caption: Caption,
    /// The prompt, if the viewer reads it.
    pub prompt: Option<String>,
    /// The recipe as JSON, if the viewer reads the prompt, which stands in it.
    pub recipe: Option<String>,
    /// The generation that it was made of; it may be gone.
    pub video: VideoId,
    /// The model.
    pub model: ModelName,
    /// Sides.
    pub size: Size,
    /// Length.
    pub seconds: Seconds,
    /// Its media.
    pub media: PostMedia,
    /// What it was made from.
    pub parent: Option<PostId>,
    /// The first of its tree.
    pub root: Option<PostId>,
    /// How many like it.
    pub likes: u64,
    /// How many comments are shown below it.
    pub comments: u64,
    /// How many published posts were made from it.
    pub remixes: u64,
    /// Whether the viewer likes it.
    pub liked: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was published.
    pub published_at: Option<Timestamp>,
    /// When its caption was last changed after that.
    pub edited_at: Option<Timestamp>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

/// A person in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorCard {
    /// Who.
    pub identity: IdentityId,
    /// How they are called.
    pub handle: Handle,
    /// The name beside it.
    pub display_name: DisplayName,
    /// Their picture.
    pub avatar: Option<ObjectKey>,
}

/// A post's own copies of the media. [`crate::Objects::copy_for_post`] makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostMedia {
    /// The MP4.
    pub video: ObjectKey,
    /// Its size.
    pub size_bytes: u64,
    /// SHA-256, hexadecimal; its `ETag` without quotes.
    pub sha256: String,
    /// WebP.
    pub thumbnail: Option<ObjectKey>,
    /// JPEG.
    pub spritesheet: Option<ObjectKey>,
}

/// A draft to be made of a generation.
#[derive(Clone, Debug)]
pub struct NewPost<'a> {
    /// Its id.
    pub id: PostId,
    /// The secret of its link.
    pub link_token: LinkToken,
    /// What it is made of: completed, and the member's own.
    pub generation: &'a Generation,
    /// Its copies of the media.
    pub media: &'a PostMedia,
    /// What is said of it.
    pub edit: PostEdit,
}

/// What an author says of a post, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostEdit {
    /// What stands below it.
    pub caption: Caption,
    /// For whom it is, once it is published.
    pub visibility: Visibility,
    /// What others may do.
    pub switches: Switches,
}

/// One post of a tree of remixes: credit, and no more than the viewer may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemixNode {
    /// Its id.
    pub id: PostId,
    /// What it was made from.
    pub parent: Option<PostId>,
    /// Its author; nothing if the viewer does not see them, or they are gone.
    pub author: Option<AuthorCard>,
    /// Whether the viewer can open it. If not, it is a gap in the tree: deleted, or not for them.
    pub open: bool,
}

/// How long a deleted post can be brought back.
const UNDO: Duration = Duration::from_secs(30 * 86_400);
/// How many levels of a tree are told.
const MAX_DEPTH: i64 = 50;

/// The columns of a post `p` of author `a`, with what viewer `$1` is to them.
pub(super) fn columns() -> String {
    let flag = |condition: &str| format!("CAST(CASE WHEN {condition} THEN 1 ELSE 0 END AS BIGINT)");
    format!(
        "p.*, a.handle, a.display_name, a.avatar_key, {} AS present, {} AS stands, {} AS follows, {} AS blocks, {} AS liked",
        flag(&is_present("p.author")),
        flag(&stands("p.video", "p.author")),
        flag(
            "EXISTS (SELECT 1 FROM follows f WHERE f.follower = $1 AND f.followed = p.author AND f.accepted_at IS NOT NULL)"
        ),
        flag(
            "EXISTS (SELECT 1 FROM blocks b WHERE b.blocker = $1 AND b.blocked = p.author)
             OR EXISTS (SELECT 1 FROM blocks b WHERE b.blocker = p.author AND b.blocked = $1)"
        ),
        flag("EXISTS (SELECT 1 FROM likes l WHERE l.post = p.id AND l.identity = $1)"),
    )
}

const TABLES: &str = "posts p JOIN profiles a ON a.identity = p.author";

impl Store {
    /// Makes a draft. If the generation is a remix, an edit, an extension or a part of a clip that someone has posted, that post is its
    /// parent, and gets the credit.
    ///
    /// # Errors
    /// [`StoreError::State`] if the generation is not completed; [`StoreError::NotFound`] if it is another's, or without a profile;
    /// [`StoreError::Exists`] for an id that is there.
    pub async fn create_post(
        &self,
        member: ActiveMembership,
        post: &NewPost<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let me = person(member);
        let NewPost { id, link_token, generation, media, edit } = post;
        if generation.identity != me {
            return Err(StoreError::NotFound("video"));
        }
        let Some(video) = generation.video.as_ref().filter(|_| generation.state == GenerationState::Completed) else {
            return Err(StoreError::State { what: "video", state: generation.state.as_str().into() });
        };
        let mut tx = self.database.begin().await?;
        let profile = tx.first("SELECT handle FROM profiles WHERE identity = $1", args![me]).await?;
        profile.ok_or(StoreError::NotFound("profile"))?;
        let parent = posted_source(&mut tx, generation).await?;
        let (mut parent_id, mut root, mut depth) = (None, None, 0);
        if let Some(row) = parent {
            let id = PostId::from_bytes(row.id("id")?);
            parent_id = Some(id);
            root = Some(row.opt_id("root")?.map_or(id, PostId::from_bytes));
            depth = row.int("depth")? + 1;
        }
        let sql = "INSERT INTO posts (id, author, state, visibility, link_token, caption, prompt, prompt_visibility, remix, download,
                   comments, video, model, width, height, seconds, recipe, video_key, video_size, video_sha256, thumbnail_key,
                   spritesheet_key, parent, root, depth, created_at)
                   VALUES ($1, $2, 'draft', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
                   $22, $23, $24, $25)";
        let args = args![
            *id,
            me,
            edit.visibility.as_str(),
            *link_token,
            edit.caption.as_str(),
            generation.prompt.as_str(),
            edit.switches.prompt.as_str(),
            edit.switches.remix,
            edit.switches.download,
            edit.switches.comments,
            generation.id,
            generation.model.as_str(),
            generation.size.width(),
            generation.size.height(),
            generation.total_seconds.get(),
            video.recipe.as_str(),
            media.video.as_str(),
            i64::try_from(media.size_bytes).unwrap_or(i64::MAX),
            media.sha256.as_str(),
            media.thumbnail.as_ref().map(|key| key.as_str().to_owned()),
            media.spritesheet.as_ref().map(|key| key.as_str().to_owned()),
            parent_id,
            root,
            depth,
            now,
        ];
        super::profile::unique(tx.execute(sql, args).await, "post")?;
        tx.commit().await
    }

    /// Shows a draft to those whom it is for. `place` is new; it orders all lists. A post that is out already stays where it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it is another's; [`StoreError::State`] if it is withheld or deleted; [`StoreError::Refused`] if someone who
    /// appears in it does not let its author.
    pub async fn publish_post(
        &self,
        member: ActiveMembership,
        id: PostId,
        place: PlaceId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        match own(&mut tx, member, id).await?.state {
            PostState::Published => return Ok(()),
            PostState::Draft => {}
            state => return Err(not_in(state)),
        }
        // Whoever appears in it is asked again.
        let row = tx.first("SELECT video FROM posts WHERE id = $1", args![id]).await?;
        let video = VideoId::from_bytes(row.ok_or(StoreError::NotFound("post"))?.id("video")?);
        require(&mut tx, video, person(member), now).await?;
        let sql = "UPDATE posts SET state = 'published', place = $2, published_at = $3 WHERE id = $1";
        tx.execute(sql, args![id, place, now]).await?;
        shown(&mut tx, id).await?;
        // Its parent's author hears of it, if they can see it.
        let sql = "SELECT q.id, q.author, p.visibility FROM posts p JOIN posts q ON q.id = p.parent WHERE p.id = $1";
        if let Some(row) = tx.first(sql, args![id]).await?
            && word(&row, "visibility", Visibility::from_word)? == Visibility::Public
        {
            let to = IdentityId::from_bytes(row.id("author")?);
            let remixed = Happening { to, kind: NoticeKind::Remixed, subject: row.id("id")?, by: person(member) };
            notify(&mut tx, remixed, now).await?;
        }
        tx.commit().await
    }

    /// Changes what its author says of a post.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it is another's; [`StoreError::State`] if it is deleted.
    pub async fn edit_post(
        &self,
        member: ActiveMembership,
        id: PostId,
        edit: &PostEdit,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let state = own(&mut tx, member, id).await?.state;
        if state == PostState::Deleted {
            return Err(not_in(state));
        }
        let sql = "UPDATE posts SET edited_at = CASE WHEN caption <> $2 AND place IS NOT NULL THEN $8 ELSE edited_at END,
                   caption = $2, visibility = $3, prompt_visibility = $4, remix = $5, download = $6, comments = $7 WHERE id = $1";
        let PostEdit { caption, visibility, switches } = edit;
        let args = args![
            id,
            caption.as_str(),
            visibility.as_str(),
            switches.prompt.as_str(),
            switches.remix,
            switches.download,
            switches.comments,
            now,
        ];
        tx.execute(sql, args).await?;
        if state == PostState::Published {
            index(&mut tx, id).await?;
        }
        tx.commit().await
    }

    /// Deletes a post: it is gone for everyone at once. For 30 days its author can bring it back.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it is another's, or deleted.
    pub async fn delete_post(&self, member: ActiveMembership, id: PostId, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let state = own(&mut tx, member, id).await?.state;
        if state == PostState::Deleted {
            return Err(StoreError::NotFound("post"));
        }
        if state == PostState::Published {
            hidden(&mut tx, id).await?;
        }
        tx.execute("UPDATE posts SET state = 'deleted', deleted_at = $2 WHERE id = $1", args![id, now]).await?;
        tx.commit().await
    }

    /// Brings a deleted post back as it was.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it is another's, not deleted, or gone for good.
    pub async fn undelete_post(&self, member: ActiveMembership, id: PostId, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = "UPDATE posts SET deleted_at = NULL, state = CASE WHEN withheld_at IS NOT NULL THEN 'withheld'
                   WHEN place IS NOT NULL THEN 'published' ELSE 'draft' END
                   WHERE id = $1 AND author = $2 AND state = 'deleted' AND deleted_at > $3 AND video_key <> '' RETURNING state";
        let row = tx.first(sql, args![id, person(member), now - UNDO]).await?.ok_or(StoreError::NotFound("post"))?;
        if word(&row, "state", PostState::from_word)? == PostState::Published {
            shown(&mut tx, id).await?;
        }
        tx.commit().await
    }

    /// Ends what was deleted before a moment: words, media, likes and comments go. Of a post that others made something from, an
    /// empty row stays, so that their tree keeps its shape. Says how many.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn purge_posts(&self, before: Timestamp, limit: u32, now: Timestamp) -> Result<usize, StoreError> {
        let mut tx = self.database.begin().await?;
        let sql = format!(
            "SELECT id, video_key FROM posts WHERE deleted_at <= $1 AND video_key <> '' ORDER BY deleted_at LIMIT $2{}",
            tx.for_update()
        );
        let rows = tx.all(sql, args![before, limit]).await?;
        for row in &rows {
            let id = PostId::from_bytes(row.id("id")?);
            let key = ObjectKey::from_row(row.text("video_key")?);
            purge_post(&mut tx, id, &key, now).await?;
        }
        tx.commit().await?;
        Ok(rows.len())
    }

    /// Keeps a post back, or lets it go again; then no decision about it counts any more. [`Self::decide`] keeps the reasons too.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn withhold_post(&self, id: PostId, withhold: bool, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.database.begin().await?;
        set_withheld(&mut tx, id, withhold, now).await?;
        if !withhold {
            lift_from_post(&mut tx, id, now).await?;
        }
        tx.commit().await
    }

    /// A post that a viewer opens.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if they do not see it.
    pub async fn post(&self, viewer: Viewer, address: impl Into<PostAddress>) -> Result<Post, StoreError> {
        let address = address.into();
        let (condition, value) = named(address);
        let sql = format!("SELECT {} FROM {TABLES} WHERE {condition}", columns());
        let row = self.database.first(sql, &[viewer.identity().into(), value]).await?;
        let row = row.ok_or(StoreError::NotFound("post"))?;
        let post = Post::from_row(&row, viewer.identity(), address.way())?;
        if sees(post.relation, post.facts, address.way()) { Ok(post) } else { Err(StoreError::NotFound("post")) }
    }

    /// Whether anything was ever published here.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn ever_posted(&self) -> Result<bool, StoreError> {
        let sql = "SELECT 1 AS one FROM posts WHERE place IS NOT NULL LIMIT 1";
        Ok(self.database.first(sql, args![]).await?.is_some())
    }

    /// One's own post of a generation, if there is one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn post_of_video(&self, member: ActiveMembership, video: VideoId) -> Result<Post, StoreError> {
        let me = person(member);
        let sql = format!(
            "SELECT {} FROM {TABLES} WHERE p.video = $2 AND p.author = $1 AND p.state <> 'deleted' ORDER BY p.id LIMIT 1",
            columns()
        );
        let row = self.database.first(sql, args![me, video]).await?.ok_or(StoreError::NotFound("post"))?;
        Post::from_row(&row, Some(me), Way::Opened)
    }

    /// Someone's own posts that are not out: drafts and what is withheld, or with `deleted` the trash, the newest first.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn own_unpublished(
        &self,
        member: ActiveMembership,
        deleted: bool,
        before: Option<PostId>,
        limit: u32,
    ) -> Result<Vec<Post>, StoreError> {
        let me = person(member);
        let which =
            if deleted { "p.state = 'deleted' AND p.video_key <> ''" } else { "p.state IN ('draft', 'withheld')" };
        let sql = format!(
            "SELECT {} FROM {TABLES} WHERE p.author = $1 AND p.state <> 'published' AND {which} AND p.id < $2
             ORDER BY p.id DESC LIMIT $3",
            columns()
        );
        let before = before.unwrap_or(PostId::from_bytes([255; 16]));
        let rows = self.database.all(sql, args![me, before, limit]).await?;
        rows.iter().map(|row| Post::from_row(row, Some(me), Way::Opened)).collect()
    }

    /// Likes a post, or no longer; says how many like it now. Again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the person does not see it.
    pub async fn set_like(
        &self,
        member: ActiveMembership,
        address: impl Into<PostAddress>,
        liked: bool,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let me = person(member);
        let mut tx = self.database.begin().await?;
        let address = address.into();
        super::relation::there(&mut tx, me).await?;
        let id = lock(&mut tx, address).await?;
        let changed = if liked {
            let (_, author) = permit(&mut tx, me, address, Act::Like).await?;
            let sql = "INSERT INTO likes (post, identity, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            let count = tx.execute(sql, args![id, me, now]).await?;
            if count > 0 {
                notify(&mut tx, Happening { to: author, kind: NoticeKind::Liked, subject: id.bytes(), by: me }, now)
                    .await?;
            }
            i64::try_from(count).unwrap_or(0)
        } else {
            let sql = "DELETE FROM likes WHERE post = $1 AND identity = $2";
            let count = tx.execute(sql, args![id, me]).await?;
            let row = tx.first("SELECT author FROM posts WHERE id = $1", args![id]).await?;
            if let Some(row) = row {
                let to = IdentityId::from_bytes(row.id("author")?);
                unnotify(&mut tx, Happening { to, kind: NoticeKind::Liked, subject: id.bytes(), by: me }).await?;
            }
            -i64::try_from(count).unwrap_or(0)
        };
        let sql = "UPDATE posts SET like_count = like_count + $2 WHERE id = $1 RETURNING like_count";
        let row = tx.first(sql, args![id, changed]).await?.ok_or(StoreError::NotFound("post"))?;
        let likes = number(&row, "like_count")?;
        if changed != 0 {
            warm(&mut tx, id).await?;
        }
        tx.commit().await?;
        Ok(likes)
    }

    /// What a post was made from, up to the first: its parent first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the viewer does not see the post itself.
    pub async fn remix_ancestors(
        &self,
        viewer: Viewer,
        address: impl Into<PostAddress>,
    ) -> Result<Vec<RemixNode>, StoreError> {
        let id = self.post(viewer, address).await?.id;
        let sql = format!(
            "WITH RECURSIVE up (id, parent, level) AS (
                 SELECT id, parent, 0 FROM posts WHERE id = $2
                 UNION ALL SELECT q.id, q.parent, up.level + 1 FROM posts q JOIN up ON q.id = up.parent WHERE up.level < $3)
             SELECT {} FROM up JOIN posts p ON p.id = up.id JOIN profiles a ON a.identity = p.author
             WHERE up.level > 0 ORDER BY up.level",
            columns()
        );
        let rows = self.database.all(sql, args![viewer.identity(), id, MAX_DEPTH]).await?;
        rows.iter().map(|row| node(row, viewer)).collect()
    }

    /// What was made from a post, the newest first: only what the viewer can open. `before` is the last place of the page before.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn remixes(
        &self,
        viewer: Viewer,
        id: PostId,
        before: Option<PlaceId>,
        limit: u32,
    ) -> Result<Vec<Post>, StoreError> {
        let sql = format!(
            "SELECT {} FROM {TABLES} WHERE p.parent = $2 AND p.place < $3 AND {} ORDER BY p.place DESC LIMIT $4",
            columns(),
            super::listed()
        );
        let before = before.unwrap_or(PlaceId::from_bytes([255; 16]));
        let rows = self.database.all(sql, args![viewer.identity(), id, before, limit]).await?;
        rows.iter().map(|row| Post::from_row(row, viewer.identity(), Way::Listed)).collect()
    }
}

/// Ends a post that was deleted: words, media, likes and comments go, and the row too if nothing hangs from it.
async fn purge_post(tx: &mut Tx, id: PostId, key: &ObjectKey, now: Timestamp) -> Result<(), StoreError> {
    delete_objects(tx, key.parent(), now).await?;
    tx.execute("DELETE FROM likes WHERE post = $1", args![id]).await?;
    tx.execute("UPDATE comments SET parent = NULL WHERE post = $1", args![id]).await?;
    tx.execute("DELETE FROM comments WHERE post = $1", args![id]).await?;
    let sql =
        "DELETE FROM posts WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM posts c WHERE c.parent = $1 OR c.root = $1)";
    if tx.execute(sql, args![id]).await? == 0 {
        let sql = "UPDATE posts SET caption = '', prompt = '', recipe = '', video_key = '', video_size = 0, video_sha256 = '',
                   thumbnail_key = NULL, spritesheet_key = NULL, frame_hashes = NULL, like_count = 0, comment_count = 0 WHERE id = $1";
        tx.execute(sql, args![id]).await?;
    }
    Ok(())
}

/// Deletes a post for good, whosever it is: nobody brings it back.
pub(crate) async fn erase_post(tx: &mut Tx, id: PostId, now: Timestamp) -> Result<(), StoreError> {
    let sql = format!("SELECT state, video_key FROM posts WHERE id = $1{}", tx.for_update());
    let row = tx.first(sql, args![id]).await?.ok_or(StoreError::NotFound("post"))?;
    if word(&row, "state", PostState::from_word)? == PostState::Published {
        hidden(tx, id).await?;
    }
    tx.execute("UPDATE posts SET state = 'deleted', deleted_at = $2 WHERE id = $1", args![id, now]).await?;
    purge_post(tx, id, &ObjectKey::from_row(row.text("video_key")?), now).await
}

/// The post that a generation owes credit to: of its source, or, if that was never posted, of what the source was made from.
async fn posted_source(tx: &mut Tx, generation: &Generation) -> Result<Option<Row>, StoreError> {
    let mut source = generation.kind.source_video();
    for _ in 0..MAX_DEPTH {
        let Some(video) = source else { break };
        let sql = "SELECT id, root, depth FROM posts WHERE video = $1 AND place IS NOT NULL ORDER BY place LIMIT 1";
        let post = tx.first(sql, args![video]).await?;
        if post.is_some() {
            return Ok(post);
        }
        let row = tx.first("SELECT source_video FROM generations WHERE id = $1", args![video]).await?;
        source = row.map(|row| row.opt_id("source_video")).transpose()?.flatten().map(VideoId::from_bytes);
    }
    Ok(None)
}

fn not_in(state: PostState) -> StoreError {
    StoreError::State { what: "post", state: state.as_str().into() }
}

/// One's own post, locked.
async fn own(tx: &mut Tx, member: ActiveMembership, id: PostId) -> Result<PostFacts, StoreError> {
    let sql = format!("SELECT * FROM posts WHERE id = $1 AND author = $2{}", tx.for_update());
    let row = tx.first(sql, args![id, person(member)]).await?.ok_or(StoreError::NotFound("post"))?;
    facts(&row, true)
}

/// How a post `p` of this address is found, with the value of `$2`.
fn named(address: PostAddress) -> (&'static str, Value) {
    match address {
        PostAddress::Id(id) => ("p.id = $2", id.into()),
        PostAddress::Link(token) => ("p.link_token = $2", token.into()),
    }
}

/// Locks a post's row, so that what is decided of it stays true until the end of the transaction.
async fn lock(tx: &mut Tx, address: PostAddress) -> Result<PostId, StoreError> {
    let (condition, value) = named(address);
    let sql = format!("SELECT p.id FROM posts p WHERE {}{}", condition.replace("$2", "$1"), tx.for_update());
    let row = tx.first(sql, &[value]).await?.ok_or(StoreError::NotFound("post"))?;
    Ok(PostId::from_bytes(row.id("id")?))
}

/// Whether someone may do something with a post, whose row is locked by it. Says which post, and whose.
pub(super) async fn permit(
    tx: &mut Tx,
    me: IdentityId,
    address: PostAddress,
    act: Act,
) -> Result<(PostId, IdentityId), StoreError> {
    let id = lock(tx, address).await?;
    let sql = format!("SELECT {} FROM {TABLES} WHERE p.id = $2", columns());
    let row = tx.first(sql, args![Some(me), id]).await?.ok_or(StoreError::NotFound("post"))?;
    let (relation, facts) = (relation(&row, Some(me))?, facts(&row, is_shown(&row)?)?);
    if !sees(relation, facts, address.way()) {
        return Err(StoreError::NotFound("post"));
    }
    if !may(relation, facts, address.way(), act) {
        return Err(StoreError::State { what: "post", state: "not open to this".into() });
    }
    Ok((id, IdentityId::from_bytes(row.id("author")?)))
}

/// Keeps a post back, or lets it go again.
pub(crate) async fn set_withheld(tx: &mut Tx, id: PostId, withhold: bool, now: Timestamp) -> Result<(), StoreError> {
    let sql = format!("SELECT state FROM posts WHERE id = $1{}", tx.for_update());
    let row = tx.first(sql, args![id]).await?.ok_or(StoreError::NotFound("post"))?;
    let state = word(&row, "state", PostState::from_word)?;
    if withhold && state == PostState::Published {
        hidden(tx, id).await?;
    }
    let sql = "UPDATE posts SET withheld_at = $2, state = CASE WHEN deleted_at IS NOT NULL THEN 'deleted'
               WHEN $3 = 1 THEN 'withheld' WHEN place IS NOT NULL THEN 'published' ELSE 'draft' END WHERE id = $1";
    tx.execute(sql, args![id, withhold.then_some(now), i64::from(withhold)]).await?;
    if !withhold && state == PostState::Withheld { shown_if_published(tx, id).await } else { Ok(()) }
}

/// A post has come into sight.
pub(crate) async fn shown(tx: &mut Tx, id: PostId) -> Result<(), StoreError> {
    index(tx, id).await?;
    warm(tx, id).await?;
    count_for_parent(tx, id, 1).await
}

async fn shown_if_published(tx: &mut Tx, id: PostId) -> Result<(), StoreError> {
    let row = tx.first("SELECT 1 AS one FROM posts WHERE id = $1 AND state = 'published'", args![id]).await?;
    if row.is_some() { shown(tx, id).await } else { Ok(()) }
}

/// A post has gone from sight.
pub(super) async fn hidden(tx: &mut Tx, id: PostId) -> Result<(), StoreError> {
    unindex(tx, id).await?;
    count_for_parent(tx, id, -1).await
}

async fn count_for_parent(tx: &mut Tx, id: PostId, by: i64) -> Result<(), StoreError> {
    let sql = "UPDATE posts SET remix_count = remix_count + $2 WHERE id = (SELECT parent FROM posts WHERE id = $1) RETURNING id";
    match tx.first(sql, args![id, by]).await? {
        Some(parent) => warm(tx, PostId::from_bytes(parent.id("id")?)).await,
        None => Ok(()),
    }
}

/// Writes anew by which hashtags and words a published post is found.
async fn index(tx: &mut Tx, id: PostId) -> Result<(), StoreError> {
    unindex(tx, id).await?;
    let row = tx.first("SELECT caption, prompt, prompt_visibility, place FROM posts WHERE id = $1", args![id]).await?;
    let row = row.ok_or(StoreError::NotFound("post"))?;
    let (mut text, place) = (row.text("caption")?, PlaceId::from_bytes(row.id("place")?));
    for tag in hashtags(&text) {
        let sql = "INSERT INTO post_tags (tag, place, post) VALUES ($1, $2, $3)";
        tx.execute(sql, args![tag.as_str(), place, id]).await?;
    }
    if word(&row, "prompt_visibility", PromptVisibility::from_word)? != PromptVisibility::Hidden {
        text.push('\n');
        text.push_str(&row.text("prompt")?);
    }
    for word in search_words(&text) {
        let sql = "INSERT INTO post_words (word, place, post) VALUES ($1, $2, $3)";
        tx.execute(sql, args![word, place, id]).await?;
    }
    Ok(())
}

async fn unindex(tx: &mut Tx, id: PostId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM post_tags WHERE post = $1", args![id]).await?;
    tx.execute("DELETE FROM post_words WHERE post = $1", args![id]).await.map(|_| ())
}

/// Says anew how warm a post is, after someone did something with it. Its row is locked.
pub(crate) async fn warm(tx: &mut Tx, id: PostId) -> Result<(), StoreError> {
    let sql =
        "SELECT like_count, comment_count, remix_count, published_at FROM posts WHERE id = $1 AND place IS NOT NULL";
    let Some(row) = tx.first(sql, args![id]).await? else { return Ok(()) };
    let published_at = Timestamp::from_micros(row.int("published_at")?);
    let heat = engagement(&row)?.heat(published_at);
    tx.execute("UPDATE posts SET heat = $2 WHERE id = $1", args![id, heat]).await.map(|_| ())
}

pub(super) fn engagement(row: &Row) -> Result<Engagement, StoreError> {
    Ok(Engagement {
        likes: number(row, "like_count")?,
        comments: number(row, "comment_count")?,
        remixes: number(row, "remix_count")?,
    })
}

fn relation(row: &Row, viewer: Option<IdentityId>) -> Result<Relation, StoreError> {
    let author = IdentityId::from_bytes(row.id("author")?);
    Ok(match viewer {
        None => Relation::SignedOut,
        Some(viewer) if viewer == author => Relation::Author,
        Some(_) if row.int("blocks")? == 1 => Relation::Blocked,
        Some(_) if row.int("follows")? == 1 => Relation::Follower,
        Some(_) => Relation::Stranger,
    })
}

/// Whether its author is there, and everyone who appears in it lets them show it.
fn is_shown(row: &Row) -> Result<bool, StoreError> {
    Ok(row.int("present")? == 1 && row.int("stands")? == 1)
}

/// A published post of someone who is not there, or in which someone appears who lets nobody any more, counts as withheld.
fn facts(row: &Row, present: bool) -> Result<PostFacts, StoreError> {
    let state = match word(row, "state", PostState::from_word)? {
        PostState::Published if !present => PostState::Withheld,
        state => state,
    };
    let flag = |column| row.int(column).map(|flag| flag == 1);
    Ok(PostFacts {
        state,
        visibility: word(row, "visibility", Visibility::from_word)?,
        switches: Switches {
            prompt: word(row, "prompt_visibility", PromptVisibility::from_word)?,
            remix: flag("remix")?,
            download: flag("download")?,
            comments: flag("comments")?,
        },
    })
}

fn node(row: &Row, viewer: Viewer) -> Result<RemixNode, StoreError> {
    let (relation, facts) = (relation(row, viewer.identity())?, facts(row, is_shown(row)?)?);
    // A deleted clip still has its maker; one who blocked the viewer, or left, has none.
    let author = (relation != Relation::Blocked && row.int("present")? == 1).then(|| card(row)).transpose()?;
    Ok(RemixNode {
        id: PostId::from_bytes(row.id("id")?),
        parent: row.opt_id("parent")?.map(PostId::from_bytes),
        author,
        open: sees(relation, facts, Way::Opened),
    })
}

pub(super) fn card(row: &Row) -> Result<AuthorCard, StoreError> {
    Ok(AuthorCard {
        identity: IdentityId::from_bytes(row.id("author")?),
        handle: handle(row, "handle")?,
        display_name: display_name(row)?,
        avatar: row.opt_text("avatar_key")?.map(ObjectKey::from_row),
    })
}

impl Post {
    /// A row of [`columns`], with no more in it than the viewer may know.
    pub(super) fn from_row(row: &Row, viewer: Option<IdentityId>, way: Way) -> Result<Self, StoreError> {
        let (relation, facts) = (relation(row, viewer)?, facts(row, is_shown(row)?)?);
        let author = relation == Relation::Author;
        let reads = author || sees_prompt(relation, facts, way);
        let (model, caption, token) = (row.text("model")?, row.text("caption")?, row.blob("link_token")?);
        let token: [u8; 16] = token.try_into().map_err(|_| corrupt("link_token", "bytes"))?;
        let key = |column| Ok::<_, StoreError>(row.opt_text(column)?.map(ObjectKey::from_row));
        let seconds = number(row, "seconds")?;
        Ok(Self {
            id: PostId::from_bytes(row.id("id")?),
            place: row.opt_id("place")?.map(PlaceId::from_bytes),
            author: card(row)?,
            relation,
            facts,
            link_token: author.then_some(LinkToken::new(token)),
            prompt: if reads { Some(row.text("prompt")?) } else { None },
            recipe: if reads { Some(row.text("recipe")?) } else { None },
            caption: Caption::parse(&caption).map_err(|_| corrupt("caption", caption))?,
            video: VideoId::from_bytes(row.id("video")?),
            model: ModelName::parse(&model).ok_or_else(|| corrupt("model", model))?,
            size: Size::new(number(row, "width")?, number(row, "height")?),
            seconds: Seconds::new(seconds).ok_or_else(|| corrupt("seconds", seconds))?,
            media: PostMedia {
                video: ObjectKey::from_row(row.text("video_key")?),
                size_bytes: number(row, "video_size")?,
                sha256: row.text("video_sha256")?,
                thumbnail: key("thumbnail_key")?,
                spritesheet: key("spritesheet_key")?,
            },
            parent: row.opt_id("parent")?.map(PostId::from_bytes),
            root: row.opt_id("root")?.map(PostId::from_bytes),
            likes: number(row, "like_count")?,
            comments: number(row, "comment_count")?,
            remixes: number(row, "remix_count")?,
            liked: row.int("liked")? == 1,
            created_at: Timestamp::from_micros(row.int("created_at")?),
            published_at: moment(row, "published_at")?,
            edited_at: moment(row, "edited_at")?,
            deleted_at: moment(row, "deleted_at")?,
        })
    }
}
