//! *For you*: the warmest, the newest and the followed posts, ordered by `platform::rank_feed`, with the reasons.

use std::collections::HashMap;

use platform::{
    ActiveMembership, Attribute, Candidate, FeedRule, IdentityId, MAX_FEED_RULES, PlaceId, PostId, PromptVisibility,
    Reason, Timestamp, Viewer, Way, hashtags, rank_feed, read_feed_rules,
};

use super::feed::NOT_MUTED;
use super::post::{Post, columns, engagement};
use super::profile::handle;
use super::{listed, person};
use crate::database::{Row, Value, args};
use crate::error::StoreError;
use crate::generation::{number, word};
use crate::store::Store;

/// What someone decided about their feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedSettings {
    /// Whether follows and likes count.
    pub personalised: bool,
    /// Their rules.
    pub rules: Vec<FeedRule>,
}

/// A post in *For you*.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggested {
    /// The post.
    pub post: Post,
    /// Why it stands there, what weighs most first.
    pub reasons: Vec<Reason>,
}

/// How many of the warmest, the newest and the newest of followed people are considered.
const WARMEST: u32 = 150;
const NEWEST: u32 = 60;
const FOLLOWED: u32 = 20;
/// How many of the viewer's last likes say what they like.
const LIKES: u32 = 100;

impl Store {
    /// A page of *For you* as of a moment: with the same moment, later pages follow on earlier ones, and what is published meanwhile
    /// waits for the next moment.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn for_you(
        &self,
        viewer: Viewer,
        as_of: Timestamp,
        skip: usize,
        limit: u32,
    ) -> Result<Vec<Suggested>, StoreError> {
        let settings = match viewer.identity() {
            Some(identity) => self.settings_of(identity).await?,
            None => FeedSettings { personalised: false, rules: Vec::new() },
        };
        let taste = match viewer.identity() {
            Some(identity) if settings.personalised => self.taste(identity).await?,
            _ => Taste::default(),
        };
        let until = PlaceId::new(as_of, [255; 8]);
        let sql = format!(
            "WITH public (id) AS (
                 SELECT id FROM (SELECT id FROM posts WHERE state = 'published' AND visibility = 'public' ORDER BY heat DESC LIMIT $3) AS w
                 UNION SELECT id FROM (SELECT id FROM posts WHERE state = 'published' AND visibility = 'public' AND place <= $2
                     ORDER BY place DESC LIMIT $4) AS n)
             SELECT p.*, a.handle,
             CAST(CASE WHEN EXISTS (SELECT 1 FROM follows f WHERE f.follower = $1 AND f.followed = p.author
                 AND f.accepted_at IS NOT NULL) THEN 1 ELSE 0 END AS BIGINT) AS follows
             FROM public c JOIN posts p ON p.id = c.id JOIN profiles a ON a.identity = p.author
             WHERE p.place <= $2 AND {} AND {NOT_MUTED}",
            listed()
        );
        let rows = self.database.all(sql, args![viewer.identity(), until, WARMEST, NEWEST]).await?;
        let mut candidates: Vec<Candidate> = rows.iter().map(|row| candidate(row, &taste)).collect::<Result<_, _>>()?;
        if viewer.identity().is_some() && settings.personalised {
            for post in self.posts(viewer, super::Listing::Following, Some(until), FOLLOWED).await? {
                if candidates.iter().all(|candidate| candidate.post != post.id) {
                    candidates.extend(followed(&post, &taste));
                }
            }
        }
        candidates.retain(|candidate| Some(candidate.author) != viewer.identity());
        let ranked = rank_feed(&candidates, &settings.rules, settings.personalised, as_of);
        let page: Vec<_> = ranked.into_iter().skip(skip).take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
        if page.is_empty() {
            return Ok(Vec::new());
        }
        let mut args: Vec<Value> = args![viewer.identity()].to_vec();
        let list: Vec<String> = (0..page.len()).map(|at| format!("${}", at + 2)).collect();
        args.extend(page.iter().map(|ranked| Value::from(ranked.post)));
        let sql = format!(
            "SELECT {} FROM posts p JOIN profiles a ON a.identity = p.author WHERE p.id IN ({})",
            columns(),
            list.join(", ")
        );
        let mut posts: HashMap<PostId, Post> = HashMap::new();
        for row in self.database.all(sql, &args).await? {
            let post = Post::from_row(&row, viewer.identity(), Way::Listed)?;
            // It may have been hidden since the first look.
            if platform::sees(post.relation, post.facts, Way::Listed) {
                posts.insert(post.id, post);
            }
        }
        let suggested = page
            .into_iter()
            .filter_map(|ranked| posts.remove(&ranked.post).map(|post| Suggested { post, reasons: ranked.reasons }));
        Ok(suggested.collect())
    }

    /// What someone decided about their feed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without a profile.
    pub async fn feed_settings(&self, member: ActiveMembership) -> Result<FeedSettings, StoreError> {
        self.settings_of(person(member)).await
    }

    async fn settings_of(&self, identity: IdentityId) -> Result<FeedSettings, StoreError> {
        let sql = "SELECT personalised FROM profiles WHERE identity = $1";
        let row = self.database.first(sql, args![identity]).await?;
        let personalised = row.map_or(Ok(1), |row| row.int("personalised"))? == 1;
        let sql = "SELECT rule FROM feed_rules WHERE identity = $1 ORDER BY position";
        let rows = self.database.all(sql, args![identity]).await?;
        let rules: Vec<String> = rows.iter().map(|row| row.text("rule")).collect::<Result<_, _>>()?;
        Ok(FeedSettings { personalised, rules: read_feed_rules(&rules.join("\n")).rules })
    }

    /// Keeps what someone decided about their feed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without a profile; [`StoreError::State`] with too many rules.
    pub async fn set_feed_settings(&self, member: ActiveMembership, settings: &FeedSettings) -> Result<(), StoreError> {
        let me = person(member);
        if settings.rules.len() > MAX_FEED_RULES {
            return Err(StoreError::State { what: "list of rules", state: "too long".into() });
        }
        let mut tx = self.database.begin().await?;
        let sql = "UPDATE profiles SET personalised = $2 WHERE identity = $1";
        if tx.execute(sql, args![me, settings.personalised]).await? == 0 {
            return Err(StoreError::NotFound("profile"));
        }
        tx.execute("DELETE FROM feed_rules WHERE identity = $1", args![me]).await?;
        for (position, rule) in (0_u32..).zip(&settings.rules) {
            let sql = "INSERT INTO feed_rules (identity, position, rule) VALUES ($1, $2, $3)";
            tx.execute(sql, args![me, position, rule.to_string()]).await?;
        }
        tx.commit().await
    }

    /// Whose posts and which hashtags someone lately liked.
    async fn taste(&self, identity: IdentityId) -> Result<Taste, StoreError> {
        let sql = "SELECT p.author, p.caption FROM likes l JOIN posts p ON p.id = l.post WHERE l.identity = $1
                   ORDER BY l.at DESC, l.post LIMIT $2";
        let mut taste = Taste::default();
        for row in self.database.all(sql, args![identity, LIKES]).await? {
            *taste.authors.entry(IdentityId::from_bytes(row.id("author")?)).or_default() += 1;
            for tag in hashtags(&row.text("caption")?) {
                *taste.tags.entry(tag.as_str().to_owned()).or_default() += 1;
            }
        }
        Ok(taste)
    }
}

