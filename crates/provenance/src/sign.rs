//! Signing: an MP4 or a picture goes in, the only kind of file that may be published comes out.

use std::io::Cursor;

use c2pa::{Builder, Context};
use serde_json::{Value, json};

use crate::container::{self, Container};
use crate::envelope::open_boxes_sha256;
use crate::key::SigningKey;
use crate::manifest::{self, Action, PARENT_ID, PLACED_ID, Provenance};
use crate::report::State;
use crate::settings::settings;
use crate::verify::{TrustedRoots, verify};

/// A video with signed Content Credentials. Only [`sign`] makes one, and [`signed_already`] from a file that is one.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedVideo {
    bytes: Vec<u8>,
}

/// A picture with signed Content Credentials. Only [`sign_picture`] makes one.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedPicture {
    bytes: Vec<u8>,
}

/// Why a video or a picture could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// What was to be signed is not an MP4.
    #[error("only an MP4 can be signed, and these {size_bytes} bytes are none")]
    NotMp4 {
        /// Bytes that came.
        size_bytes: usize,
    },
    /// What was to be signed is no picture.
    #[error("only a PNG, a JPEG or a WebP can be signed as a picture, and these {size_bytes} bytes are none")]
    NotPicture {
        /// Bytes that came.
        size_bytes: usize,
    },
    /// It has a manifest already; pass the signed file as parent instead.
    #[error("the file to sign carries content credentials already")]
    AlreadySigned,
    /// An edit or extension of nothing.
    #[error("an edited or extended video needs the file it was made from")]
    ParentMissing,
    /// A creation from something.
    #[error("a created video has no parent: call it edited or extended")]
    ParentOfCreation,
    /// The parent is neither MP4 nor a picture.
    #[error("the parent file is no MP4, PNG, JPEG or WebP")]
    ParentUnreadable,
    /// A fact that no JSON can hold, such as a year past 9999.
    #[error("the manifest's facts cannot be written")]
    Facts(#[from] serde_json::Error),
    /// The C2PA library failed.
    #[error("cannot {step}")]
    C2pa {
        /// What it was doing.
        step: &'static str,
        /// What it said.
        source: Box<c2pa::Error>,
    },
}

/// Signs an MP4 with what is known about it.
///
/// # Errors
/// [`SignError`]; the key and the facts are the caller's, so most are the caller's mistakes.
pub fn sign(mp4: &[u8], provenance: &Provenance<'_>, key: &SigningKey) -> Result<SignedVideo, SignError> {
    if container::sniff(mp4) != Some(Container::Mp4) {
        return Err(SignError::NotMp4 { size_bytes: mp4.len() });
    }
    Ok(SignedVideo { bytes: signed(mp4, Container::Mp4, provenance, key)? })
}

/// A video that carries credentials which hold, whoever signed it, as it is: it need not be signed again. Any other comes back.
///
/// # Errors
/// The bytes, if they are no such video.
pub fn signed_already(mp4: Vec<u8>) -> Result<SignedVideo, Vec<u8>> {
    let is_signed =
        container::sniff(&mp4) == Some(Container::Mp4) && verify(&mp4, &TrustedRoots::none()).state == State::Untouched;
    if is_signed { Ok(SignedVideo { bytes: mp4 }) } else { Err(mp4) }
}

/// Signs a PNG, JPEG or WebP with what is known about it.
///
/// # Errors
/// [`SignError`]; the key and the facts are the caller's, so most are the caller's mistakes.
pub fn sign_picture(picture: &[u8], provenance: &Provenance<'_>, key: &SigningKey) -> Result<SignedPicture, SignError> {
    match container::sniff(picture) {
        Some(container @ (Container::Png | Container::Jpeg | Container::WebP)) => {
            Ok(SignedPicture { bytes: signed(picture, container, provenance, key)? })
        }
        Some(Container::Mp4) | None => Err(SignError::NotPicture { size_bytes: picture.len() }),
    }
}

/// The file with its manifest.
fn signed(
    file: &[u8],
    container: Container,
    provenance: &Provenance<'_>,
    key: &SigningKey,
) -> Result<Vec<u8>, SignError> {
    if container::has_credentials(file) {
        return Err(SignError::AlreadySigned);
    }
    match (provenance.action, provenance.parent) {
        (Action::Created, Some(_)) => return Err(SignError::ParentOfCreation),
        (Action::Edited | Action::Extended | Action::Trimmed | Action::Imported, None) => {
            return Err(SignError::ParentMissing);
        }
        (Action::Created, None) | (Action::Edited | Action::Extended | Action::Trimmed | Action::Imported, Some(_)) => {
        }
    }
    let step = |step| move |source| SignError::C2pa { step, source: Box::new(source) };

    // The key's own root is an anchor here so that a parent of this installation is recorded as trusted.
    let settings = settings(Some(key.root_pem()), None).map_err(step("set up the C2PA library"))?;
    let context = Context::new().with_settings(settings).map_err(step("set up the C2PA library"))?;
    let open_boxes = (container == Container::Mp4).then(|| open_boxes_sha256(file));
    let mut builder = Builder::from_context(context)
        .with_definition(manifest::definition(provenance, container, open_boxes)?)
        .map_err(step("describe the file"))?;
    let mut add = |file: &[u8], ingredient: Value| -> Result<(), SignError> {
        let container = container::sniff(file).ok_or(SignError::ParentUnreadable)?;
        builder
            .add_ingredient_from_stream(ingredient.to_string(), container.mime(), &mut Cursor::new(file))
            .map_err(step("read the parent file"))?;
        Ok(())
    };
    if let Some(parent) = provenance.parent {
        add(parent, json!({ "title": "parent", "relationship": "parentOf", "label": PARENT_ID }))?;
    }
    for (index, file) in provenance.placed.iter().enumerate() {
        let label = format!("{PLACED_ID}{index}");
        add(file, json!({ "title": "a part", "relationship": "componentOf", "label": label }))?;
    }
    let signer = key.signer().map_err(step("use the signing key"))?;
    let mut signed = Cursor::new(Vec::with_capacity(file.len() + 64 * 1024));
    builder
        .sign(signer.as_ref(), container.mime(), &mut Cursor::new(file), &mut signed)
        .map_err(step("sign the file"))?;
    Ok(signed.into_inner())
}

impl SignedPicture {
    /// The picture.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The picture, taken out.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl std::fmt::Debug for SignedPicture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignedPicture({} bytes)", self.bytes.len())
    }
}

impl SignedVideo {
    /// The MP4.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The MP4, taken out.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl std::fmt::Debug for SignedVideo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignedVideo({} bytes)", self.bytes.len())
    }
}
