//! What pages say, in each language: one file a language, one line a message. A message that is missing fails a test.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::LazyLock;

use axum::http::{HeaderMap, header};

use crate::http::error::ApiError;

/// The messages of one language.
#[derive(Debug)]
pub(super) struct Words {
    tag: &'static str,
    messages: HashMap<&'static str, &'static str>,
}

/// The cookie in which someone's choice is kept.
pub(super) const COOKIE: &str = "misora_language";

static LANGUAGES: LazyLock<[Words; 2]> = LazyLock::new(|| {
    [Words::read("en", include_str!("words/en.txt")), Words::read("ja", include_str!("words/ja.txt"))]
});

impl Words {
    fn read(tag: &'static str, text: &'static str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let messages = lines.filter_map(|line| line.split_once('=')).map(|(key, words)| (key.trim(), words.trim()));
        Self { tag, messages: messages.collect() }
    }

    /// The languages that there are: tag, and what the language calls itself.
    pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
        LANGUAGES.iter().map(|words| (words.tag, words.say("language.name")))
    }

    /// The language that a browser asks for: the choice that was kept, else the first that it would like and that is there.
    pub(super) fn preferred(headers: &HeaderMap) -> &'static Self {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let kept = pairs.find(|(name, _)| *name == COOKIE).and_then(|(_, tag)| Self::of(tag));
        let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or("");
        kept.or_else(|| wanted(accepted).into_iter().find_map(Self::of)).unwrap_or(&LANGUAGES[0])
    }

    /// The language of a tag such as `ja` or `ja-JP`.
    pub(super) fn of(tag: &str) -> Option<&'static Self> {
        let first = tag.split('-').next().unwrap_or("");
        LANGUAGES.iter().find(|words| words.tag.eq_ignore_ascii_case(first))
    }

    /// The language of whatever is nowhere else.
    pub(super) fn first() -> &'static Self {
        &LANGUAGES[0]
    }

    /// The language's tag.
    pub(super) fn tag(&self) -> &'static str {
        self.tag
    }

    /// A message. One that is missing here is taken from the first language; one that is nowhere shows its key.
    pub(super) fn say(&self, key: &str) -> &'static str {
        self.known(key).unwrap_or_else(|| {
            tracing::warn!(key, "a message is missing");
            "…"
        })
    }

    /// A message that may be missing: the words of whatever has no end of kinds.
    pub(super) fn known(&self, key: &str) -> Option<&'static str> {
        self.messages.get(key).or_else(|| LANGUAGES[0].messages.get(key)).copied()
    }

    /// A message with things in place of each `{}`.
    pub(super) fn fill(&self, key: &str, things: &[&dyn Display]) -> String {
        let mut parts = self.say(key).split("{}");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for (thing, part) in things.iter().zip(parts) {
            text.push_str(&thing.to_string());
            text.push_str(part);
        }
        text
    }

    /// What went wrong: the words for its code and its field or topic, else those for its code. In them `{field}` is the field's name,
    /// `{wait}` the minutes to wait, and `{message}` the API's own sentence, which is English.
    pub(super) fn error(&self, error: &ApiError) -> String {
        let code = error.code().unwrap_or("bad_request");
        let about = [error.param(), error.topic()];
        let finer = about.iter().flatten().map(|about| format!("error.{code}.{about}"));
        let mut keys = finer.chain([format!("error.{code}"), "error.other".to_owned()]);
        let words = keys.find_map(|key| self.messages.get(key.as_str()).copied()).unwrap_or("{message}");
        let field = error.param().and_then(|param| self.messages.get(format!("field.{param}").as_str()).copied());
        let minutes = error.retry_after().map_or(1, |wait| wait.as_secs().div_ceil(60));
        words
            .replace("{field}", field.unwrap_or_else(|| self.say("field.other")))
            .replace("{wait}", &minutes.to_string())
            .replace("{message}", error.message())
    }
}

