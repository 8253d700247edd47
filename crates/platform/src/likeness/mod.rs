//! Likeness: someone's own face and voice, lent to others by consent. Nothing here is allowed that no consent says, and what cannot be
//! asked counts as refused.

mod capture;
mod consent;
mod enrolment;
mod limits;
mod mention;
mod permission;
mod puppet;

pub use capture::{
    CaptureRefusal, Checks, ChunkFacts, FRAME_CELLS, MAX_CHUNK_BYTES, MAX_CHUNKS, check_capture, movement,
};
pub use consent::{
    CONSENT_LANGUAGES, CONSENT_VERSION, ConsentTerms, ConsentText, LONGEST_CONSENT, Purposes, TermsRefusal,
    consent_text, is_adult,
};
pub use enrolment::{
    CHALLENGE_TIME, Challenge, EnrolmentEvent, EnrolmentState, KEEP_CAPTURE, REVIEW, ReviewPoint, Turn,
};
pub use limits::{LimitHit, LimitKind, Limits, WrittenRefusal, limits_version};
pub use mention::{mentions, with_mentions_as};
pub use permission::{Audience, Bonds, LikenessFacts, LikenessRefusal, Permission, StandingConsent, permit, stand};
pub use puppet::{HairColour, HairStyle, Hat, Puppet, Shirt, Skin};
