//! *For you*: how posts are ordered, and why each stands where it does. The weights are published: they are these constants.

use std::collections::HashMap;
use std::time::Duration;

use super::handle::Handle;
use super::rules::{Attribute, Direction, FeedRule, RuleSubject};
use super::words::{Hashtag, speaks_of};
use crate::id::{IdentityId, PlaceId, PostId};
use crate::time::Timestamp;

/// What each signal can add to a score. A signal is between 0 and 1.
pub const FEED_WEIGHTS: [(Signal, f64); 5] = [
    (Signal::Fresh, 0.35),
    (Signal::Liked, 0.30),
    (Signal::Followed, 0.15),
    (Signal::AuthorYouLike, 0.10),
    (Signal::TagsYouLike, 0.10),
];
/// What one of the viewer's own rules adds, or takes away.
pub const RULE_WEIGHT: f64 = 0.5;
/// What each better post of the same author takes from the next, for variety.
pub const VARIETY_WEIGHT: f64 = 0.12;
/// After this long a post is half as fresh.
const HALF_LIFE: Duration = Duration::from_secs(86_400);
/// One doubling of what people do with a post is worth so much youth.
const HEAT_OF_A_DOUBLING: Duration = Duration::from_secs(12 * 3_600);

/// What speaks for a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// It is new: 1 now, one half after a day.
    Fresh,
    /// People like it, write below it, make something from it: `n / (n + 10)`, a comment counting twice, a remix thrice.
    Liked,
    /// The viewer follows its author.
    Followed,
    /// The viewer lately liked posts of its author: `n / (n + 3)`.
    AuthorYouLike,
    /// The viewer lately liked posts with its hashtags: `n / (n + 5)`.
    TagsYouLike,
}

/// What counts of what people did with a post.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Engagement {
    /// Likes.
    pub likes: u64,
    /// Comments.
    pub comments: u64,
    /// Published remixes.
    pub remixes: u64,
}

/// A post that may stand in the feed, with what is known of it. The viewer sees it and has not muted its author.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Which post.
    pub post: PostId,
    /// Where it stands by time.
    pub place: PlaceId,
    /// Whose.
    pub author: IdentityId,
    /// How they are called.
    pub handle: Handle,
    /// When it was published.
    pub published_at: Timestamp,
    /// What people did with it.
    pub engagement: Engagement,
    /// Whether the viewer follows its author.
    pub followed: bool,
    /// How many posts of its author are among those that the viewer lately liked.
    pub author_likes: u32,
    /// How many posts with one of its hashtags are among those that the viewer lately liked.
    pub tag_likes: u32,
    /// Caption and, if the viewer reads it, prompt.
    pub words: String,
    /// Hashtags.
    pub tags: Vec<Hashtag>,
    /// How the clip is.
    pub attributes: Vec<Attribute>,
}

/// Why a post stands where it does, for «why this?».
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// What.
    pub cause: Cause,
    /// What it adds to the score, or takes away.
    pub amount: f64,
}

/// What moves a post up or down.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// A signal with its published weight.
    Signal(Signal),
    /// A rule of the viewer.
    Rule(FeedRule),
    /// Better posts of the same author stand in the feed.
    Variety,
}

/// A post with its place in the feed.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Which post.
    pub post: PostId,
    /// The sum of the reasons.
    pub score: f64,
    /// Why, what weighs most first; what adds nothing is left out.
    pub reasons: Vec<Reason>,
}

/// Orders candidates. What a rule never wants is left out. With personalisation off, only what is the same for everyone counts, and the
/// rules, which the viewer wrote. The order of the candidates does not matter; of equals the newer comes first.
pub fn rank_feed(candidates: &[Candidate], rules: &[FeedRule], personalised: bool, now: Timestamp) -> Vec<Ranked> {
    let mut scored: Vec<(&Candidate, Ranked)> = candidates
        .iter()
        .filter(|candidate| !rules.iter().any(|rule| rule.direction == Direction::Never && rule.is_about(candidate)))
        .map(|candidate| (candidate, candidate.score(rules, personalised, now)))
        .collect();
    let sort = |scored: &mut Vec<(&Candidate, Ranked)>| {
        scored.sort_by(|(a, left), (b, right)| right.score.total_cmp(&left.score).then(b.place.cmp(&a.place)));
    };
    sort(&mut scored);
    let mut better: HashMap<IdentityId, u32> = HashMap::new();
    for (candidate, ranked) in &mut scored {
        let count = better.entry(candidate.author).or_default();
        if *count > 0 {
            let amount = -VARIETY_WEIGHT * f64::from(*count);
            ranked.score += amount;
            ranked.reasons.push(Reason { cause: Cause::Variety, amount });
        }
        *count += 1;
    }
    sort(&mut scored);
    scored.into_iter().map(|(_, ranked)| ranked.with_reasons_in_order()).collect()
}

