//! Archives of others: what people hold of Sora in the folders of community exporters, OpenAI's own export, PeerTube's, Mastodon's and
//! Loops'.
//!
//! All become the same: a video with what is known of it. Nothing is invented: the model is `imported`, there is no recipe but a note of
//! where it came from, and whoever could see it there, here it is its owner's alone.

use std::collections::HashMap;
use std::io::{Read, Seek};

use media::{ReadLimits, probe_mp4};
use platform::{FileId, Prompt, Seconds, Timestamp, VideoId, hex};
use provenance::SignedVideo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::{ARCHIVE_CLASSES, ArchiveRow, ArchiveValue};
use time::PrimitiveDateTime;
use time::macros::format_description;

use crate::archive::media::{IMPORTED, MAX_FOREIGN_BYTES, Signing, first_frame};
use crate::archive::rows::read_moment;
use crate::archive::zip::ZipArchive;

/// The longest text that tells of one video, and of all.
const MAX_SIDECAR_BYTES: u64 = 4_000_000;
const MAX_INDEX_BYTES: u64 = 40_000_000;
/// The most videos of an archive.
const MAX_CLIPS: usize = 50_000;

/// A video of an archive, with what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ForeignClip {
    /// Its entry.
    pub(crate) entry: usize,
    /// Where it is from.
    pub(crate) source: &'static str,
    pub(crate) about: About,
}

/// What is known of a video.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) id: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) prompt: Option<String>,
    pub(crate) created_at: Option<Timestamp>,
}

/// A video that can be kept.
pub(crate) struct MadeClip {
    pub(crate) row: ArchiveRow,
    pub(crate) video: SignedVideo,
    pub(crate) thumbnail: Option<Vec<u8>>,
    /// SHA-256 of the file as it came, hexadecimal.
    pub(crate) came_as: String,
}

/// What an archive is, and the videos in it.
pub(crate) fn detect<R: Read + Seek>(zip: &mut ZipArchive<R>) -> Result<(&'static str, Vec<ForeignClip>), String> {
    let videos: Vec<usize> = (0..zip.entries().len()).filter(|at| is_video(&zip.entries()[*at].path)).collect();
    if videos.is_empty() {
        return Err("there is no archive of Misora in it, and no video".into());
    }
    if videos.len() > MAX_CLIPS {
        return Err("there are too many videos in it".into());
    }
    // Some tools pack the folder, others what is in it.
    let source = if find(zip, "outbox.json").is_some() {
        "mastodon"
    } else if find(zip, "peertube/videos.json").is_some() {
        "peertube"
    } else if find(zip, "conversations.json").is_some() || find(zip, "sora.json").is_some() {
        "chatgpt"
    } else if is_loops(zip) {
        "loops"
    } else {
        "folder"
    };
    let told = match source {
        "mastodon" => mastodon(&read_json(zip, "outbox.json")),
        "peertube" => peertube(&read_json(zip, "peertube/videos.json")),
        "chatgpt" => by_ids(&read_json(zip, "sora.json")),
        "loops" => loops(&read_json(zip, "data.json")),
        _ => by_ids(&read_json(zip, "index.json")),
    };
    let mut clips = Vec::with_capacity(videos.len());
    for entry in videos {
        let path = zip.entries()[entry].path.clone();
        let about = told.of(&path).or_else(|| beside(zip, &path)).unwrap_or_default();
        clips.push(ForeignClip { entry, source, about });
    }
    Ok((source, clips))
}

