//! Clips from outside, for whoever trains on more than the paper world: only those whose makers permit it.
//!
//! The built-in models learn from drawn scenes alone, and no stage reads files. A stage that does takes what [`gather_clips`] lets through.

use std::path::{Path, PathBuf};

use provenance::{Report, State, TrainingChoice, Trust, TrustedRoots, verify};

/// The clips of a folder, sorted: what may be learned from, and what may not, with the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// Files whose credentials hold and permit training.
    pub permitted: Vec<PathBuf>,
    /// The others.
    pub refused: Vec<(PathBuf, NotPermitted)>,
}

/// Why a clip may not be learned from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPermitted {
    /// It says nothing about itself, and silence is no permission.
    #[error("it carries no credentials, and silence is no permission")]
    NoCredentials,
    /// It was changed after it was signed, or is damaged.
    #[error("its credentials do not hold")]
    DoesNotHold,
    /// Anyone could have signed it.
    #[error("nobody known here signed it")]
    UnknownSigner,
    /// Its manifest says no.
    #[error("its maker does not permit training")]
    NotAllowed,
    /// Its manifest does not say.
    #[error("its manifest does not say whether training is permitted")]
    NotSaid,
    /// A holder of rights says no.
    #[error("a holder of rights forbids it: {0}")]
    Forbidden(String),
}

/// Looks at every MP4 of a folder. `forbids` is asked of what a manifest says of the clip in words, its title and its prompt, and answers
/// with whoever forbids learning from it: an installation asks its registry of rights.
///
/// # Errors
/// [`std::io::Error`] if the folder or a file cannot be read.
pub fn gather_clips(
    folder: &Path,
    trusted: &TrustedRoots,
    forbids: &dyn Fn(&str) -> Option<String>,
) -> std::io::Result<Gathered> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("mp4")) {
            files.push(path);
        }
    }
    files.sort();
    let mut gathered = Gathered::default();
    for path in files {
        match permitted(&verify(&std::fs::read(&path)?, trusted), forbids) {
            Ok(()) => gathered.permitted.push(path),
            Err(why) => gathered.refused.push((path, why)),
        }
    }
    Ok(gathered)
}

fn permitted(report: &Report, forbids: &dyn Fn(&str) -> Option<String>) -> Result<(), NotPermitted> {
    match report.state {
        State::Untouched => {}
        State::NoCredentials => return Err(NotPermitted::NoCredentials),
        State::Tampered | State::Unreadable => return Err(NotPermitted::DoesNotHold),
    }
    if report.signer.as_ref().is_none_or(|signer| signer.trust == Trust::Unknown) {
        return Err(NotPermitted::UnknownSigner);
    }
    match report.training {
        Some(TrainingChoice::Allowed) => {}
        Some(TrainingChoice::NotAllowed) => return Err(NotPermitted::NotAllowed),
        None => return Err(NotPermitted::NotSaid),
    }
    let prompt = report.recipe.as_ref().and_then(|recipe| recipe.get("prompt")).and_then(|prompt| prompt.as_str());
    let said = [report.title.as_deref(), prompt].into_iter().flatten();
    said.map(forbids).find_map(|holder| holder).map_or(Ok(()), |holder| Err(NotPermitted::Forbidden(holder)))
}

#[cfg(test)]
mod tests {
    use media::{Frame, FrameRate, Mp4Writer, Quality, Size};
    use provenance::{Action, Model, Provenance, SigningKey, SoftwareAgent, sign};

    use super::*;

    fn clip() -> Vec<u8> {
        let size = Size::new(32, 32);
        let mut writer = Mp4Writer::new(size, FrameRate::whole(12), Quality::default()).unwrap();
        for _ in 0..3 {
            writer.push(&Frame::filled(size, [200, 120, 20])).unwrap();
        }
        writer.finish().unwrap()
    }

    fn signed(key: &SigningKey, title: &str, training: TrainingChoice) -> Vec<u8> {
        let facts = Provenance {
            title: title.into(),
            action: Action::Created,
            software_agent: SoftwareAgent { name: "Misora".into(), version: "1".into() },
            model: Model { name: "paper-1".into(), weights_hash: String::new() },
            recipe: serde_json::json!({ "prompt": title }),
            training,
            when: time::OffsetDateTime::UNIX_EPOCH,
            visible_mark: true,
            parent: None,
            placed: Vec::new(),
        };
        sign(&clip(), &facts, key).unwrap().into_bytes()
    }

    #[test]
    fn only_what_is_permitted_is_gathered() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::open_or_create(&folder.path().join("keys"), "ours").unwrap();
        let stranger = SigningKey::open_or_create(&folder.path().join("theirs"), "theirs").unwrap();
        let clips = folder.path().join("clips");
        std::fs::create_dir(&clips).unwrap();
        let mut changed = signed(&key, "a red boat", TrainingChoice::Allowed);
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        for (name, bytes) in [
            ("a.mp4", signed(&key, "a red boat", TrainingChoice::Allowed)),
            ("b.mp4", signed(&key, "a red boat", TrainingChoice::NotAllowed)),
            ("c.mp4", clip()),
            ("d.mp4", changed),
            ("e.mp4", signed(&stranger, "a red boat", TrainingChoice::Allowed)),
            ("f.MP4", signed(&key, "Captain Kumo sails", TrainingChoice::Allowed)),
            ("g.txt", b"no clip".to_vec()),
        ] {
            std::fs::write(clips.join(name), bytes).unwrap();
        }
        let forbids = |text: &str| text.contains("Kumo").then(|| "Kumo Pictures".to_owned());
        let gathered = gather_clips(&clips, &TrustedRoots::installation(&key), &forbids).unwrap();
        assert_eq!(gathered.permitted, [clips.join("a.mp4")]);
        let why: Vec<_> =
            gathered.refused.into_iter().map(|(path, why)| (path.file_name().unwrap().to_owned(), why)).collect();
        let expected = [
            ("b.mp4", NotPermitted::NotAllowed),
            ("c.mp4", NotPermitted::NoCredentials),
            ("d.mp4", NotPermitted::DoesNotHold),
            ("e.mp4", NotPermitted::UnknownSigner),
            ("f.MP4", NotPermitted::Forbidden("Kumo Pictures".into())),
        ];
        assert_eq!(why, expected.map(|(name, why)| (name.into(), why)));
        assert!(gather_clips(&clips.join("none"), &TrustedRoots::none(), &|_| None).is_err());
    }
}