impl Candidate {
    fn score(&self, rules: &[FeedRule], personalised: bool, now: Timestamp) -> Ranked {
        let half_lives = now.since(self.published_at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        let share = |count: f64, half: f64| count / (count + half);
        let value = |signal| match signal {
            Signal::Fresh => (-half_lives).exp2(),
            Signal::Liked => share(self.engagement.weight(), 10.0),
            _ if !personalised => 0.0,
            Signal::Followed => f64::from(u8::from(self.followed)),
            Signal::AuthorYouLike => share(f64::from(self.author_likes), 3.0),
            Signal::TagsYouLike => share(f64::from(self.tag_likes), 5.0),
        };
        let signals = FEED_WEIGHTS
            .iter()
            .map(|(signal, weight)| Reason { cause: Cause::Signal(*signal), amount: weight * value(*signal) });
        let wishes = rules.iter().filter(|rule| rule.is_about(self)).map(|rule| {
            let amount = if rule.direction == Direction::More { RULE_WEIGHT } else { -RULE_WEIGHT };
            Reason { cause: Cause::Rule(rule.clone()), amount }
        });
        let reasons: Vec<Reason> = signals.chain(wishes).filter(|reason| reason.amount != 0.0).collect();
        Ranked { post: self.post, score: reasons.iter().map(|reason| reason.amount).sum(), reasons }
    }
}

impl Ranked {
    fn with_reasons_in_order(mut self) -> Self {
        self.reasons.sort_by(|a, b| b.amount.abs().total_cmp(&a.amount.abs()));
        self
    }
}

impl FeedRule {
    /// Whether a post is what the rule speaks of.
    pub fn is_about(&self, candidate: &Candidate) -> bool {
        match &self.subject {
            RuleSubject::Words(words) => {
                speaks_of(&candidate.words, words.as_str())
                    || candidate.tags.iter().any(|tag| speaks_of(tag.as_str(), words.as_str()))
            }
            RuleSubject::Hashtag(tag) => candidate.tags.contains(tag),
            RuleSubject::Person(handle) => candidate.handle == *handle,
            RuleSubject::Attribute(attribute) => candidate.attributes.contains(attribute),
        }
    }
}

impl Engagement {
    /// Likes once, comments twice, remixes three times: making counts for most.
    #[expect(clippy::cast_precision_loss, reason = "nobody sees the difference above 2⁵³")]
    pub fn weight(self) -> f64 {
        let weighted = self.comments.saturating_mul(2).saturating_add(self.remixes.saturating_mul(3));
        self.likes.saturating_add(weighted) as f64
    }

