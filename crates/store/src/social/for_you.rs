//! *For you*: the warmest, the newest and the followed posts, ordered by `platform::rank_feed`, with the reasons.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use platform::{
    ActiveMembership, Attribute, Candidate, Engagement, FeedRule, Hashtag, IdentityId, MAX_FEED_RULES, PlaceId, PostId,
    PromptVisibility, Ranked, Reason, Relation, Timestamp, Viewer, Way, hashtags, rank_feed, read_feed_rules, sees,
};

use super::person;
use super::post::{Post, columns};
use crate::database::{Row, Value, args};
use crate::error::StoreError;
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
        let (settings, taste) = match viewer.identity() {
            Some(identity) => self.wishes(identity).await?,
            None => (FeedSettings { personalised: false, rules: Vec::new() }, Taste::default()),
        };
        let until = PlaceId::new(as_of, [255; 8]);
        let public = self.public_posts(as_of).await?;
        let bonds = match viewer.identity() {
            Some(identity) => self.bonds(identity, &public).await?,
            None => Bonds::default(),
        };
        let relation = |author: IdentityId| match viewer.identity() {
            None => Relation::SignedOut,
            Some(identity) if identity == author => Relation::Author,
            Some(_) if bonds.blocks.contains(&author) => Relation::Blocked,
            Some(_) if bonds.follows.contains(&author) => Relation::Follower,
            Some(_) => Relation::Stranger,
        };
        let ruled = !settings.rules.is_empty();
        let mut candidates = Vec::with_capacity(public.posts.len());
        for PublicPost { post, words, tags, attributes } in &public.posts {
            let author = post.author.identity;
            let relation = relation(author);
            let (Some(place), Some(published_at)) = (post.place, post.published_at) else { continue };
            let shown = place <= until && sees(relation, post.facts, Way::Listed) && !bonds.mutes.contains(&author);
            if !shown || relation == Relation::Author {
                continue;
            }
            candidates.push(Candidate {
                post: post.id,
                place,
                author,
                handle: post.author.handle.clone(),
                published_at,
                engagement: engagement(post),
                followed: relation == Relation::Follower,
                author_likes: taste.of_author(author),
                tag_likes: taste.of_tags(tags),
                // Only rules ask for these, and few people have any.
                words: if ruled { words.clone() } else { String::new() },
                tags: if ruled { tags.clone() } else { Vec::new() },
                attributes: if ruled { attributes.clone() } else { Vec::new() },
            });
        }
        let mut followed_posts: HashMap<PostId, Post> = HashMap::new();
        if let Some(identity) = viewer.identity().filter(|_| settings.personalised) {
            for post in self.posts_of_followed(identity, until, FOLLOWED).await? {
                if post.relation != Relation::Author && candidates.iter().all(|candidate| candidate.post != post.id) {
                    candidates.extend(followed(&post, &taste));
                    followed_posts.insert(post.id, post);
                }
            }
        }
        let ranked = rank_feed(&candidates, &settings.rules, settings.personalised, as_of);
        let page: Vec<_> = ranked.into_iter().skip(skip).take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
        let liked = match viewer.identity() {
            Some(identity) => self.likes_among(identity, &page).await?,
            None => HashSet::new(),
        };
        let suggested = page.into_iter().filter_map(|ranked| {
            let post = followed_posts.remove(&ranked.post).or_else(|| {
                let shared = public.posts.iter().find(|shared| shared.post.id == ranked.post)?;
                Some(Post { relation: relation(shared.post.author.identity), ..shared.post.clone() })
            })?;
            Some(Suggested { post: Post { liked: liked.contains(&post.id), ..post }, reasons: ranked.reasons })
        });
        Ok(suggested.collect())
    }

    /// The warmest and the newest public posts as of a moment, as whoever is signed out sees them. Most who look within two seconds
    /// look at the same, so they are kept that long, until this process writes anything.
    async fn public_posts(&self, as_of: Timestamp) -> Result<Arc<PublicPosts>, StoreError> {
        if let Some(kept) = self.public_posts.find(Self::writes(), as_of) {
            return Ok(kept);
        }
        // One gathers, the others wait for it: what it finds is as good for them.
        let _turn = self.public_posts.0.gathering.lock().await;
        let writes = Self::writes();
        if let Some(kept) = self.public_posts.find(writes, as_of) {
            return Ok(kept);
        }
        let until = PlaceId::new(as_of, [255; 8]);
        let sql = format!(
            "WITH public (id) AS (
                 SELECT id FROM (SELECT id FROM posts WHERE state = 'published' AND visibility = 'public' ORDER BY heat DESC LIMIT $3) AS w
                 UNION SELECT id FROM (SELECT id FROM posts WHERE state = 'published' AND visibility = 'public' AND place <= $2
                     ORDER BY place DESC LIMIT $4) AS n)
             SELECT {} FROM public c JOIN posts p ON p.id = c.id JOIN profiles a ON a.identity = p.author WHERE p.place <= $2",
            columns()
        );
        let nobody = None::<IdentityId>;
        let rows = self.database.all(sql, args![nobody, until, WARMEST, NEWEST]).await?;
        let posts = rows.iter().map(PublicPost::from_row).collect::<Result<_, _>>()?;
        let gathered = Arc::new(PublicPosts { writes, at: as_of, posts });
        let sql =
            "SELECT 1 AS one FROM posts WHERE state = 'published' AND visibility = 'public' AND place > $1 LIMIT 1";
        // What was published later would be missing for whoever asks as of a later moment.
        if self.database.first(sql, args![until]).await?.is_none() {
            self.public_posts.keep(Arc::clone(&gathered));
        }
        Ok(gathered)
    }

    /// What someone decided about their feed, and whose posts and which hashtags they lately liked, in one statement.
    async fn wishes(&self, identity: IdentityId) -> Result<(FeedSettings, Taste), StoreError> {
        let sql = "SELECT 'like' AS wish, author, caption AS words, CAST(0 AS BIGINT) AS number FROM (
                       SELECT p.author, p.caption FROM likes l JOIN posts p ON p.id = l.post WHERE l.identity = $1
                       ORDER BY l.at DESC, l.post LIMIT $2) AS liked
                   UNION ALL SELECT 'setting', identity, NULL, personalised FROM profiles WHERE identity = $1
                   UNION ALL SELECT 'rule', identity, rule, position FROM feed_rules WHERE identity = $1";
        let (mut taste, mut personalised, mut rules) = (Taste::default(), true, Vec::new());
        for row in self.database.all(sql, args![identity, LIKES]).await? {
            match row.text("wish")?.as_str() {
                "like" => taste.take(IdentityId::from_bytes(row.id("author")?), &row.text("words")?),
                "setting" => personalised = row.int("number")? == 1,
                _ => rules.push((row.int("number")?, row.text("words")?)),
            }
        }
        rules.sort_unstable();
        let rules: Vec<_> = rules.into_iter().map(|(_, rule)| rule).collect();
        let settings = FeedSettings { personalised, rules: read_feed_rules(&rules.join("\n")).rules };
        Ok((settings, if personalised { taste } else { Taste::default() }))
    }

    /// Whom of these authors someone follows, has blocked or is blocked by, and has muted.
    async fn bonds(&self, identity: IdentityId, public: &PublicPosts) -> Result<Bonds, StoreError> {
        let authors: BTreeSet<_> = public.posts.iter().map(|shared| shared.post.author.identity).collect();
        if authors.is_empty() {
            return Ok(Bonds::default());
        }
        let mut args: Vec<Value> = args![identity].to_vec();
        args.extend(authors.iter().map(|author| Value::from(*author)));
        let list = (2..=args.len()).map(|at| format!("${at}")).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "SELECT 'follow' AS bond, followed AS who FROM follows
             WHERE follower = $1 AND accepted_at IS NOT NULL AND followed IN ({list})
             UNION ALL SELECT 'block', blocked FROM blocks WHERE blocker = $1 AND blocked IN ({list})
             UNION ALL SELECT 'block', blocker FROM blocks WHERE blocked = $1 AND blocker IN ({list})
             UNION ALL SELECT 'mute', muted FROM mutes WHERE muter = $1 AND muted IN ({list})"
        );
        let mut bonds = Bonds::default();
        for row in self.database.all(sql, &args).await? {
            let who = IdentityId::from_bytes(row.id("who")?);
            match row.text("bond")?.as_str() {
                "follow" => bonds.follows.insert(who),
                "block" => bonds.blocks.insert(who),
                _ => bonds.mutes.insert(who),
            };
        }
        Ok(bonds)
    }

    /// Which posts of a page someone likes.
    async fn likes_among(&self, identity: IdentityId, page: &[Ranked]) -> Result<HashSet<PostId>, StoreError> {
        if page.is_empty() {
            return Ok(HashSet::new());
        }
        let mut args: Vec<Value> = args![identity].to_vec();
        args.extend(page.iter().map(|ranked| Value::from(ranked.post)));
        let list = (2..=args.len()).map(|at| format!("${at}")).collect::<Vec<_>>().join(", ");
        let sql = format!("SELECT post FROM likes WHERE identity = $1 AND post IN ({list})");
        self.database.all(sql, &args).await?.iter().map(|row| Ok(PostId::from_bytes(row.id("post")?))).collect()
    }

    /// What someone decided about their feed.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] without a profile.
    pub async fn feed_settings(&self, member: ActiveMembership) -> Result<FeedSettings, StoreError> {
        self.settings_of(person(member)).await
    }

    async fn settings_of(&self, identity: IdentityId) -> Result<FeedSettings, StoreError> {
        let sql = "SELECT p.personalised, r.rule FROM profiles p LEFT JOIN feed_rules r ON r.identity = p.identity
                   WHERE p.identity = $1 ORDER BY r.position";
        let rows = self.database.all(sql, args![identity]).await?;
        let personalised = rows.first().map_or(Ok(1), |row| row.int("personalised"))? == 1;
        let rules: Vec<String> =
            rows.iter().filter_map(|row| row.opt_text("rule").transpose()).collect::<Result<_, _>>()?;
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
}