/// Reads a video and signs it as brought here; nothing if it cannot be read, or is longer than any clip.
pub(crate) fn read_clip<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    clip: &ForeignClip,
    signing: &Signing,
) -> Option<MadeClip> {
    let mp4 = zip.read_all(clip.entry, MAX_FOREIGN_BYTES).ok()?;
    let info = probe_mp4(&mp4, &ReadLimits::default()).ok()?;
    let length = (info.frame_count as f64 / info.frame_rate.as_f64()).round();
    let seconds = Seconds::new((length as u32).max(1))?;
    let (width, height) = (u16::try_from(info.size.width).ok()?, u16::try_from(info.size.height).ok()?);
    let About { id, url, title, prompt, created_at } = clip.about.clone();
    let made_at = created_at.unwrap_or_else(|| Timestamp::from_seconds(signing.when.unix_timestamp()));
    // The same file is the same clip, whenever and from wherever it comes again.
    let hash: [u8; 32] = Sha256::digest(&mp4).into();
    let mut entropy = [0; 8];
    entropy.copy_from_slice(&hash[..8]);
    let video_id = VideoId::new(Timestamp::from_seconds(0), entropy);
    let words = prompt.or_else(|| title.clone()).and_then(|text| fitting(&text));
    let words = words.unwrap_or_else(|| "Imported".to_owned());
    let note = json!({ "imported_from": clip.source, "original_id": id, "original_url": url, "title": title });
    let video = signing.foreign(&mp4, &words).ok()?;

    let table = ARCHIVE_CLASSES.iter().find(|class| class.name == "clips").map(|class| &class.tables[0])?;
    let mut row = ArchiveRow { table, values: vec![ArchiveValue::Null; table.columns.len()] };
    let text = |text: &str| ArchiveValue::Text(text.to_owned());
    for (column, value) in [
        ("id", ArchiveValue::Id(video_id.bytes())),
        // Of no project of the archive: it goes to the person's own.
        ("project", ArchiveValue::Id(FileId::derived(video_id.bytes(), "no project").bytes())),
        ("kind", text("create")),
        ("characters", text("")),
        ("depth", ArchiveValue::Int(0)),
        ("prompt", text(&words)),
        ("negative_prompt", text("")),
        ("model_requested", text(IMPORTED)),
        ("model", text(IMPORTED)),
        ("width", ArchiveValue::Int(width.into())),
        ("height", ArchiveValue::Int(height.into())),
        ("seconds", ArchiveValue::Int(seconds.get().into())),
        ("total_seconds", ArchiveValue::Int(seconds.get().into())),
        ("seed", ArchiveValue::Int(0)),
        ("state", text("completed")),
        ("created_at", ArchiveValue::Int(made_at.micros())),
        ("ended_at", ArchiveValue::Int(made_at.micros())),
        ("video_key", text("media/imported.mp4")),
        ("recipe", text(&note.to_string())),
        ("favourite", ArchiveValue::Int(0)),
    ] {
        row.set(column, value);
    }
    let thumbnail = first_frame(video.bytes());
    Some(MadeClip { row, video, thumbnail, came_as: hex(&hash) })
}

/// A text as a prompt may be; cut if it is too long.
fn fitting(text: &str) -> Option<String> {
    let text: String = text.replace('\0', "").trim().chars().take(Prompt::MAX_CHARACTERS).collect();
    Prompt::parse(Some(&text)).is_ok().then_some(text)
}

fn is_video(path: &str) -> bool {
    let hidden = path.split('/').any(|part| part.starts_with("._") || part == "__MACOSX");
    !hidden && path.to_ascii_lowercase().ends_with(".mp4")
}

/// The entry of a path, in the root or in the one folder that holds everything.
fn find<R: Read + Seek>(zip: &ZipArchive<R>, path: &str) -> Option<usize> {
    zip.find(path).or_else(|| {
        zip.entries().iter().position(|entry| {
            let inside = entry.path.split_once('/').map(|(_, inside)| inside);
            inside == Some(path)
        })
    })
}

fn read_json<R: Read + Seek>(zip: &mut ZipArchive<R>, path: &str) -> Value {
    let Some(at) = find(zip, path) else { return Value::Null };
    let bytes = zip.read_all(at, MAX_INDEX_BYTES).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// What indexes tell: of files by the end of their path, or by an id that stands in it.
#[derive(Default)]
struct Told {
    by_path: HashMap<String, About>,
    by_id: HashMap<String, About>,
}

impl Told {
    fn of(&self, path: &str) -> Option<About> {
        // The path, and its ends behind each folder.
        let ends = std::iter::successors(Some(path), |rest| rest.split_once('/').map(|(_, rest)| rest));
        let by_path = ends.into_iter().find_map(|end| self.by_path.get(end));
        let words = || path.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != '-');
        // `{date}_{prompt}_{id}` too: ids have an underscore behind their kind.
        let by_id = || words().find_map(|word| self.by_id.get(word).or_else(|| self.by_id.get(id_in(word)?)));
        // `{id}_{name}`, with numbers for ids.
        let by_number = || {
            let start = path.rsplit('/').next()?.split('_').next()?;
            self.by_id.get(start).filter(|_| start.bytes().all(|letter| letter.is_ascii_digit()))
        };
        by_path.or_else(by_id).or_else(by_number).cloned()
    }
}

/// An id of Sora's at the end of a word: `gen_…`, `task_…` or `s_…`.
fn id_in(word: &str) -> Option<&str> {
    ["gen_", "task_", "s_"].into_iter().find_map(|start| {
        let at = if word.starts_with(start) { 0 } else { word.rfind(&format!("_{start}"))? + 1 };
        Some(&word[at..])
    })
}