    /// A number that orders posts by youth and liking together and changes only when someone does something: each doubling counts as
    /// twelve hours. The feed's candidates are the warmest.
    #[expect(clippy::cast_possible_truncation, reason = "a logarithm of a 64-bit number times half a day fits")]
    pub fn heat(self, published_at: Timestamp) -> i64 {
        let doublings = (1.0 + self.weight()).log2();
        published_at.micros().saturating_add((doublings * HEAT_OF_A_DOUBLING.as_secs_f64() * 1e6) as i64)
    }
}

impl Attribute {
    /// How a clip of this length and size is.
    pub fn of(seconds: u32, width: u32, height: u32, is_remix: bool) -> Vec<Self> {
        let shape = match width.cmp(&height) {
            std::cmp::Ordering::Less => Self::Portrait,
            std::cmp::Ordering::Equal => Self::Square,
            std::cmp::Ordering::Greater => Self::Landscape,
        };
        let length = match seconds {
            0..=5 => Some(Self::Short),
            12.. => Some(Self::Long),
            _ => None,
        };
        [Some(shape), length, is_remix.then_some(Self::Remix)].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rules::read_feed_rules;
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn candidate(at: u8, author: u8, age_hours: u64, likes: u64) -> Candidate {
        let published_at = NOW - Duration::from_secs(age_hours * 3600);
        Candidate {
            post: PostId::new(published_at, [at; 8]),
            place: PlaceId::new(published_at, [at; 8]),
            author: IdentityId::new(NOW, [author; 8]),
            handle: Handle::parse(&format!("person{author}")).unwrap(),
            published_at,
            engagement: Engagement { likes, ..Engagement::default() },
            followed: false,
            author_likes: 0,
            tag_likes: 0,
            words: format!("a red boat number{at}"),
            tags: Vec::new(),
            attributes: Attribute::of(4, 1280, 720, false),
        }
    }

    fn order(candidates: &[Candidate], rules: &str, personalised: bool) -> Vec<PostId> {
        let rules = read_feed_rules(rules).rules;
        rank_feed(candidates, &rules, personalised, NOW).into_iter().map(|ranked| ranked.post).collect()
    }

    #[test]
    fn the_weights_are_shares_of_one() {
        let sum: f64 = FEED_WEIGHTS.iter().map(|(_, weight)| weight).sum();
        assert!((sum - 1.0).abs() < 1e-12);
    }

    #[test]
    fn rules_move_posts_and_say_so() {
        let posts = [candidate(1, 1, 1, 9), candidate(2, 2, 2, 0), candidate(3, 3, 3, 0)];
        let [first, second, third] = [posts[0].post, posts[1].post, posts[2].post];
        assert_eq!(order(&posts, "", true), [first, second, third]);
        assert_eq!(order(&posts, "more number3", true), [third, first, second]);
        assert_eq!(order(&posts, "never number1, less from @person2", true), [third, second]);
        assert_eq!(order(&posts, "no landscape clips", true), []);
        let rules = read_feed_rules("more number3").rules;
        let ranked = rank_feed(&posts, &rules, true, NOW);
        assert_eq!(ranked[0].reasons[0], Reason { cause: Cause::Rule(rules[0].clone()), amount: RULE_WEIGHT });
    }

    #[test]
    fn personalisation_off_is_the_same_for_everyone() {
        let mut posts = [candidate(1, 1, 1, 0), candidate(2, 2, 2, 0)];
        let plain = order(&posts, "", false);
        (posts[1].followed, posts[1].author_likes, posts[1].tag_likes) = (true, 9, 9);
        assert_eq!(order(&posts, "", false), plain);
        assert_ne!(order(&posts, "", true), plain);
    }

    #[test]
    fn one_author_does_not_fill_the_feed() {
        let mut posts: Vec<Candidate> = (0..4).map(|at| candidate(at, 1, 1, 10)).collect();
        posts.push(candidate(9, 2, 6, 5));
        assert_eq!(order(&posts, "", true).iter().position(|post| *post == posts[4].post), Some(1));
    }

    fn worlds() -> impl Strategy<Value = Vec<Candidate>> {
        proptest::collection::vec((0_u8..4, 0_u64..200, 0_u64..50, any::<bool>(), 0_u32..5), 1..20).prop_map(|posts| {
            let make = |(at, (author, age, likes, followed, author_likes)): (usize, (u8, u64, u64, bool, u32))| {
                Candidate { followed, author_likes, ..candidate(u8::try_from(at).unwrap(), author, age, likes) }
            };
            posts.into_iter().enumerate().map(make).collect()
        })
    }

    proptest! {
        #[test]
        fn the_order_of_candidates_does_not_matter(posts in worlds(), turn in 0_usize..20) {
            let mut turned = posts.clone();
            turned.rotate_left(turn % posts.len());
            turned.reverse();
            let rules = read_feed_rules("more number3, less @person1").rules;
            prop_assert_eq!(rank_feed(&posts, &rules, true, NOW), rank_feed(&turned, &rules, true, NOW));
        }

        #[test]
        fn what_speaks_for_a_post_never_moves_it_down(posts in worlds(), which in 0_usize..20, how in 0_usize..5) {
            let which = which % posts.len();
            let place = |posts: &[Candidate]| order(posts, "", true).iter().position(|post| *post == posts[which].post);
            let before = place(&posts);
            let mut better = posts.clone();
            let post = &mut better[which];
            match how {
                0 => post.engagement.likes += 5,
                1 => post.followed = true,
                2 => post.author_likes += 2,
                3 => post.tag_likes += 2,
                _ => post.published_at = NOW,
            }
            prop_assert!(place(&better) <= before);
        }

        #[test]
        fn a_score_is_the_sum_of_its_reasons(posts in worlds()) {
            for ranked in rank_feed(&posts, &read_feed_rules("more boats, less number2").rules, true, NOW) {
                let sum: f64 = ranked.reasons.iter().map(|reason| reason.amount).sum();
                prop_assert!((sum - ranked.score).abs() < 1e-9);
            }
        }

        #[test]
        fn heat_grows_with_both(likes in 0_u64..1_000_000, more in 1_u64..100, at in 0_i64..2_000_000_000) {
            let heat = |likes, at| Engagement { likes, ..Engagement::default() }.heat(Timestamp::from_seconds(at));
            prop_assert!(heat(likes + more, at) >= heat(likes, at));
            prop_assert!(heat(likes, at + 1) > heat(likes, at));
        }
    }
}
