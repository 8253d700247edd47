//! Every class of data of a person, and the columns that an archive shows of it. Secrets and hashes of secrets are columns of none.

use platform::{
    ApiKeyId, AppealId, BatchId, Bio, Caption, CharacterId, CommentId, CommentText, ConsentId, ConversationId,
    DecisionId, DisplayName, EnrolmentId, FileId, FolderId, FolderName, GenerationErrorCode, GenerationState, Handle,
    IdentityId, LedgerEntryId, LikenessId, MessageId, ModelName, NoticeId, PlaceId, PostId, PostState, ProjectId,
    Prompt, PromptVisibility, ReportId, Seconds, UseId, VideoId, Visibility, WebhookEndpointId, hex,
};

use super::ArchiveKind::{File, Flag, Json, List, Moment, Number, Text, Whole};
use super::{ArchiveClass, ArchiveColumn, ArchiveKind, ArchiveTable};

/// The longest text that nothing else limits, in bytes.
const LONGEST: usize = 100_000;

macro_rules! id {
    ($id:ident) => {
        ArchiveKind::Id(|bytes| $id::from_bytes(bytes).to_string(), |text| text.parse::<$id>().ok().map($id::bytes))
    };
}

/// An id of whatever kind the field beside it says.
const ANY_ID: ArchiveKind = ArchiveKind::Id(
    |bytes| hex(&bytes),
    |text| {
        let number = (text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .then(|| u128::from_str_radix(text, 16).ok())
            .flatten();
        number.map(u128::to_be_bytes)
    },
);

const ANY: ArchiveKind = Text(|text| text.len() <= LONGEST && !text.contains('\0'));
const COUNT: ArchiveKind = Whole(0, i64::MAX);

const fn kept(column: &'static str, name: &'static str, kind: ArchiveKind) -> ArchiveColumn {
    ArchiveColumn { column, name, kind, optional: false, restored: true }
}

const fn maybe(column: &'static str, name: &'static str, kind: ArchiveKind) -> ArchiveColumn {
    ArchiveColumn { column, name, kind, optional: true, restored: true }
}

/// What an archive tells and an import does not bring back.
const fn told(column: &'static str, name: &'static str, kind: ArchiveKind) -> ArchiveColumn {
    ArchiveColumn { column, name, kind, optional: true, restored: false }
}

const fn excluded(name: &'static str, owner: &'static str, ground: &'static str) -> ArchiveClass {
    ArchiveClass { name, owner, excluded: ground, tables: &[] }
}

const fn class(name: &'static str, owner: &'static str, tables: &'static [ArchiveTable]) -> ArchiveClass {
    ArchiveClass { name, owner, excluded: "", tables }
}

const MY_PROJECTS: &str = "project IN (SELECT p.id FROM projects p WHERE p.owner = $1)";

/// Every class of data that a person owns, in the order in which an import brings them back: what is named comes before what names it.
pub const ARCHIVE_CLASSES: &[ArchiveClass] = &[
    class(
        "account",
        "account",
        &[ArchiveTable {
            object: "account",
            table: "identities",
            condition: "id = $1",
            key: &["id"],
            columns: &[
                told("id", "id", id!(IdentityId)),
                told("email", "email", ANY),
                told("email_confirmed_at", "email_confirmed_at", Moment),
                told("created_at", "created_at", Moment),
            ],
        }],
    ),
    excluded("sign_in", "account", "passwords, second factors and passkeys are secrets of this installation"),
    excluded("sessions", "account", "they hold the secrets of signed-in browsers, and end by themselves"),
    excluded("letters", "account", "letters on their way hold links that open the account; they are gone once sent"),
    class(
        "memberships",
        "account",
        &[ArchiveTable {
            object: "membership",
            table: "memberships",
            condition: "identity = $1",
            key: &["service"],
            columns: &[
                told("service", "service", ANY),
                told("state", "state", ANY),
                told("role", "role", ANY),
                told("strikes", "strikes", COUNT),
                told("joined_at", "joined_at", Moment),
                told("changed_at", "changed_at", Moment),
                told("limited_until", "ends_at", Moment),
            ],
        }],
    ),
    class(
        "decisions",
        "account",
        &[ArchiveTable {
            object: "decision",
            table: "decisions",
            condition: "subject = $1 AND state <> 'proposed'",
            key: &["id"],
            columns: &[
                told("id", "id", id!(DecisionId)),
                told("service", "service", ANY),
                told("scope", "scope", ANY),
                told("effect", "effect", ANY),
                told("item_kind", "item_kind", ANY),
                told("item", "item", ANY_ID),
                told("ground", "ground", ANY),
                told("rule", "rule", ANY),
                told("rule_version", "rule_version", ANY),
                told("facts", "facts", ANY),
                told("automated_detection", "automated_detection", Flag),
                told("automated_decision", "automated_decision", Flag),
                told("strikes", "strikes", COUNT),
                told("decided_at", "decided_at", Moment),
                told("ends_at", "ends_at", Moment),
                told("permanent", "permanent", Flag),
                told("state", "state", ANY),
                told("lifted_at", "lifted_at", Moment),
            ],
        }],
    ),
    class(
        "decision_evidence",
        "account",
        &[ArchiveTable {
            object: "refused_words",
            table: "decision_evidence",
            condition: "subject = $1",
            key: &["decision"],
            columns: &[told("decision", "decision", id!(DecisionId)), told("text", "text", ANY)],
        }],
    ),
    class(
        "appeals",
        "account",
        &[ArchiveTable {
            object: "appeal",
            table: "appeals",
            condition: "subject = $1",
            key: &["id"],
            columns: &[
                told("id", "id", id!(AppealId)),
                told("decision", "decision", id!(DecisionId)),
                told("text", "text", ANY),
                told("filed_at", "filed_at", Moment),
                told("due_at", "due_at", Moment),
                told("outcome", "outcome", ANY),
                told("answer", "answer", ANY),
                told("decided_at", "decided_at", Moment),
            ],
        }],
    ),
    class(
        "audit",
        "account",
        &[ArchiveTable {
            object: "audit_entry",
            table: "audit",
            condition: "actor = $1",
            key: &["id"],
            columns: &[
                told("id", "number", COUNT),
                told("at", "at", Moment),
                told("action", "action", ANY),
                told("subject", "subject", ANY),
                told("detail", "detail", ANY),
            ],
        }],
    ),
    class(
        "projects",
        "account",
        &[ArchiveTable {
            object: "project",
            table: "projects",
            condition: "owner = $1",
            key: &["id"],
            columns: &[
                kept("id", "id", id!(ProjectId)),
                kept("name", "name", Text(|text| text.chars().count() <= 100 && !text.contains('\0'))),
                kept("created_at", "created_at", Moment),
                maybe("archived_at", "archived_at", Moment),
                told("tier", "tier", ANY),
            ],
        }],
    ),
    class(
        "ledger",
        "account",
        &[ArchiveTable {
            object: "ledger_entry",
            table: "ledger",
            condition: MY_PROJECTS,
            key: &["id"],
            columns: &[
                told("id", "id", id!(LedgerEntryId)),
                told("project", "project", id!(ProjectId)),
                told("generation", "video_id", id!(VideoId)),
                told("kind", "kind", ANY),
                told("amount", "amount_micros", Whole(i64::MIN, i64::MAX)),
                told("note", "note", ANY),
                told("at", "created_at", Moment),
            ],
        }],
    ),
    class(
        "usage",
        "account",
        &[ArchiveTable {
            object: "usage_day",
            table: "usage_days",
            condition: MY_PROJECTS,
            key: &["project", "day"],
            columns: &[
                told("project", "project", id!(ProjectId)),
                told("day", "day", COUNT),
                told("accepted", "accepted", COUNT),
                told("completed", "completed", COUNT),
                told("seconds", "seconds", COUNT),
                told("charged", "charged_micros", Whole(i64::MIN, i64::MAX)),
            ],
        }],
    ),
    class(
        "files",
        "api",
        &[ArchiveTable {
            object: "file",
            table: "files",
            condition: MY_PROJECTS,
            key: &["id"],
            columns: &[
                kept("id", "id", id!(FileId)),
                kept("project", "project", id!(ProjectId)),
                kept("filename", "filename", ANY),
                kept("purpose", "purpose", ANY),
                kept("media_type", "media_type", ANY),
                kept("size_bytes", "bytes", COUNT),
                kept("object_key", "content", File),
                kept("created_at", "created_at", Moment),
                maybe("expires_at", "expires_at", Moment),
            ],
        }],
    ),
    class(
        "folders",
        "video",
        &[ArchiveTable {
            object: "folder",
            table: "folders",
            condition: "identity = $1",
            key: &["id"],
            columns: &[
                kept("id", "id", id!(FolderId)),
                kept("name", "name", Text(|text| FolderName::parse(text).is_ok_and(|parsed| parsed.as_str() == text))),
                kept("created_at", "created_at", Moment),
            ],
        }],
    ),
    class(
        "characters",
        "video",
        &[ArchiveTable {
            object: "character",
            table: "characters",
            condition: MY_PROJECTS,
            key: &["id"],
            columns: &[
                kept("id", "id", id!(CharacterId)),
                kept("project", "project", id!(ProjectId)),
                kept("name", "name", Text(|text| text.chars().count() <= 1000 && !text.contains('\0'))),
                kept("object_key", "content", File),
                told("handle", "handle", ANY),
                told("audience", "audience", ANY),
                kept("created_at", "created_at", Moment),
            ],
        }],
    ),
    class(
        "clips",
        "video",
        &[ArchiveTable {
            object: "video",
            table: "generations",
            condition: "identity = $1",
            key: &["id"],
            columns: &[
                kept("id", "id", id!(VideoId)),
                kept("project", "project", id!(ProjectId)),
                kept(
                    "kind",
                    "kind",
                    Text(|word| {
                        let drawn = matches!(word, "create" | "film" | "remix" | "edit" | "image");
                        drawn || matches!(word, "extension" | "beginning" | "loop" | "trim")
                    }),
                ),
                maybe("storyboard", "storyboard", Json),
                maybe("trim_start_ms", "trim_start_ms", Whole(0, Seconds::LONGEST.get() as i64 * 1000)),
                maybe("trim_end_ms", "trim_end_ms", Whole(0, Seconds::LONGEST.get() as i64 * 1000 + 1000)),
                maybe("source_video", "remixed_from_video_id", id!(VideoId)),
                maybe("source_file", "source_file_id", id!(FileId)),
                maybe("first_frame", "first_frame_file_id", id!(FileId)),
                kept("characters", "characters", List(|id| id.parse::<CharacterId>().is_ok())),
                kept("depth", "extensions", Whole(0, 6)),
                kept("prompt", "prompt", Text(|text| Prompt::parse(Some(text)).is_ok())),
                kept(
                    "negative_prompt",
                    "negative_prompt",
                    Text(|text| text.chars().count() <= Prompt::MAX_CHARACTERS && !text.contains('\0')),
                ),
                kept("model_requested", "model", Text(|text| ModelName::parse(text).is_some())),
                kept("model", "made_by_model", Text(|text| ModelName::parse(text).is_some())),
                kept("width", "width", Whole(1, 16_384)),
                kept("height", "height", Whole(1, 16_384)),
                kept("seconds", "requested_seconds", Whole(0, Seconds::LONGEST.get() as i64)),
                kept("total_seconds", "seconds", Whole(0, Seconds::LONGEST.get() as i64)),
                kept("seed", "seed", COUNT),
                maybe("num_inference_steps", "num_inference_steps", Whole(1, 200)),
                maybe("guidance_scale", "guidance_scale", Number),
                maybe("candidates", "candidates", Whole(1, 8)),
                told("price", "price_micros", Whole(i64::MIN, i64::MAX)),
                kept("state", "status", Text(|word| GenerationState::from_word(word).is_some())),
                kept("created_at", "created_at", Moment),
                maybe("started_at", "started_at", Moment),
                maybe("ended_at", "completed_at", Moment),
                maybe("expires_at", "expires_at", Moment),
                maybe("error_code", "error_code", Text(|word| GenerationErrorCode::from_word(word).is_some())),
                maybe("error_message", "error_message", ANY),
                maybe("video_key", "content", File),
                maybe("thumbnail_key", "thumbnail", File),
                maybe("spritesheet_key", "spritesheet", File),
                maybe("recipe", "recipe", Json),
                kept("favourite", "favourite", Flag),
                maybe("folder", "folder", id!(FolderId)),
                maybe("trashed_at", "trashed_at", Moment),
            ],
        }],
    ),
    excluded("jobs", "video", "a place in this installation's queue; how far a clip is stands with the clip"),
    class(
        "likeness",
        "likeness",
        &[ArchiveTable {
            object: "likeness",
            table: "likenesses",
            condition: "identity = $1",
            key: &["id"],
            columns: &[
                told("id", "id", id!(LikenessId)),
                told("handle", "handle", ANY),
                told("audience", "audience", ANY),
                told("purposes", "purposes", List(|_| true)),
                told("kinds", "limits", List(|_| true)),
                told("written", "written_limits", ANY),
                told("consent", "consent", id!(ConsentId)),
                told("created_at", "created_at", Moment),
                told("revoked_at", "revoked_at", Moment),
            ],
        }],
    ),
    class(
        "likeness_uses",
        "likeness",
        &[ArchiveTable {
            object: "likeness_use",
            table: "likeness_uses",
            condition: "likeness IN (SELECT l.id FROM likenesses l WHERE l.identity = $1)",
            key: &["id"],
            columns: &[
                told("id", "id", id!(UseId)),
                told("(SELECT h.handle FROM profiles h WHERE h.identity = likeness_uses.maker)", "maker_handle", ANY),
                told("generation", "video", id!(VideoId)),
                told(
                    "COALESCE((SELECT g.prompt FROM generations g WHERE g.id = likeness_uses.generation), prompt)",
                    "prompt",
                    ANY,
                ),
                told("refusal", "refusal", ANY),
                told("rule", "rule", ANY),
                told("at", "created_at", Moment),
                told("removed_at", "removed_at", Moment),
            ],
        }],
    ),
    class(
        "consents",
        "likeness",
        &[ArchiveTable {
            object: "consent",
            table: "likeness_consents",
            condition: "likeness IN (SELECT e.likeness FROM likeness_enrolments e WHERE e.identity = $1)",
            key: &["id"],
            columns: &[
                told("id", "id", id!(ConsentId)),
                told("version", "version", COUNT),
                told("given_at", "created_at", Moment),
                told("expires_at", "expires_at", Moment),
                told("ended_at", "ended_at", Moment),
                told("statement", "statement", ANY),
            ],
        }],
    ),
    class(
        "enrolments",
        "likeness",
        &[ArchiveTable {
            object: "enrolment",
            table: "likeness_enrolments",
            condition: "identity = $1",
            key: &["id"],
            columns: &[
                told("id", "id", id!(EnrolmentId)),
                told("state", "status", ANY),
                told("handle", "handle", ANY),
                told("issued_at", "created_at", Moment),
                told("captured_at", "captured_at", Moment),
                told("decided_at", "decided_at", Moment),
                told("ground", "ground", ANY),
                told("capture_deleted_at", "capture_deleted_at", Moment),
            ],
        }],
    ),
    excluded("captures", "likeness", "a capture is seen by its reviewer alone and gone a day after the decision"),
    excluded(
        "likeness_outputs",
        "likeness",
        "it says which clips contain whom, and names nobody; the uses tell the same",
    ),
    excluded("castings", "video", "the clips themselves are there; these are what those see who appear in them"),
    excluded("castings_shown", "account", "the same, of clips that are shown; and what others decided about you"),
    class(
        "keys",
        "api",
        &[ArchiveTable {
            object: "api_key",
            table: "api_keys",
            condition: MY_PROJECTS,
            key: &["id"],
            columns: &[
                told("id", "id", id!(ApiKeyId)),
                told("project", "project", id!(ProjectId)),
                told("name", "name", ANY),
                told("scopes", "scopes", List(|_| true)),
                told("allowed_ips", "allowed_ips", List(|_| true)),
                told("created_at", "created_at", Moment),
                told("expires_at", "expires_at", Moment),
                told("revoked_at", "revoked_at", Moment),
                told("last_used_at", "last_used_at", Moment),
            ],
        }],
    ),
    class(
        "webhooks",
        "api",
        &[ArchiveTable {
            object: "webhook_endpoint",
            table: "webhook_endpoints",
            condition: MY_PROJECTS,
            key: &["id"],
            columns: &[
                told("id", "id", id!(WebhookEndpointId)),
                told("project", "project", id!(ProjectId)),
                told("name", "name", ANY),
                told("url", "url", ANY),
                told("event_types", "event_types", List(|_| true)),
                told("created_at", "created_at", Moment),
                told("updated_at", "updated_at", Moment),
            ],
        }],
    ),
    class(
        "batches",
        "api",
        &[
            ArchiveTable {
                object: "batch",
                table: "batches",
                condition: "identity = $1",
                key: &["id"],
                columns: &[
                    kept("id", "id", id!(BatchId)),
                    kept("project", "project", id!(ProjectId)),
                    kept("input_file", "input_file_id", id!(FileId)),
                    kept("metadata", "metadata", Json),
                    kept(
                        "state",
                        "status",
                        Text(|word| platform::BatchState::ALL.iter().any(|state| state.as_str() == word)),
                    ),
                    maybe("error", "errors", Json),
                    maybe("output_file", "output_file_id", id!(FileId)),
                    maybe("error_file", "error_file_id", id!(FileId)),
                    kept("created_at", "created_at", Moment),
                    kept("expires_at", "expires_at", Moment),
                    maybe("in_progress_at", "in_progress_at", Moment),
                    maybe("finalizing_at", "finalizing_at", Moment),
                    maybe("cancelling_at", "cancelling_at", Moment),
                    maybe("ended_at", "ended_at", Moment),
                ],
            },
            ArchiveTable {
                object: "batch_line",
                table: "batch_items",
                condition: "batch IN (SELECT b.id FROM batches b WHERE b.identity = $1)",
                key: &["batch", "line"],
                columns: &[
                    kept("batch", "batch", id!(BatchId)),
                    kept("line", "line", Whole(0, 50_000)),
                    kept("custom_id", "custom_id", ANY),
                    kept("body", "body", Json),
                    maybe("generation", "video_id", id!(VideoId)),
                    maybe("error", "error", Json),
                ],
            },
        ],
    ),
    excluded("idempotency", "api", "a day's memory of repeated requests; what came of them stands with the clips"),
    class(
        "profile",
        "social",
        &[
            ArchiveTable {
                object: "profile",
                table: "profiles",
                condition: "identity = $1",
                key: &["identity"],
                columns: &[
                    told("identity", "identity", id!(IdentityId)),
                    kept("handle", "handle", Text(|text| Handle::read(text).is_ok())),
                    kept(
                        "display_name",
                        "display_name",
                        Text(|text| DisplayName::parse(text).is_ok_and(|parsed| parsed.as_str() == text)),
                    ),
                    kept("bio", "bio", Text(|text| Bio::parse(text).is_ok_and(|parsed| parsed.as_str() == text))),
                    maybe("avatar_key", "avatar", File),
                    kept("closed", "closed", Flag),
                    kept("personalised", "personalised", Flag),
                    kept("created_at", "created_at", Moment),
                    told("updated_at", "updated_at", Moment),
                ],
            },
            ArchiveTable {
                object: "withheld_profile",
                table: "withheld_profiles",
                condition: "identity = $1",
                key: &["identity"],
                columns: &[
                    told("identity", "identity", id!(IdentityId)),
                    told("display_name", "display_name", ANY),
                    told("bio", "bio", ANY),
                    told("avatar_key", "avatar", File),
                    told("withheld_at", "withheld_at", Moment),
                ],
            },
            ArchiveTable {
                object: "handle",
                table: "handles",
                condition: "identity = $1",
                key: &["skeleton"],
                columns: &[
                    told("skeleton", "skeleton", ANY),
                    kept("handle", "handle", Text(|text| Handle::read(text).is_ok())),
                    kept("taken_at", "taken_at", Moment),
                ],
            },
            ArchiveTable {
                object: "hidden_words",
                table: "hidden_words",
                condition: "identity = $1",
                key: &["words"],
                columns: &[kept("words", "words", Text(|text| text.len() <= 1000 && !text.contains('\0')))],
            },
            ArchiveTable {
                object: "feed_rule",
                table: "feed_rules",
                condition: "identity = $1",
                key: &["position"],
                columns: &[
                    kept("position", "position", Whole(0, platform::MAX_FEED_RULES as i64 - 1)),
                    kept("rule", "rule", Text(|text| text.len() <= 1000 && !text.contains(['\0', '\n']))),
                ],
            },
        ],
    ),
    class(
        "posts",
        "social",
        &[ArchiveTable {
            object: "post",
            table: "posts",
            condition: "author = $1 AND video_key <> ''",
            key: &["id"],
            columns: &[
                kept("id", "id", id!(PostId)),
                maybe("place", "place", id!(PlaceId)),
                kept("state", "state", Text(|word| PostState::from_word(word).is_some())),
                kept("visibility", "visibility", Text(|word| Visibility::from_word(word).is_some())),
                kept(
                    "caption",
                    "caption",
                    Text(|text| Caption::parse(text).is_ok_and(|parsed| parsed.as_str() == text)),
                ),
                kept("prompt", "prompt", Text(|text| Prompt::parse(Some(text)).is_ok())),
                kept(
                    "prompt_visibility",
                    "prompt_visibility",
                    Text(|word| PromptVisibility::from_word(word).is_some()),
                ),
                kept("remix", "may_remix", Flag),
                kept("download", "may_download", Flag),
                kept("comments", "may_comment", Flag),
                kept("video", "video_id", id!(VideoId)),
                kept("model", "model", Text(|text| ModelName::parse(text).is_some())),
                kept("width", "width", Whole(1, 16_384)),
                kept("height", "height", Whole(1, 16_384)),
                kept("seconds", "seconds", Whole(0, Seconds::LONGEST.get() as i64)),
                kept("recipe", "recipe", Json),
                kept("video_key", "content", File),
                maybe("thumbnail_key", "thumbnail", File),
                maybe("spritesheet_key", "spritesheet", File),
                maybe("parent", "remix_of", id!(PostId)),
                maybe("root", "first_of_tree", id!(PostId)),
                kept("depth", "depth", Whole(0, u32::MAX as i64)),
                kept("created_at", "created_at", Moment),
                maybe("edited_at", "edited_at", Moment),
                maybe("published_at", "published_at", Moment),
                maybe("withheld_at", "withheld_at", Moment),
                maybe("deleted_at", "deleted_at", Moment),
                told("like_count", "likes", COUNT),
                told("comment_count", "comments", COUNT),
                told("remix_count", "remixes", COUNT),
            ],
        }],
    ),
    class(
        "likes",
        "social",
        &[ArchiveTable {
            object: "like",
            table: "likes",
            condition: "identity = $1",
            key: &["post"],
            columns: &[kept("post", "post", id!(PostId)), kept("at", "created_at", Moment)],
        }],
    ),
    class(
        "comments",
        "social",
        &[ArchiveTable {
            object: "comment",
            table: "comments",
            condition: "author = $1",
            key: &["id"],
            columns: &[
                kept("id", "id", id!(CommentId)),
                kept("post", "post", id!(PostId)),
                maybe("parent", "parent", id!(CommentId)),
                kept("thread", "thread", id!(CommentId)),
                kept(
                    "text",
                    "text",
                    Text(|text| {
                        text.is_empty() || CommentText::parse(text).is_ok_and(|parsed| parsed.as_str() == text)
                    }),
                ),
                kept("state", "state", Text(|word| matches!(word, "shown" | "held" | "deleted"))),
                kept("created_at", "created_at", Moment),
                maybe("withheld_at", "withheld_at", Moment),
                maybe("deleted_at", "deleted_at", Moment),
            ],
        }],
    ),
    class(
        "follows",
        "social",
        &[ArchiveTable {
            object: "follow",
            table: "follows",
            condition: "follower = $1 OR followed = $1",
            key: &["follower", "followed"],
            columns: &[
                kept("follower", "follower", id!(IdentityId)),
                kept("followed", "followed", id!(IdentityId)),
                told("(SELECT h.handle FROM profiles h WHERE h.identity = follows.follower)", "follower_handle", ANY),
                told("(SELECT h.handle FROM profiles h WHERE h.identity = follows.followed)", "followed_handle", ANY),
                kept("asked_at", "asked_at", Moment),
                maybe("accepted_at", "accepted_at", Moment),
            ],
        }],
    ),
    class(
        "blocks",
        "social",
        &[ArchiveTable {
            object: "block",
            table: "blocks",
            condition: "blocker = $1",
            key: &["blocked"],
            columns: &[
                kept("blocked", "blocked", id!(IdentityId)),
                told("(SELECT h.handle FROM profiles h WHERE h.identity = blocks.blocked)", "handle", ANY),
                kept("at", "created_at", Moment),
            ],
        }],
    ),
    class(
        "mutes",
        "social",
        &[ArchiveTable {
            object: "mute",
            table: "mutes",
            condition: "muter = $1",
            key: &["muted"],
            columns: &[
                kept("muted", "muted", id!(IdentityId)),
                told("(SELECT h.handle FROM profiles h WHERE h.identity = mutes.muted)", "handle", ANY),
                kept("at", "created_at", Moment),
            ],
        }],
    ),
    class(
        "notices",
        "social",
        &[ArchiveTable {
            object: "notice",
            table: "notices",
            condition: "identity = $1",
            key: &["id"],
            columns: &[
                told("id", "id", id!(NoticeId)),
                told("kind", "kind", ANY),
                told("subject", "subject", ANY_ID),
                told("actor", "actor", id!(IdentityId)),
                told("at", "created_at", Moment),
                told("read_at", "read_at", Moment),
            ],
        }],
    ),
    class(
        "messages",
        "social",
        &[
            ArchiveTable {
                object: "conversation",
                table: "conversations",
                condition: "low = $1 OR high = $1",
                key: &["id"],
                columns: &[
                    told("id", "id", id!(ConversationId)),
                    told("CASE WHEN low = $1 THEN high ELSE low END", "with", id!(IdentityId)),
                    told(
                        "(SELECT h.handle FROM profiles h WHERE h.identity = CASE WHEN conversations.low = $1
                          THEN conversations.high ELSE conversations.low END)",
                        "with_handle",
                        ANY,
                    ),
                    told("began_by", "began_by", id!(IdentityId)),
                    told("began_at", "began_at", Moment),
                    told("accepted_at", "accepted_at", Moment),
                    told("declined_at", "declined_at", Moment),
                ],
            },
            ArchiveTable {
                object: "message",
                table: "messages",
                condition: "conversation IN (SELECT c.id FROM conversations c WHERE c.low = $1 OR c.high = $1)",
                key: &["id"],
                columns: &[
                    told("id", "id", id!(MessageId)),
                    told("conversation", "conversation", id!(ConversationId)),
                    told("sender", "sender", id!(IdentityId)),
                    told("CASE WHEN withheld_at IS NOT NULL AND sender <> $1 THEN '' ELSE text END", "text", ANY),
                    told(
                        "CASE WHEN withheld_at IS NOT NULL AND sender <> $1 THEN NULL ELSE post END",
                        "post",
                        id!(PostId),
                    ),
                    told("sent_at", "created_at", Moment),
                    told("withheld_at", "withheld_at", Moment),
                    told("deleted_at", "deleted_at", Moment),
                ],
            },
        ],
    ),
    class(
        "reports",
        "social",
        &[ArchiveTable {
            object: "report",
            table: "reports",
            condition: "reporter = $1",
            key: &["id"],
            columns: &[
                told("id", "id", id!(ReportId)),
                told("kind", "kind", ANY),
                told("subject", "subject", ANY_ID),
                told("reason", "reason", ANY),
                told("note", "note", ANY),
                told("reported_at", "created_at", Moment),
                told("closed_at", "closed_at", Moment),
                told("decision", "decision", id!(DecisionId)),
            ],
        }],
    ),
    excluded("archives", "account", "an archive does not hold the archives before it, nor secrets of where they go"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_said_once_and_keys_are_columns() {
        let names: BTreeSet<_> = ARCHIVE_CLASSES.iter().map(|class| class.name).collect();
        assert_eq!(names.len(), ARCHIVE_CLASSES.len());
        let tables: Vec<_> = ARCHIVE_CLASSES.iter().flat_map(|class| class.tables).collect();
        let objects: BTreeSet<_> = tables.iter().map(|table| table.object).collect();
        assert_eq!(objects.len(), tables.len());
        for table in tables {
            let fields: BTreeSet<_> = table.columns.iter().map(|column| column.name).collect();
            assert_eq!(fields.len(), table.columns.len(), "{}", table.object);
            assert!(!fields.contains("object"), "{}", table.object);
            for key in table.key {
                assert!(table.columns.iter().any(|column| column.column == *key), "{} {key}", table.object);
            }
        }
        for class in ARCHIVE_CLASSES {
            assert_eq!(class.excluded.is_empty(), !class.tables.is_empty(), "{}", class.name);
        }
    }

    #[test]
    fn no_column_of_a_secret_is_in_an_archive() {
        for table in ARCHIVE_CLASSES.iter().flat_map(|class| class.tables) {
            for column in table.columns {
                for word in ["secret", "hash", "seed_sealed", "token", "password", "credential"] {
                    assert!(!column.column.contains(word), "{}.{}", table.object, column.column);
                }
            }
        }
    }

    #[test]
    fn an_id_of_any_kind_is_read_back() {
        let ArchiveKind::Id(show, read) = ANY_ID else { panic!("it is an id") };
        assert_eq!(read(&show([0xab; 16])), Some([0xab; 16]));
        assert_eq!(read("+bababababababababababababababab"), None);
        assert_eq!(read("ab"), None);
    }
}
