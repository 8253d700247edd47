//! Links to media that work for a while: an HMAC over what and until when. Pure functions of the key.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use platform::Timestamp;
use sha2::Sha256;

/// The installation's key for links: 32 random bytes, kept for as long as links shall work. `Debug` prints nothing.
#[derive(Clone)]
pub struct LinkKey([u8; 32]);

/// A link that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Not signed here, or for something else.
    #[error("this link was not made here")]
    Signature,
    /// Its time is over.
    #[error("this link has expired")]
    Expired,
}

/// The two query values of a signed link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSignature {
    /// Unix seconds at which it ends.
    pub expires: i64,
    /// 43 characters of base64url.
    pub signature: String,
}

impl LinkKey {
    /// A key from 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Signs what a link names, such as `video_…/thumbnail`. It ends at a whole second.
    pub fn sign(&self, what: &str, lifetime: Duration, now: Timestamp) -> LinkSignature {
        let expires = (now + lifetime).seconds();
        let signature = URL_SAFE_NO_PAD.encode(self.mac(what, expires).finalize().into_bytes());
        LinkSignature { expires, signature }
    }

    /// Checks a link in constant time.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn verify(&self, what: &str, link: &LinkSignature, now: Timestamp) -> Result<(), LinkError> {
        let signature = URL_SAFE_NO_PAD.decode(&link.signature).map_err(|_| LinkError::Signature)?;
        self.mac(what, link.expires).verify_slice(&signature).map_err(|_| LinkError::Signature)?;
        if link.expires <= now.seconds() { Err(LinkError::Expired) } else { Ok(()) }
    }

    /// A hash of a text that only this installation can make: what is known by it alone is known to nobody else.
    pub fn keyed_hash(&self, text: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(b"misora hash 1\0");
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn mac(&self, what: &str, expires: i64) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(b"misora link 1\0");
        mac.update(&expires.to_be_bytes());
        mac.update(what.as_bytes());
        mac
    }
}

impl std::fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_one_thing_for_a_while() {
        let key = LinkKey::new([1; 32]);
        let now = Timestamp::from_seconds(100);
        let link = key.sign("video_1/video", Duration::from_secs(60), now);
        assert_eq!(key.verify("video_1/video", &link, now), Ok(()));
        assert_eq!(key.verify("video_2/video", &link, now), Err(LinkError::Signature));
        assert_eq!(key.verify("video_1/video", &link, Timestamp::from_seconds(160)), Err(LinkError::Expired));
        let longer = LinkSignature { expires: link.expires + 1, ..link.clone() };
        assert_eq!(key.verify("video_1/video", &longer, now), Err(LinkError::Signature));
        assert_eq!(LinkKey::new([2; 32]).verify("video_1/video", &link, now), Err(LinkError::Signature));
    }
}