/// Whose posts and which hashtags someone lately liked.
#[derive(Default)]
struct Taste {
    authors: HashMap<IdentityId, u32>,
    tags: HashMap<String, u32>,
}

impl Taste {
    /// A post of this author with this caption was liked.
    fn take(&mut self, author: IdentityId, caption: &str) {
        *self.authors.entry(author).or_default() += 1;
        for tag in hashtags(caption) {
            *self.tags.entry(tag.as_str().to_owned()).or_default() += 1;
        }
    }

    fn of_author(&self, author: IdentityId) -> u32 {
        self.authors.get(&author).copied().unwrap_or(0)
    }

    fn of_tags(&self, tags: &[platform::Hashtag]) -> u32 {
        tags.iter().filter_map(|tag| self.tags.get(tag.as_str())).sum()
    }
}

/// What a viewer is to the authors of public posts.
#[derive(Default)]
struct Bonds {
    follows: HashSet<IdentityId>,
    blocks: HashSet<IdentityId>,
    mutes: HashSet<IdentityId>,
}

/// Public posts as of a moment, when this process had written so often.
#[derive(Debug)]
struct PublicPosts {
    writes: u64,
    at: Timestamp,
    posts: Vec<PublicPost>,
}

/// A public post with what ranking asks of it, the same for every viewer.
#[derive(Debug)]
struct PublicPost {
    post: Post,
    /// Caption and, if others read it, prompt.
    words: String,
    tags: Vec<Hashtag>,
    attributes: Vec<Attribute>,
}