/// The tags of `Accept-Language`, the dearest first.
fn wanted(header: &str) -> Vec<&str> {
    let mut tags: Vec<(&str, f32)> = header
        .split(',')
        .map(|part| {
            let (tag, weight) = part.split_once(';').unwrap_or((part, ""));
            let weight = weight.trim().strip_prefix("q=").and_then(|text| text.parse().ok()).unwrap_or(1.0);
            (tag.trim(), weight)
        })
        .collect();
    tags.sort_by(|a, b| b.1.total_cmp(&a.1));
    tags.into_iter().map(|(tag, _)| tag).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// All keys that templates and sources ask for.
    fn asked() -> BTreeSet<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut keys = BTreeSet::new();
        for folder in ["templates", "templates/parts", "templates/admin", "src/web"] {
            for file in std::fs::read_dir(root.join(folder)).unwrap() {
                let path = file.unwrap().path();
                if !path.is_file() {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                for start in ["say(\"", "fill(\"", "Shell::new(&app, &visitor, \"", "Shell::new(app, visitor, \""] {
                    for rest in text.split(start).skip(1) {
                        keys.insert(rest.split('"').next().unwrap().to_owned());
                    }
                }
            }
        }
        keys
    }

    #[test]
    fn every_message_is_there_in_every_language_and_no_other() {
        let asked = asked();
        assert!(asked.len() > 100, "{}", asked.len());
        let dynamic = [
            "class.",
            "decision.",
            "archive.is_",
            "ask.candidates_",
            "audience.",
            "capture.refused_",
            "letter.",
            "limit.",
            "puppet.",
            "review.point_",
            "turn.",
            "use.",
            "error.",
            "feed.",
            "keeps.",
            "moderation.withhold_",
            "field.",
            "kind.",
            "notice.",
            "notices.",
            "reason.",
            "report.what_",
            "rights.",
            "role.",
            "rule.",
            "service.",
            "shape.",
            "stage.",
            "state.",
            "sunset.",
            "takedown.",
            "topic.",
            "transparency.",
            "vis.",
            "why.",
        ];
        let first: BTreeSet<_> = LANGUAGES[0].messages.keys().map(|key| (*key).to_owned()).collect();
        for words in &*LANGUAGES {
            let there: BTreeSet<_> = words.messages.keys().map(|key| (*key).to_owned()).collect();
            let missing: Vec<_> = asked.difference(&there).filter(|key| !key.ends_with('.')).collect();
            assert!(missing.is_empty(), "{}: missing {missing:?}", words.tag);
            let uneven: Vec<_> = first.symmetric_difference(&there).collect();
            assert!(uneven.is_empty(), "{}: not in both {uneven:?}", words.tag);
            let unasked: Vec<_> =
                there.difference(&asked).filter(|key| !dynamic.iter().any(|start| key.starts_with(start))).collect();
            assert!(unasked.is_empty(), "{}: nobody says {unasked:?}", words.tag);
        }
    }

    #[test]
    fn every_class_of_data_has_a_name() {
        let schedule = store::read_schedule(store::DEFAULT_SCHEDULE).unwrap();
        for class in schedule.classes() {
            assert!(Words::first().known(&format!("class.{}", class.name)).is_some(), "{}", class.name);
        }
    }

    #[test]
    fn a_message_has_the_same_places_in_every_language() {
        for (key, english) in &LANGUAGES[0].messages {
            let japanese = LANGUAGES[1].messages.get(key).copied().unwrap_or_default();
            assert_eq!(english.matches("{}").count(), japanese.matches("{}").count(), "{key}");
        }
    }

    /// Every code that an error can have: of the rules, and those that stand in the sources.
    fn codes() -> BTreeSet<String> {
        use platform::{
            GenerationErrorCode, KeyRefusal, MembershipRefusal, RefusalCode, Scope, Service, SignUpRefusal,
        };
        let mut codes: BTreeSet<String> = RefusalCode::ALL.iter().map(|code| code.as_str().to_owned()).collect();
        codes.extend(GenerationErrorCode::ALL.map(|code| code.as_str().to_owned()));
        let service = Service::Video;
        let memberships = [
            MembershipRefusal::NotMember(service),
            MembershipRefusal::Restricted(service),
            MembershipRefusal::Suspended(service),
            MembershipRefusal::Closed(service),
            MembershipRefusal::Retired(service),
        ];
        codes.extend(memberships.map(|refusal| refusal.code().to_owned()));
        let keys = [KeyRefusal::Unknown, KeyRefusal::Address, KeyRefusal::Scope(Scope::VideosRead)];
        codes.extend(keys.map(|refusal| refusal.code().to_owned()));
        let sign_ups = [
            SignUpRefusal::Closed,
            SignUpRefusal::InviteNeeded,
            SignUpRefusal::InviteUnknown,
            SignUpRefusal::InviteExpired,
            SignUpRefusal::InviteUsedUp,
        ];
        codes.extend(sign_ups.map(|refusal| ApiError::from(refusal).code().unwrap().to_owned()));
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for folder in ["src/http", "src/web"] {
            for file in std::fs::read_dir(root.join(folder)).unwrap() {
                let path = file.unwrap().path();
                // This file's own examples are no errors.
                if !path.is_file() || path.ends_with("words.rs") {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let mut starts = vec!["ApiError::forbidden(", "ApiError::token(", "ApiError::retired("];
                if path.ends_with("error.rs") {
                    starts.extend(["StatusCode::UNAUTHORIZED, Some(", "StatusCode::BAD_REQUEST, Some("]);
                    starts.extend(["StatusCode::NOT_FOUND, Some(", "StatusCode::TOO_MANY_REQUESTS, Some("]);
                    starts.extend(["StatusCode::PAYLOAD_TOO_LARGE, Some(", "StatusCode::RANGE_NOT_SATISFIABLE, Some("]);
                    starts
                        .extend(["StatusCode::INTERNAL_SERVER_ERROR, Some(", "StatusCode::METHOD_NOT_ALLOWED, Some("]);
                    starts.push("StatusCode::SERVICE_UNAVAILABLE, Some(");
                }
                for start in starts {
                    for rest in text.split(start).skip(1) {
                        if let Some(rest) = rest.trim_start().strip_prefix('"') {
                            codes.insert(rest.split('"').next().unwrap().to_owned());
                        }
                    }
                }
            }
        }
        codes
    }

    #[test]
    fn no_error_is_told_in_english_to_whoever_reads_another_language() {
        let codes = codes();
        assert!(codes.len() > 45, "{codes:?}");
        for words in LANGUAGES.iter().skip(1) {
            let missing: Vec<_> =
                codes.iter().filter(|code| !words.messages.contains_key(format!("error.{code}").as_str())).collect();
            assert!(missing.is_empty(), "{}: {missing:?}", words.tag);
            for (key, message) in &words.messages {
                assert!(!message.contains("{message}"), "{}: {key} hands on the English sentence", words.tag);
            }
            // Whatever it is about, and however it came to be.
            let sentence = "An English sentence.";
            for error in [
                ApiError::invalid("seconds", sentence),
                ApiError::invalid("never heard of", sentence),
                ApiError::wrong_type("n", "a number"),
                ApiError::bad_request(sentence),
                ApiError::state(sentence),
                ApiError::state(sentence).on("exists handle"),
                ApiError::forbidden("never heard of", sentence),
                ApiError::unavailable(sentence),
                ApiError::posting_limit(platform::Posting::Like, std::time::Duration::from_secs(90)),
                store::StoreError::State { what: "conversation", state: "waiting".into() }.into(),
            ] {
                let told = words.error(&error);
                assert!(!told.contains('{') && !told.contains(error.message()), "{told}");
                assert!(!told.contains("sentence"), "{told}");
            }
        }
    }

    #[test]
    fn an_error_is_told_as_precisely_as_the_language_can() {
        let [english, japanese] = &*LANGUAGES;
        let error = ApiError::invalid("seconds", "Allowed: 4, 8.");
        assert_eq!(english.error(&error), "Allowed: 4, 8.");
        assert_eq!(japanese.error(&error), "「長さ」の値が使えません。");
        let error = ApiError::posting_limit(platform::Posting::Like, std::time::Duration::from_secs(90));
        assert!(english.error(&error).contains("in 2 minutes") && japanese.error(&error).contains("2分後"));
        let taken = ApiError::from(store::StoreError::Exists("handle"));
        assert_ne!(japanese.error(&taken), japanese.error(&ApiError::state("Something else.")));
    }

    #[test]
    fn the_dearest_language_that_is_there_is_taken() {
        let check = |accept: &str, cookie: &str, expected: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, accept.parse().unwrap());
            headers.insert(header::COOKIE, cookie.parse().unwrap());
            assert_eq!(Words::preferred(&headers).tag(), expected, "{accept} {cookie}");
        };
        check("ja-JP,en;q=0.5", "a=b", "ja");
        check("fr, ja;q=0.2, en;q=0.9", "a=b", "en");
        check("fr", "a=b", "en");
        check("en", "a=b; misora_language=ja", "ja");
        check("ja", "misora_language=xx", "ja");
    }
}