/// `outbox.json` of Mastodon: an ActivityPub collection whose attachments are paths from the root.
fn mastodon(outbox: &Value) -> Told {
    let mut told = Told::default();
    for activity in outbox["orderedItems"].as_array().into_iter().flatten() {
        let note = &activity["object"];
        for attachment in note["attachment"].as_array().into_iter().flatten() {
            let Some(path) = attachment["url"].as_str() else { continue };
            let about = About {
                id: text(note, &["id"]),
                url: text(note, &["url"]),
                title: text(attachment, &["name"]),
                prompt: text(note, &["content"]).map(|html| without_markup(&html)).filter(|words| !words.is_empty()),
                created_at: moment(note),
            };
            told.by_path.insert(path.trim_start_matches('/').to_owned(), about);
        }
    }
    told
}

/// `peertube/videos.json` of PeerTube's user export: each video names its file from there.
fn peertube(videos: &Value) -> Told {
    let mut told = Told::default();
    for video in videos["videos"].as_array().into_iter().flatten() {
        let about = About {
            id: text(video, &["uuid"]),
            url: text(video, &["url"]),
            title: text(video, &["name"]),
            prompt: text(video, &["description"]),
            created_at: moment(video),
        };
        if let Some(path) = video["archiveFiles"]["videoFile"].as_str() {
            told.by_path.insert(path.trim_start_matches("../").trim_start_matches("./").to_owned(), about.clone());
        }
        if let Some(id) = &about.id {
            told.by_id.insert(id.clone(), about);
        }
    }
    told
}

/// Whether this is an archive of Loops: its `data.json` beside files called by the ids that stand in it.
fn is_loops<R: Read + Seek>(zip: &mut ZipArchive<R>) -> bool {
    find(zip, "data.json").is_some() && !loops(&read_json(zip, "data.json")).by_id.is_empty()
}

/// `data.json` of Loops' account export: the list of videos, alone or within a complete export.
/// Source: `UserDataService` and `ProcessDataExport` of loops-server, export version 1.0.
fn loops(data: &Value) -> Told {
    let mut told = Told::default();
    let inner = &data["videos"];
    let list = if inner["videos"].is_null() { inner } else { &inner["videos"] };
    // A list of which something was left out is written with its places as names.
    let videos: Vec<&Value> = match list {
        Value::Array(videos) => videos.iter().collect(),
        Value::Object(videos) => videos.values().collect(),
        _ => Vec::new(),
    };
    for video in videos {
        let id = match &video["id"] {
            Value::String(id) => id.clone(),
            Value::Number(id) => id.to_string(),
            _ => continue,
        };
        if id.is_empty() || !id.bytes().all(|letter| letter.is_ascii_digit()) {
            continue;
        }
        let about = About {
            id: Some(id.clone()),
            url: text(video, &["url"]),
            title: None,
            prompt: text(video, &["caption"]),
            created_at: video["created_at"].as_str().and_then(minute),
        };
        told.by_id.insert(id, about);
    }
    told
}

/// A moment as `February 17, 2026, 1:54 pm`, whose zone nobody says: UTC.
fn minute(words: &str) -> Option<Timestamp> {
    let form = format_description!(
        "[month repr:long] [day padding:none], [year], [hour repr:12 padding:none]:[minute] [period case:lower]"
    );
    let at = PrimitiveDateTime::parse(words, form).ok()?.assume_utc();
    Some(Timestamp::from_seconds(at.unix_timestamp()))
}

/// An index whose entries say an id that stands in their files' paths, wherever in it they are.
fn by_ids(index: &Value) -> Told {
    let mut told = Told::default();
    let mut left = vec![index];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(values) => left.extend(values),
            Value::Object(fields) => {
                left.extend(fields.values());
                let about = about(value);
                let ids = ["gen_id", "generation_id", "id", "task_id", "post_id", "postId"];
                for id in ids.iter().filter_map(|name| fields.get(*name)?.as_str()).filter(|id| id.len() >= 8) {
                    // The first that says something is the thing itself.
                    if about.prompt.is_some() || about.title.is_some() {
                        told.by_id.entry(id.to_owned()).or_insert_with(|| about.clone());
                    }
                }
            }
            _ => {}
        }
    }
    told
}

/// What stands beside a file: JSON or words of its name, or the `metadata.json` of its folder.
fn beside<R: Read + Seek>(zip: &mut ZipArchive<R>, path: &str) -> Option<About> {
    let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut found = About::default();
    for name in [format!("{stem}.json"), format!("{path}.json"), format!("{folder}/metadata.json")] {
        if let Some(at) = zip.find(&name)
            && let Ok(bytes) = zip.read_all(at, MAX_SIDECAR_BYTES)
            && let Ok(value) = serde_json::from_slice::<Value>(&bytes)
        {
            found = about(&value);
            break;
        }
    }
    if found.prompt.is_none()
        && let Some(at) = zip.find(&format!("{stem}.txt"))
        && let Ok(bytes) = zip.read_all(at, MAX_SIDECAR_BYTES)
    {
        found.prompt = String::from_utf8(bytes).ok();
    }
    let name = stem.rsplit('/').next().unwrap_or_default();
    if found.id.is_none() {
        found.id = id_in(name).map(str::to_owned);
    }
    if found.created_at.is_none() {
        // `2026-02-17_…`: a day is better than nothing.
        found.created_at = name.get(..10).and_then(|day| read_moment(&format!("{day}T00:00:00Z")));
    }
    if found.title.is_none() && found.prompt.is_none() {
        found.title = Some(name.to_owned());
    }
    Some(found)
}

