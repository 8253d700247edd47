//! A type for every id. All are UUIDv7: made later, sorted later. Their public spelling has a prefix that
//! says what they are; it is made and read here and nowhere else.

use sha2::{Digest, Sha256};

use crate::hex;
use crate::time::Timestamp;

/// A text that is no id of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no id that begins with {prefix:?}")]
pub struct IdError {
    /// What came, at most 80 characters of it.
    pub text: String,
    /// What it should have begun with.
    pub prefix: &'static str,
}

/// 60 bits of time (microseconds to about a quarter), then 62 bits of entropy, with version 7 and variant 2 between them.
fn uuid_v7(now: Timestamp, entropy: [u8; 8]) -> [u8; 16] {
    let micros = u64::try_from(now.micros()).unwrap_or(0);
    let (millis, fraction) = (micros / 1000, (micros % 1000) * 4096 / 1000);
    let high = millis << 16 | 0x7000 | fraction;
    let low = u64::from_be_bytes(entropy) & (u64::MAX >> 2) | 1 << 63;
    (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
}

/// The same id for the same words: time of `base`, entropy from what is said.
fn derived(base: &[u8; 16], words: &str) -> [u8; 16] {
    let digest = Sha256::new().chain_update(base).chain_update(words).finalize();
    let mut bytes = *base;
    bytes[8..].copy_from_slice(&digest[..8]);
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal, check $check:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// How its public spelling begins.
            pub const PREFIX: &str = $prefix;

            /// A new id, from the moment and eight random bytes.
            pub fn new(now: Timestamp, entropy: [u8; 8]) -> Self {
                Self(uuid_v7(now, entropy))
            }

            /// The id that follows from another thing's id and a word: the same every time.
            pub fn derived(base: [u8; 16], word: &str) -> Self {
                Self(derived(&base, word))
            }

            /// The id as a row holds it.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The UUID's sixteen bytes.
            pub const fn bytes(self) -> [u8; 16] {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($prefix)?;
                f.write_str(&hex::encode(&self.0))?;
                if $check {
                    f.write_str(&hex::encode(&check($prefix, &self.0)))?;
                }
                Ok(())
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{self}")
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = || IdError { text: text.chars().take(80).collect(), prefix: $prefix };
                let digits = text.strip_prefix($prefix).filter(|digits| digits.is_ascii()).ok_or_else(error)?;
                let (digits, rest) = digits.split_at_checked(32).ok_or_else(error)?;
                let bytes = hex::decode(digits).ok_or_else(error)?;
                let expected = if $check { hex::encode(&check($prefix, &bytes)) } else { String::new() };
                if rest == expected { Ok(Self(bytes)) } else { Err(error()) }
            }
        }
    )*};
}

/// Eight bytes that follow from the id, so that `video_` ids have the 48 digits that clients know.
fn check(prefix: &str, bytes: &[u8; 16]) -> [u8; 8] {
    let digest = Sha256::new().chain_update(prefix).chain_update(bytes).finalize();
    let mut check = [0; 8];
    check.copy_from_slice(&digest[..8]);
    check
}

ids! {
    /// A person's login.
    IdentityId = "user_", check false;
    /// A generation, and the video it becomes. 48 digits: the UUID, then a check of it.
    VideoId = "video_", check true;
    /// A character: a cut from a video that can appear in others.
    CharacterId = "char_", check false;
    /// An uploaded or produced file.
    FileId = "file-", check false;
    /// A batch of creations.
    BatchId = "batch_", check false;
    /// A webhook event; the same through all deliveries.
    EventId = "evt_", check false;
    /// A project: who pays, whose quota it is.
    ProjectId = "proj_", check false;
    /// A webhook endpoint.
    WebhookEndpointId = "whe_", check false;
    /// An API key; the public part of it.
    ApiKeyId = "key_", check false;
    /// A session of a browser.
    SessionId = "sess_", check false;
    /// A passkey.
    PasskeyId = "passkey_", check false;
    /// A letter on its way.
    LetterId = "letter_", check false;
    /// A line of the ledger.
    LedgerEntryId = "led_", check false;
    /// A decision that limits someone, or its record.
    DecisionId = "dec_", check false;
    /// An entry of the registry of rights.
    RightsId = "rights_", check false;
    /// Someone who speaks for holders of rights.
    RightsAgentId = "agent_", check false;
    /// What a holder of rights asks to have entered.
    RightsRequestId = "rightsreq_", check false;
    /// A post: a clip that its maker shows, or has yet to.
    PostId = "post_", check false;
    /// Where a post stands among all: made when it is published, so lists go by it.
    PlaceId = "at_", check false;
    /// A comment.
    CommentId = "cmt_", check false;
    /// A report.
    ReportId = "rep_", check false;
    /// A conversation of two.
    ConversationId = "conv_", check false;
    /// A message in it.
    MessageId = "msg_", check false;
    /// A notice.
    NoticeId = "ntc_", check false;
    /// A folder of a library.
    FolderId = "folder_", check false;
    /// A receipt of what was erased.
    ReceiptId = "receipt_", check false;
    /// The announced end of a model or a service.
    SunsetId = "sunset_", check false;
    /// An appeal against a decision.
    AppealId = "appeal_", check false;
    /// A notice that something should be taken down.
    TakedownId = "takedown_", check false;
    /// An archive that a person asked for.
    ExportId = "export_", check false;
    /// An archive that a person brings.
    ImportId = "import_", check false;
    /// Where a standing export goes.
    DestinationId = "dest_", check false;
    /// Someone's likeness. It names nobody once the likeness is gone.
    LikenessId = "likeness_", check false;
    /// An enrolment: a challenge, its capture and what was decided.
    EnrolmentId = "enrol_", check false;
    /// A consent, and its signed receipt.
    ConsentId = "consent_", check false;
    /// A use of a likeness, or an attempt at one.
    UseId = "use_", check false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_their_time_and_are_version_7() {
        let at = |micros| VideoId::new(Timestamp::from_micros(micros), [0xff; 8]);
        assert!(at(1_758_941_485_000_000) < at(1_758_941_485_000_400));
        assert!(at(1_758_941_485_000_999) < at(1_758_941_485_001_000));
        assert_eq!((at(1).bytes()[6] >> 4, at(1).bytes()[8] >> 6), (7, 2));
    }

    #[test]
    fn a_video_id_has_48_digits_and_refuses_a_typo() {
        let id = VideoId::new(Timestamp::from_seconds(1_758_941_485), [7; 8]);
        let text = id.to_string();
        assert_eq!(text.len(), "video_".len() + 48);
        assert_eq!(text.parse(), Ok(id));
        let typo = text.replacen('7', "8", 1);
        assert!(typo.parse::<VideoId>().is_err());
        for bad in ["", "video_", "char_00", &text.to_uppercase(), &format!("{text}0"), "video_é"] {
            assert!(bad.parse::<VideoId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_event_of_a_video_is_always_the_same() {
        let id = VideoId::new(Timestamp::from_seconds(1), [7; 8]);
        let event = |word| EventId::derived(id.bytes(), word);
        assert_eq!(event("video.completed"), event("video.completed"));
        assert_ne!(event("video.completed"), event("video.failed"));
    }
}
