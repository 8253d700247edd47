//! What is asked whether something may be made: the built-in rules, the registry of rights, and the owner's moderation service if there is
//! one. Every text that is drawn from or shown to others passes here, and the pictures that a service can see.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use platform::policy::{Category, Context, Finding, Policy, Rights, RightsUse, Sentence, Stage, Subject, Verdict};
use platform::{DecidedRule, Timestamp};
use serde::Deserialize;
use serde_json::json;
use store::{Store, StoreError};

use crate::owners_service::OwnersService;

/// How long the registry is believed before it is read again.
const RIGHTS_FOR: Duration = Duration::from_secs(2);
/// A text of more bytes is read in a thread of its own: that takes longer than others should wait.
const LONG_TEXT: usize = 200;

/// The owner's moderation service: one that answers `POST /v1/moderations` in the API's shape.
#[derive(Clone, PartialEq, Eq)]
pub struct ModerationPlace {
    /// The whole address.
    pub url: String,
    /// Sent as a bearer.
    pub key: Option<String>,
    /// The model that is named in requests, if one is.
    pub model: Option<String>,
    /// How long it may take.
    pub timeout: Duration,
    /// Whether requests pass when it does not answer. Otherwise they are refused, which is the default.
    pub fails_open: bool,
}

impl std::fmt::Debug for ModerationPlace {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModerationPlace({}, fails_open: {})", self.url, self.fails_open)
    }
}

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Words.
    Text(String),
    /// A PNG.
    Picture(Bytes),
}

/// Looks at words and pictures and says which of the API's categories they meet.
pub trait ModerationService: Send + Sync {
    /// What it says of all of these together.
    ///
    /// # Errors
    /// [`NoAnswer`] if it could not be said.
    fn look<'a>(&'a self, shown: &'a [Shown]) -> BoxFuture<'a, Result<Opinion, NoAnswer>>;
}

/// What a moderation service says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opinion {
    /// Whether it speaks against what it saw.
    pub flagged: bool,
    /// For which of the API's categories; none if it has other words.
    pub categories: Vec<Category>,
}

/// A moderation service did not answer, in words for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the moderation service {0}")]
pub struct NoAnswer(pub String);

/// Why it is not known whether something may be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JudgeError {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Speaks to a [`ModerationPlace`].
#[derive(Debug)]
pub struct HttpModeration {
    service: OwnersService,
    model: Option<String>,
}

/// Judges. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Judge(Arc<Bench>);

struct Bench {
    store: Store,
    service: Option<Arc<dyn ModerationService>>,
    fails_open: bool,
    rights: RwLock<Option<(Timestamp, Arc<Rights>)>>,
}

impl Judge {
    /// A judge by the built-in rules, the registry of this store, and the service if the owner named one.
    pub(crate) fn new(store: Store, place: Option<ModerationPlace>) -> Self {
        let fails_open = place.as_ref().is_some_and(|place| place.fails_open);
        let service = place.map(|place| Arc::new(HttpModeration::new(place)) as Arc<dyn ModerationService>);
        Self(Arc::new(Bench { store, service, fails_open, rights: RwLock::default() }))
    }

    /// Whether pictures are looked at by anyone.
    pub(crate) fn sees_pictures(&self) -> bool {
        self.0.service.is_some()
    }

    /// What speaks against a text.
    pub(crate) async fn text(
        &self,
        stage: Stage,
        reach: RightsUse,
        text: &str,
        now: Timestamp,
    ) -> Result<Verdict, JudgeError> {
        let rights = self.rights(now).await?;
        let judge = move |text: &str| {
            let context = Context { rights: &rights, reach, at: now };
            Policy::built_in().judge(stage, text, &context)
        };
        let verdict = if text.len() <= LONG_TEXT {
            judge(text)
        } else {
            let text = text.to_owned();
            let judged = tokio::task::spawn_blocking(move || judge(&text)).await;
            judged.map_err(|_| NoAnswer("of this program itself failed".into()))?
        };
        if !verdict.is_allowed() {
            return Ok(verdict);
        }
        Ok(verdict.and(self.of_service(&[Shown::Text(text.to_owned())]).await?))
    }

    /// What the owner's service has against a picture; nothing if there is none.
    pub(crate) async fn picture(&self, png: Bytes) -> Result<Verdict, JudgeError> {
        Ok(Verdict::default().and(self.of_service(&[Shown::Picture(png)]).await?))
    }

