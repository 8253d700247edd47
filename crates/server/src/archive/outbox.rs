//! The posts of an archive once more, as an ActivityPub outbox: what other places of the fediverse can read.
//! Source: ActivityStreams 2.0 vocabulary, ActivityPub §5.1; attachments are paths from the archive's root, as Mastodon's archives have them.

use platform::{PostId, PostState, Timestamp, Visibility};
use serde_json::{Value, json};
use store::{ArchiveRow, ArchiveValue};

use crate::archive::manifest::media_path;
use crate::archive::rows::moment;

/// Where it lies in an archive.
pub(crate) const OUTBOX: &str = "activitypub/outbox.json";

/// Everyone, as ActivityStreams names them.
const PUBLIC: &str = "https://www.w3.org/ns/activitystreams#Public";

/// An outbox that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    actor: String,
    instance: String,
    items: Vec<Value>,
}

impl Outbox {
    pub(crate) fn new(instance: &str) -> Self {
        Self { instance: instance.to_owned(), ..Self::default() }
    }

    /// Takes a row in, if it is the person's profile, a post that others may see, or one that they may see no more: then the notice that whoever
    /// has a copy deletes it. `stands` says whether everyone who appears in it still lets its maker show it.
    pub(crate) fn take(&mut self, row: &ArchiveRow, stands: bool) {
        match row.table.object {
            "profile" => self.actor = format!("{}/@{}", self.instance, row.text("handle")),
            "post" => self.items.extend(self.activity(row, stands)),
            _ => {}
        }
    }

    fn activity(&self, row: &ArchiveRow, stands: bool) -> Option<Value> {
        let followers = format!("{}/followers", self.actor);
        let to = match Visibility::from_word(row.text("visibility"))? {
            Visibility::Public => PUBLIC,
            Visibility::Followers => &followers,
            Visibility::Link | Visibility::OnlyMe => return None,
        };
        let ArchiveValue::Int(published) = row.value("published_at") else { return None };
        let published = moment(Timestamp::from_micros(*published));
        let id = format!("{}/p/{}", self.instance, PostId::from_bytes(row.id()?));
        if row.text("state") != PostState::Published.as_str() || !stands {
            return Some(json!({
                "id": format!("{id}#delete"),
                "type": "Delete",
                "actor": self.actor,
                "to": [to],
                "object": { "id": id, "type": "Tombstone", "formerType": "Note" },
            }));
        }
        Some(json!({
            "id": format!("{id}#create"),
            "type": "Create",
            "actor": self.actor,
            "published": published,
            "to": [to],
            "object": {
                "id": id,
                "url": id,
                "type": "Note",
                "attributedTo": self.actor,
                "published": published,
                "to": [to],
                "content": paragraph(row.text("caption")),
                "attachment": [{
                    "type": "Document",
                    "mediaType": "video/mp4",
                    "url": format!("/{}", media_path(row.text("video_key"))),
                }],
            },
        }))
    }

    /// The file.
    pub(crate) fn json(&self) -> String {
        let outbox = json!({
            "@context": "https://www.w3.org/ns/activitystreams",
            "id": "outbox.json",
            "type": "OrderedCollection",
            "totalItems": self.items.len(),
            "orderedItems": self.items,
        });
        outbox.to_string()
    }
}

/// Words as HTML.
fn paragraph(words: &str) -> String {
    if words.is_empty() {
        return String::new();
    }
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\n', "<br>");
    format!("<p>{words}</p>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_no_markup() {
        assert_eq!(paragraph("a <b>\n&"), "<p>a &lt;b&gt;<br>&amp;</p>");
        assert_eq!(paragraph(""), "");
    }
}