impl PublicPost {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        let post = Post::from_row(row, None, Way::Listed)?;
        let mut words = post.caption.as_str().to_owned();
        let tags = hashtags(&words);
        if post.facts.switches.prompt != PromptVisibility::Hidden {
            words.push('\n');
            words.push_str(&row.text("prompt")?);
        }
        let attributes = attributes(&post);
        Ok(Self { post, words, tags, attributes })
    }
}

/// How long public posts are kept: other processes write too.
const KEPT: Duration = Duration::from_secs(2);

/// The public posts that were gathered last, and the turn of whoever gathers them anew.
#[derive(Clone, Debug, Default)]
pub(crate) struct PublicPostsCache(Arc<CacheInner>);

#[derive(Debug, Default)]
struct CacheInner {
    kept: Mutex<Option<Arc<PublicPosts>>>,
    gathering: tokio::sync::Mutex<()>,
}

impl PublicPostsCache {
    fn find(&self, writes: u64, as_of: Timestamp) -> Option<Arc<PublicPosts>> {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let good = |kept: &&Arc<PublicPosts>| kept.writes == writes && kept.at <= as_of && as_of.since(kept.at) < KEPT;
        kept.as_ref().filter(good).cloned()
    }

    fn keep(&self, gathered: Arc<PublicPosts>) {
        *self.0.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(gathered);
    }
}

fn engagement(post: &Post) -> Engagement {
    Engagement { likes: post.likes, comments: post.comments, remixes: post.remixes }
}

fn attributes(post: &Post) -> Vec<Attribute> {
    let (width, height) = (u32::from(post.size.width()), u32::from(post.size.height()));
    Attribute::of(post.seconds.get(), width, height, post.parent.is_some())
}

/// The same of a post that was read for *Following*.
fn followed(post: &Post, taste: &Taste) -> Option<Candidate> {
    let tags = hashtags(post.caption.as_str());
    let prompt = post.prompt.as_deref().unwrap_or_default();
    Some(Candidate {
        post: post.id,
        place: post.place?,
        author: post.author.identity,
        handle: post.author.handle.clone(),
        published_at: post.published_at?,
        engagement: engagement(post),
        followed: post.relation == Relation::Follower,
        author_likes: taste.of_author(post.author.identity),
        tag_likes: taste.of_tags(&tags),
        words: format!("{}\n{prompt}", post.caption.as_str()),
        tags,
        attributes: attributes(post),
    })
}