/// What an object tells, under the names that exporters use.
fn about(value: &Value) -> About {
    About {
        id: text(value, &["gen_id", "generation_id", "id", "post_id", "postId", "task_id", "uuid"]),
        url: text(value, &["url", "permalink", "public_url", "share_url"]),
        title: text(value, &["title", "name"]),
        prompt: text(value, &["prompt", "text", "caption", "description"]),
        created_at: moment(value),
    }
}

fn text(value: &Value, names: &[&str]) -> Option<String> {
    let texts = names.iter().filter_map(|name| value.get(*name)?.as_str());
    texts.map(|text| text.trim().chars().take(Prompt::MAX_CHARACTERS).collect::<String>()).find(|text| !text.is_empty())
}

/// A moment as RFC 3339 or as Unix seconds.
fn moment(value: &Value) -> Option<Timestamp> {
    let names = ["created_at", "createdAt", "published", "publishedAt", "posted_at", "create_time", "date"];
    names.iter().filter_map(|name| value.get(*name)).find_map(|moment| match moment {
        Value::String(text) => read_moment(text),
        Value::Number(number) => {
            let seconds = number.as_f64().filter(|seconds| (0.0..4e9).contains(seconds))?;
            Some(Timestamp::from_micros((seconds * 1e6) as i64))
        }
        _ => None,
    })
}

/// The words of a little HTML.
fn without_markup(html: &str) -> String {
    let html = html.replace("</p><p>", "\n\n").replace("<br>", "\n").replace("<br />", "\n").replace("<br/>", "\n");
    let mut words = String::new();
    let mut inside = false;
    for letter in html.chars() {
        match letter {
            '<' => inside = true,
            '>' if inside => inside = false,
            _ if inside => {}
            letter => words.push(letter),
        }
    }
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(words, |words, (entity, letter)| words.replace(entity, letter)).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_the_names_that_exporters_give() {
        assert_eq!(id_in("2026-02-17_a_red_boat_gen_01khny1fas"), Some("gen_01khny1fas"));
        assert_eq!(id_in("s_68f837d601888191"), Some("s_68f837d601888191"));
        assert_eq!(id_in("boats"), None);
        let told = by_ids(&json!([{ "id": "gen_01khny1fas", "prompt": "a red boat", "created_at": 1.5 }]));
        let about = told.of("sora/2026_a boat_gen_01khny1fas.mp4").unwrap();
        assert_eq!(
            (about.prompt.as_deref(), about.created_at),
            (Some("a red boat"), Some(Timestamp::from_micros(1_500_000)))
        );
    }

    #[test]
    fn loops_says_when_to_the_minute() {
        assert_eq!(minute("February 17, 2026, 1:54 pm"), Some(Timestamp::from_seconds(1_771_336_440)));
        assert_eq!(minute("February 7, 2026, 12:05 am"), Some(Timestamp::from_seconds(1_770_422_700)));
        assert_eq!(minute("yesterday"), None);
        // As PHP writes a list of which the first was left out.
        let told = loops(&json!({ "videos": { "1": { "id": 79_155_014, "caption": "a red boat" } } }));
        assert_eq!(told.of("videos/79155014_x9.mp4").unwrap().prompt.as_deref(), Some("a red boat"));
        assert_eq!(told.of("videos/79155015_x9.mp4"), None);
    }

    #[test]
    fn a_toot_is_told_without_its_markup() {
        assert_eq!(without_markup("<p>a &lt;red&gt; boat<br>sails</p><p>right</p>"), "a <red> boat\nsails\n\nright");
        let outbox = json!({ "orderedItems": [{ "type": "Announce", "object": "https://elsewhere" }, { "object": {
            "id": "https://m/1", "content": "<p>boat</p>", "published": "2026-01-02T03:04:05Z",
            "attachment": [{ "url": "/media_attachments/files/1/original/a.mp4", "name": "alt" }] } }] });
        let about = mastodon(&outbox).of("archive/media_attachments/files/1/original/a.mp4").unwrap();
        assert_eq!((about.prompt.as_deref(), about.title.as_deref()), (Some("boat"), Some("alt")));
    }
}