#[derive(Default)]
struct Taste {
    authors: HashMap<IdentityId, u32>,
    tags: HashMap<String, u32>,
}

impl Taste {
    fn of_author(&self, author: IdentityId) -> u32 {
        self.authors.get(&author).copied().unwrap_or(0)
    }

    fn of_tags(&self, tags: &[platform::Hashtag]) -> u32 {
        tags.iter().filter_map(|tag| self.tags.get(tag.as_str())).sum()
    }
}

fn candidate(row: &Row, taste: &Taste) -> Result<Candidate, StoreError> {
    let author = IdentityId::from_bytes(row.id("author")?);
    let mut words = row.text("caption")?;
    let tags = hashtags(&words);
    if word(row, "prompt_visibility", PromptVisibility::from_word)? != PromptVisibility::Hidden {
        words.push('\n');
        words.push_str(&row.text("prompt")?);
    }
    let is_remix = row.opt_id("parent")?.is_some();
    Ok(Candidate {
        post: PostId::from_bytes(row.id("id")?),
        place: PlaceId::from_bytes(row.id("place")?),
        author,
        handle: handle(row, "handle")?,
        published_at: Timestamp::from_micros(row.int("published_at")?),
        engagement: engagement(row)?,
        followed: row.int("follows")? == 1,
        author_likes: taste.of_author(author),
        tag_likes: taste.of_tags(&tags),
        words,
        tags,
        attributes: Attribute::of(number(row, "seconds")?, number(row, "width")?, number(row, "height")?, is_remix),
    })
}

/// The same of a post that was read for *Following*.
fn followed(post: &Post, taste: &Taste) -> Option<Candidate> {
    let tags = hashtags(post.caption.as_str());
    let prompt = post.prompt.as_deref().unwrap_or_default();
    let (width, height) = (u32::from(post.size.width()), u32::from(post.size.height()));
    Some(Candidate {
        post: post.id,
        place: post.place?,
        author: post.author.identity,
        handle: post.author.handle.clone(),
        published_at: post.published_at?,
        engagement: platform::Engagement { likes: post.likes, comments: post.comments, remixes: post.remixes },
        followed: post.relation == platform::Relation::Follower,
        author_likes: taste.of_author(post.author.identity),
        tag_likes: taste.of_tags(&tags),
        words: format!("{}\n{prompt}", post.caption.as_str()),
        tags,
        attributes: Attribute::of(post.seconds.get(), width, height, post.parent.is_some()),
    })
}
