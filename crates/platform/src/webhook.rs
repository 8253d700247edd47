//! Webhooks: what is said, how it is signed, when it is said again.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::id::{BatchId, EventId, VideoId};
use crate::time::Timestamp;

/// What can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// A clip is there.
    VideoCompleted,
    /// A clip cannot be made, or was cancelled.
    VideoFailed,
    /// All of a batch has ended.
    BatchCompleted,
    /// A batch could not be read.
    BatchFailed,
    /// A batch ran out of time.
    BatchExpired,
    /// A batch was cancelled.
    BatchCancelled,
}

/// One event. Its id follows from what happened, so telling it twice is telling the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The `webhook-id`.
    pub id: EventId,
    /// What happened.
    pub event_type: EventType,
    /// To what.
    pub subject: EventSubject,
    /// When.
    pub at: Timestamp,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventSubject {
    /// A video.
    Video(VideoId),
    /// A batch.
    Batch(BatchId),
}

/// An endpoint's secret: `whsec_` and base64 of 32 bytes. `Debug` prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret([u8; 32]);

impl EventType {
    /// Every type.
    pub const ALL: [Self; 6] = [
        Self::VideoCompleted,
        Self::VideoFailed,
        Self::BatchCompleted,
        Self::BatchFailed,
        Self::BatchExpired,
        Self::BatchCancelled,
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VideoCompleted => "video.completed",
            Self::VideoFailed => "video.failed",
            Self::BatchCompleted => "batch.completed",
            Self::BatchFailed => "batch.failed",
            Self::BatchExpired => "batch.expired",
            Self::BatchCancelled => "batch.cancelled",
        }
    }

    /// The type of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event_type| event_type.as_str() == word)
    }
}

impl Event {
    /// What happened to a video.
    pub fn of_video(video: VideoId, event_type: EventType, at: Timestamp) -> Self {
        let id = EventId::derived(video.bytes(), event_type.as_str());
        Self { id, event_type, subject: EventSubject::Video(video), at }
    }

    /// What happened to a batch.
    pub fn of_batch(batch: BatchId, event_type: EventType, at: Timestamp) -> Self {
        let id = EventId::derived(batch.bytes(), event_type.as_str());
        Self { id, event_type, subject: EventSubject::Batch(batch), at }
    }

    /// The body of the delivery, JSON; the same bytes every time.
    pub fn body(&self) -> String {
        let subject = match self.subject {
            EventSubject::Video(video) => video.to_string(),
            EventSubject::Batch(batch) => batch.to_string(),
        };
        // No value here has a character that JSON escapes.
        format!(
            r#"{{"id":"{}","object":"event","created_at":{},"type":"{}","data":{{"id":"{subject}"}}}}"#,
            self.id,
            self.at.seconds(),
            self.event_type.as_str(),
        )
    }
}

impl WebhookSecret {
    /// A secret from 32 random bytes.
    pub fn new(entropy: [u8; 32]) -> Self {
        Self(entropy)
    }

    /// The secret as a row holds it. Rows hold it in clear or sealed, as `store` is told.
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// The text to show once.
    pub fn reveal(&self) -> String {
        format!("whsec_{}", STANDARD.encode(self.0))
    }

    /// What lists show: the last four characters.
    pub fn hint(&self) -> String {
        let text = self.reveal();
        format!("whsec_…{}", &text[text.len() - 4..])
    }

    /// The value of `webhook-signature` for one delivery at one moment: `v1,` and base64.
    ///
    /// Source: Standard Webhooks 1.0, "Signature scheme".
    pub fn signature(&self, id: &str, sent_at: Timestamp, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{}.", sent_at.seconds()).as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret")
    }
}

/// How long deliveries are tried.
pub const DELIVERY_WINDOW: Duration = Duration::from_secs(72 * 3600);

/// When to send again after so many failed attempts, the first of which counts as 1; nothing once 72 hours have
/// passed since the event.
pub fn next_delivery(event_at: Timestamp, failed_attempts: u32, now: Timestamp) -> Option<Timestamp> {
    const PAUSES_SECONDS: [u64; 10] = [5, 30, 120, 600, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 12 * 3600];
    let pause = PAUSES_SECONDS[usize::try_from(failed_attempts.saturating_sub(1)).unwrap_or(usize::MAX).min(9)];
    let then = now + Duration::from_secs(pause);
    (then <= event_at + DELIVERY_WINDOW).then_some(then)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_what_clients_know() {
        let video = VideoId::from_bytes([0; 16]);
        let event = Event::of_video(video, EventType::VideoCompleted, Timestamp::from_seconds(1_758_941_485));
        let expected = format!(
            r#"{{"id":"{}","object":"event","created_at":1758941485,"type":"video.completed","data":{{"id":"{video}"}}}}"#,
            event.id
        );
        assert_eq!(event.body(), expected);
    }

    #[test]
    fn a_signature_is_the_standards() {
        // The key and the expected value were computed with Python's hmac.
        let secret = WebhookSecret::new(*b"0123456789abcdef0123456789abcdef");
        assert_eq!(secret.reveal(), "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
        let signature = secret.signature("evt_1", Timestamp::from_seconds(1_758_941_485), b"{}");
        assert_eq!(signature, "v1,Va94pa9qd6DVhnbwbVxn7bD1NASJY066IMP7Gpo9g+U=");
    }

    #[test]
    fn deliveries_grow_rarer_and_end_after_72_hours() {
        let start = Timestamp::from_seconds(0);
        let (mut now, mut failed, mut last) = (start, 1, Duration::ZERO);
        while let Some(then) = next_delivery(start, failed, now) {
            assert!(then.since(now) >= last);
            (last, now, failed) = (then.since(now), then, failed + 1);
        }
        assert!(now.since(start) > Duration::from_secs(60 * 3600));
        assert!((12..20).contains(&failed), "{failed}");
    }
}
