//! Media of an archive on their way into an installation: signed already, or signed now as brought from elsewhere; never unsigned.

use media::{Mp4Reader, ReadLimits, encode_webp, thumbnail};
use provenance::{
    Action, Model, Provenance, SignedVideo, SigningKey, SoftwareAgent, State, TrainingChoice, TrustedRoots, sign,
    signed_already, verify, without_credentials,
};
use time::OffsetDateTime;

use crate::worker::{QUALITY, THUMBNAIL_SIDE};

/// The longest video of an archive of ours, in bytes: one lies in memory at a time.
pub(crate) const MAX_VIDEO_BYTES: u64 = 200_000_000;
/// The same for one that must be signed: then it lies there three times.
pub(crate) const MAX_FOREIGN_BYTES: u64 = 64_000_000;
/// The model of what was not made here.
pub(crate) const IMPORTED: &str = "imported";

/// Signs what is brought, in whose name and when.
#[derive(Clone, Debug)]
pub(crate) struct Signing {
    pub(crate) key: SigningKey,
    pub(crate) when: OffsetDateTime,
}

impl Signing {
    /// A video as this product made it, here or elsewhere: its credentials hold, or it is signed as brought from elsewhere.
    pub(crate) fn own(&self, mp4: Vec<u8>, title: &str) -> Result<SignedVideo, String> {
        signed_already(mp4).or_else(|mp4| match mp4.len() as u64 {
            0..=MAX_FOREIGN_BYTES => self.foreign(&mp4, title),
            _ => Err("it is too large to be signed".into()),
        })
    }

    /// A video that was made by something else: signed as brought here, with the original and its own credentials as what it came from.
    pub(crate) fn foreign(&self, mp4: &[u8], title: &str) -> Result<SignedVideo, String> {
        let plain = without_credentials(mp4);
        let signed = self.sign(&plain, mp4, title);
        let is_good = |video: &SignedVideo| verify(video.bytes(), &TrustedRoots::none()).state == State::Untouched;
        match signed {
            Ok(video) if is_good(&video) => Ok(video),
            // Credentials of others may be written so that they cannot be kept whole: then the pictures alone are what it came from.
            _ => self.sign(&plain, &plain, title).map_err(|error| error.to_string()),
        }
    }

    fn sign(&self, plain: &[u8], parent: &[u8], title: &str) -> Result<SignedVideo, provenance::SignError> {
        let facts = Provenance {
            title: title.chars().take(80).collect(),
            action: Action::Imported,
            software_agent: SoftwareAgent { name: "Misora".into(), version: env!("CARGO_PKG_VERSION").into() },
            model: Model { name: IMPORTED.into(), weights_hash: String::new() },
            recipe: serde_json::Value::Null,
            training: TrainingChoice::default(),
            when: self.when,
            visible_mark: false,
            parent: Some(parent),
            placed: Vec::new(),
        };
        sign(plain, &facts, &self.key)
    }
}

/// A WebP of a video's first frame.
pub(crate) fn first_frame(mp4: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Mp4Reader::open(mp4, &ReadLimits::default()).ok()?;
    let frame = reader.next_frame().ok()??;
    encode_webp(&thumbnail(&frame, THUMBNAIL_SIDE), QUALITY).ok()
}