    /// The registry was changed here, so it is read again.
    pub(crate) fn forget_rights(&self) {
        *self.0.rights.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn of_service(&self, shown: &[Shown]) -> Result<Vec<Finding>, NoAnswer> {
        let Some(service) = &self.0.service else { return Ok(Vec::new()) };
        match service.look(shown).await {
            Ok(opinion) if !opinion.flagged => Ok(Vec::new()),
            Ok(opinion) if opinion.categories.is_empty() => Ok(vec![of_service(None)]),
            Ok(opinion) => Ok(opinion.categories.into_iter().map(|category| of_service(Some(category))).collect()),
            Err(error) if self.0.fails_open => {
                tracing::warn!(%error, "passed without its word");
                Ok(Vec::new())
            }
            Err(error) => {
                tracing::error!(%error, "refused for want of its word");
                Err(error)
            }
        }
    }

    async fn rights(&self, now: Timestamp) -> Result<Arc<Rights>, StoreError> {
        let known = self.0.rights.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, rights)) = known
            && at <= now
            && now.since(at) < RIGHTS_FOR
        {
            return Ok(rights);
        }
        let rights = Arc::new(Rights::new(self.0.store.standing_rights(now).await?));
        *self.0.rights.write().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&rights)));
        Ok(rights)
    }
}

/// What a decision says that follows a finding: its ground, and its rule.
pub(crate) fn decided_by(finding: &Finding) -> (String, DecidedRule) {
    let ground = finding.category.map_or(finding.subject.as_str(), Category::as_str).to_owned();
    (ground, DecidedRule { id: finding.rule.clone(), version: finding.version.to_string() })
}

/// What a service found, as a finding: it names no rule, so its category is the rule.
fn of_service(category: Option<Category>) -> Finding {
    let word = category.map_or("other", Category::as_str);
    Finding {
        rule: format!("service.{}", word.replace('/', "-")),
        version: 1,
        subject: category.map_or(Subject::Other, Category::subject),
        category,
        text: Sentence {
            en: format!("The moderation service of this place found: {word}."),
            ja: format!("この場所の審査サービスが次の内容を見つけました: {word}。"),
        },
        advice: Sentence {
            en: "Leave that out, or contest the decision if it is wrong.".into(),
            ja: "その部分を除くか、誤りであれば異議を申し立ててください。".into(),
        },
        entry: None,
    }
}

/// An answer in the API's shape, as far as it is read.
#[derive(Deserialize)]
struct Answer {
    results: Vec<AnswerResult>,
}

#[derive(Deserialize)]
struct AnswerResult {
    flagged: bool,
    #[serde(default)]
    categories: std::collections::BTreeMap<String, bool>,
}

impl HttpModeration {
    /// A client of the service at a place.
    pub fn new(place: ModerationPlace) -> Self {
        Self { service: OwnersService::new(place.url, place.key, place.timeout), model: place.model }
    }

    async fn ask(&self, shown: &[Shown]) -> Result<Opinion, NoAnswer> {
        let input: Vec<_> = shown
            .iter()
            .map(|shown| match shown {
                Shown::Text(text) => json!({ "type": "text", "text": text }),
                Shown::Picture(png) => {
                    let url = format!("data:image/png;base64,{}", STANDARD.encode(png));
                    json!({ "type": "image_url", "image_url": { "url": url } })
                }
            })
            .collect();
        let mut body = json!({ "input": input });
        if let Some(model) = &self.model {
            body["model"] = json!(model);
        }
        let bytes = self.service.ask(&body).await.map_err(NoAnswer)?;
        let unreadable = |what: &str| NoAnswer(format!("answered with {what}"));
        let answer: Answer =
            serde_json::from_slice(&bytes).map_err(|_| unreadable("something that is no moderation"))?;
        if answer.results.is_empty() {
            return Err(unreadable("no result"));
        }
        let flagged: Vec<_> = answer.results.iter().filter(|result| result.flagged).collect();
        let met =
            |category: &Category| flagged.iter().any(|result| result.categories.get(category.as_str()) == Some(&true));
        Ok(Opinion { flagged: !flagged.is_empty(), categories: Category::ALL.into_iter().filter(met).collect() })
    }
}

