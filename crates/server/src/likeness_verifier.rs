//! A service that looks at captures in the place of a reviewer, if the owner has one. It is sent the challenge, the capture and the still, and
//! answers which points it saw; what it is not sure of waits for a person.
//!
//! `POST URL`, `multipart/form-data` with the parts `challenge` (JSON), `capture` and, if one was taken, `still` (PNG), each with its own
//! `Content-Type`. The answer is JSON: `{"outcome": "approved" | "refused" | "unsure", "name": "…", "seen": ["words", …], "reason": "…"}`.
//! Approved counts only with every point seen.

use std::time::Duration;

use bytes::Bytes;
use platform::hex;
use platform::likeness::REVIEW;
use reqwest::{Client, redirect::Policy};
use serde::Deserialize;
use serde_json::json;
use store::Enrolment;

use crate::app::{App, FetchError};

/// How long it may look.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The longest answer.
const MAX_ANSWER: usize = 100_000;

/// Where the service is.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierPlace {
    /// Its address.
    pub url: String,
    /// What it asks for as a bearer.
    pub token: Option<String>,
}

/// What it said.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Verified {
    /// What it decided.
    pub(crate) outcome: VerifierOutcome,
    /// How it calls itself.
    #[serde(default)]
    pub(crate) name: String,
    /// The points that it saw.
    #[serde(default)]
    pub(crate) seen: Vec<String>,
    /// Why it refused.
    #[serde(default)]
    pub(crate) reason: String,
}

/// What a verifier can decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VerifierOutcome {
    Approved,
    Refused,
    Unsure,
}

impl Verified {
    /// Whether it saw every point and approves.
    pub(crate) fn approves(&self) -> bool {
        let saw = |point: &str| self.seen.iter().any(|seen| seen == point);
        self.outcome == VerifierOutcome::Approved && REVIEW.iter().all(|point| saw(point.as_str()))
    }

    /// The points that it saw, of those that there are.
    pub(crate) fn points(&self) -> Vec<&'static str> {
        let points = REVIEW.iter().map(|point| point.as_str());
        points.filter(|point| self.seen.iter().any(|seen| seen == point)).collect()
    }
}

/// What it looks at.
pub(crate) struct Seen {
    /// The recording.
    pub(crate) capture: Bytes,
    /// The still that was taken with it, a PNG.
    pub(crate) still: Option<Bytes>,
}

/// Asks the service about a capture.
///
/// # Errors
/// [`FetchError`] if it does not answer, or not so.
pub(crate) async fn ask(
    app: &App,
    place: &VerifierPlace,
    enrolment: &Enrolment,
    sentence: &str,
    seen: Seen,
) -> Result<Verified, FetchError> {
    let failed = |error: &dyn std::fmt::Display| FetchError(format!("the verifier did not answer: {error}"));
    let turns: Vec<_> = enrolment.turns.iter().map(|turn| turn.as_str()).collect();
    let challenge = json!({
        "enrolment": enrolment.id.to_string(),
        "language": enrolment.language,
        "sentence": sentence,
        "words": enrolment.words,
        "turns": turns,
    });
    let client = Client::builder().timeout(TIMEOUT).redirect(Policy::none()).no_proxy().build();
    let client = client.map_err(|error| failed(&error))?;
    let kind = enrolment.media_type.clone().unwrap_or_else(|| "application/octet-stream".into());
    let challenge = Bytes::from(challenge.to_string());
    let mut parts = vec![("challenge", "application/json", challenge), ("capture", kind.as_str(), seen.capture)];
    parts.extend(seen.still.map(|still| ("still", "image/png", still)));
    let boundary = boundary(|| app.random(), &parts);
    let mut request = client.post(&place.url).body(form(&boundary, &parts));
    request = request.header("content-type", format!("multipart/form-data; boundary={boundary}"));
    if let Some(token) = &place.token {
        request = request.bearer_auth(token);
    }
    let mut answer = request.send().await.map_err(|error| failed(&error))?;
    if !answer.status().is_success() {
        return Err(failed(&answer.status()));
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| failed(&error))? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_ANSWER {
            return Err(failed(&"its answer is too long"));
        }
    }
    serde_json::from_slice(&body).map_err(|error| failed(&error))
}

/// What parts a form and is in none of its parts. It is drawn once they are all there, and their person never sees it: nobody can write
/// a part into a recording.
fn boundary(draw: impl Fn() -> [u8; 24], parts: &[(&str, &str, Bytes)]) -> String {
    loop {
        let boundary = format!("misora-{}", hex(&draw()));
        let held = |content: &Bytes| content.windows(boundary.len()).any(|piece| piece == boundary.as_bytes());
        if !parts.iter().any(|(_, _, content)| held(content)) {
            return boundary;
        }
    }
}

/// The parts as a form: name, type and content of each.
fn form(boundary: &str, parts: &[(&str, &str, Bytes)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, kind, content) in parts {
        let head = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\ncontent-type: {kind}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    body
}

impl std::fmt::Debug for VerifierPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifierPlace").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_parts_a_form_is_in_none_of_its_parts() {
        let drawn = Cell::new(0);
        let draw = || {
            drawn.set(drawn.get() + 1);
            [drawn.get(); 24]
        };
        let holds = |number: u8| Bytes::from(format!("a\r\n--misora-{}\r\nb", hex(&[number; 24])));
        let parts = [("capture", "video/webm", holds(1)), ("still", "image/png", holds(2))];
        assert_eq!(boundary(draw, &parts), format!("misora-{}", hex(&[3; 24])));
    }

    #[test]
    fn an_approval_says_every_point() {
        let read = |text: &str| serde_json::from_str::<Verified>(text).unwrap();
        let all = r#"{"outcome":"approved","name":"v","seen":["words","turns","live","voice","adult","free","still","more"]}"#;
        assert!(read(all).approves() && read(all).points().len() == 7);
        for text in [
            r#"{"outcome":"approved","seen":["words","turns","live","voice","adult"]}"#,
            r#"{"outcome":"approved","seen":["words","turns","live","voice","adult","free"]}"#,
            r#"{"outcome":"unsure","seen":["words","turns","live","voice","adult","free","still"]}"#,
            r#"{"outcome":"refused","reason":"a mask"}"#,
        ] {
            assert!(!read(text).approves(), "{text}");
        }
        assert!(serde_json::from_str::<Verified>(r#"{"outcome":"yes"}"#).is_err());
    }
}
