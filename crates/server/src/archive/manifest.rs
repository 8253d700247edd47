//! `manifest.json`: what an archive is, whose, of what, with every file and every class of data.

use serde::{Deserialize, Serialize};

/// The name of the format.
pub(crate) const FORMAT: &str = "misora-archive";
/// Its version. A reader takes the versions that it knows.
pub(crate) const VERSION: u32 = 1;
/// Where it lies.
pub(crate) const PATH: &str = "manifest.json";

/// An archive's description of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Always `misora-archive`.
    pub(crate) format: String,
    /// 1.
    pub(crate) version: u32,
    /// The address of the installation that wrote it.
    pub(crate) instance: String,
    /// Whose it is.
    pub(crate) person: ArchivedPerson,
    /// Whose classes of data were asked for: `account` and services.
    pub(crate) services: Vec<String>,
    /// When it was asked for (RFC 3339).
    pub(crate) created_at: String,
    /// Media made before this are not in it; rows are (RFC 3339).
    pub(crate) since: Option<String>,
    /// What the videos are, in a sentence.
    pub(crate) masters: String,
    /// Every class of data that a person owns.
    pub(crate) classes: Vec<ArchivedClass>,
    /// Every file but this one.
    pub(crate) files: Vec<ArchivedFile>,
}

/// A person, as an archive names them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArchivedPerson {
    /// Their id there.
    pub(crate) id: String,
    /// Their address there.
    pub(crate) email: String,
}

/// A class of data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArchivedClass {
    /// Its name.
    pub(crate) name: String,
    /// Whose it is: `account`, or a service.
    pub(crate) owner: String,
    /// Its files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<String>,
    /// Lines in them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u64>,
    /// Why it is not in the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) excluded: Option<String>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ArchivedFile {
    /// Its path.
    pub(crate) path: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// SHA-256, hexadecimal.
    pub(crate) sha256: String,
}

/// Where a part of a class's rows lies.
pub(crate) fn rows_path(class: &str, part: u32) -> String {
    if part == 1 { format!("data/{class}.jsonl") } else { format!("data/{class}-{part}.jsonl") }
}

/// Where an object's bytes lie: by their hash, which its name holds, so that what several rows name is there once.
pub(crate) fn media_path(object_key: &str) -> String {
    format!("media/{}", object_key.rsplit('/').next().unwrap_or_default())
}