impl ModerationService for HttpModeration {
    fn look<'a>(&'a self, shown: &'a [Shown]) -> BoxFuture<'a, Result<Opinion, NoAnswer>> {
        Box::pin(self.ask(shown))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A service on this machine that answers once. What it was asked comes back.
    async fn service(status: u16, answer: String) -> (ModerationPlace, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1/moderations", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                let read = stream.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| {
                    line.to_lowercase().strip_prefix("content-length: ").and_then(|length| length.parse().ok())
                });
                if read == 0 || length.is_some_and(|length: usize| body.len() >= length) {
                    break;
                }
            }
            let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            String::from_utf8(request).unwrap()
        });
        let place = ModerationPlace {
            url,
            key: Some("secret".into()),
            model: Some("watchful-1".into()),
            timeout: Duration::from_secs(20),
            fails_open: false,
        };
        (place, asked)
    }

    fn answer(flagged: bool, categories: serde_json::Value) -> String {
        json!({ "id": "modr-1", "model": "m", "results": [{ "flagged": flagged, "categories": categories,
                "category_scores": {} }] })
        .to_string()
    }

    async fn asked(status: u16, text: String) -> (Result<Opinion, NoAnswer>, String) {
        let (place, asked) = service(status, text).await;
        let shown = [Shown::Text("a red boat".into()), Shown::Picture(Bytes::from_static(b"png"))];
        let said = HttpModeration::new(place).look(&shown).await;
        (said, asked.await.unwrap())
    }

    #[tokio::test]
    async fn a_service_is_asked_in_the_apis_shape() {
        let (said, request) = asked(200, answer(true, json!({ "violence": true, "sexual": false }))).await;
        assert_eq!(said, Ok(Opinion { flagged: true, categories: vec![Category::Violence] }));
        assert!(request.starts_with("POST /v1/moderations HTTP/1.1\r\n"), "{request}");
        assert!(request.to_lowercase().contains("authorization: bearer secret"), "{request}");
        let body: serde_json::Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        let picture = json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,cG5n" } });
        let text = json!({ "type": "text", "text": "a red boat" });
        assert_eq!(body, json!({ "input": [text, picture], "model": "watchful-1" }));
    }

    #[tokio::test]
    async fn what_is_flagged_for_nothing_known_is_flagged() {
        let check = async |flagged, categories| {
            let (said, _) = asked(200, answer(flagged, categories)).await;
            assert_eq!(said, Ok(Opinion { flagged, categories: Vec::new() }));
        };
        check(true, json!({ "gambling": true })).await;
        check(false, json!({})).await;
        assert_eq!(of_service(None).rule, "service.other");
    }

    #[tokio::test]
    async fn an_answer_that_is_none_is_no_answer() {
        for (status, text) in [
            (500, answer(false, json!({}))),
            (302, String::new()),
            (200, "hello".into()),
            (200, json!({ "results": [] }).to_string()),
            (200, "x".repeat(crate::owners_service::MAX_ANSWER_BYTES + 1)),
        ] {
            let (said, _) = asked(status, text).await;
            assert!(said.is_err(), "{said:?}");
        }
    }

    #[tokio::test]
    async fn it_fails_closed_or_open_as_the_owner_said() {
        let store = Store::open("sqlite::memory:").await.unwrap();
        store.migrate().await.unwrap();
        // Nothing listens on this port.
        let place = |fails_open| ModerationPlace {
            url: "http://127.0.0.1:9/v1/moderations".into(),
            key: None,
            model: None,
            timeout: Duration::from_secs(20),
            fails_open,
        };
        let now = Timestamp::from_seconds(1_790_000_000);
        let judge = |fails_open| {
            let judge = Judge::new(store.clone(), Some(place(fails_open)));
            async move { judge.text(Stage::Prompt, RightsUse::Prompts, "a red boat", now).await }
        };
        assert!(matches!(judge(false).await, Err(JudgeError::NoAnswer(_))));
        assert!(judge(true).await.unwrap().is_allowed());
        // What the built-in rules refuse needs no service.
        let closed = Judge::new(store.clone(), Some(place(false)));
        let verdict = closed.text(Stage::Prompt, RightsUse::Prompts, "hardcore porn", now).await.unwrap();
        assert_eq!(verdict.first().unwrap().rule, "sexual.explicit");
    }
}
