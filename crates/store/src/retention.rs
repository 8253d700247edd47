//! The retention schedule as a file, and what runs it: each rule of each class has its act here, and no rule is without one.

use std::time::Duration;

use platform::{DataClass, Owner, Rule, Schedule, ScheduleError, Timestamp, Trigger};
use serde_json::{Value as Json, json};

use crate::database::args;
use crate::error::StoreError;
use crate::store::Store;

/// The schedule that an installation has unless its owner gives another.
pub const DEFAULT_SCHEDULE: &str = include_str!("retention.json");

/// The form of the file that is read here.
const VERSION: u64 = 1;

/// A file that is no schedule.
#[derive(Debug, thiserror::Error)]
pub enum ReadScheduleError {
    /// No JSON.
    #[error("the retention schedule is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Something is missing or is not what it should be.
    #[error("the retention schedule: {0}")]
    Field(String),
    /// It contradicts itself.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The purger cannot do it.
    #[error("the retention schedule ends {class:?} after {trigger:?}, and nothing here can do that")]
    NoAct {
        /// The class.
        class: String,
        /// The trigger's word.
        trigger: &'static str,
    },
}

/// What ends a class after a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// The end of its owner: `closure.rs`.
    Closure,
    /// A statement with the moment in `$1`: what began before it is over.
    Rows(&'static str),
    /// A method of the store, called by [`Store::run_schedule`].
    Method,
    /// Whoever keeps house, because webhooks are told: see the server.
    Housekeeping,
    /// The code that uses it up removes it in the same transaction.
    AtOnce,
    /// The operator, outside of this program.
    Operator,
}

/// Which act belongs to which rule.
const ACTS: &[(&str, Trigger, Act)] = &[
    ("sessions", Trigger::Expired, Act::Method),
    ("archives", Trigger::Expired, Act::Housekeeping),
    ("brought", Trigger::Expired, Act::Housekeeping),
    ("letters", Trigger::Made, Act::Rows("DELETE FROM letters WHERE written_at <= $1")),
    ("receipts", Trigger::Made, Act::Rows("DELETE FROM receipts WHERE written_at <= $1")),
    ("bans", Trigger::Closed, Act::Rows("DELETE FROM standing_limits WHERE left_at <= $1")),
    ("bans", Trigger::Expired, Act::Rows("DELETE FROM standing_limits WHERE ends_at <= $1")),
    (
        "decisions",
        Trigger::Ended,
        Act::Rows(
            "DELETE FROM decisions WHERE state <> 'proposed' AND COALESCE(lifted_at, ends_at, decided_at) <= $1
             AND NOT EXISTS (SELECT 1 FROM appeals a WHERE a.decision = decisions.id AND (a.outcome IS NULL OR a.decided_at > $1))
             AND (state IN ('lifted', 'overturned') OR (
                 NOT EXISTS (SELECT 1 FROM decision_memberships d JOIN memberships m ON m.service = d.service
                     WHERE d.decision = decisions.id AND m.identity = decisions.subject
                     AND (m.state IN ('restricted', 'suspended') OR m.standing IS NOT NULL))
                 AND NOT EXISTS (SELECT 1 FROM posts p WHERE p.id = decisions.item AND p.withheld_at IS NOT NULL)
                 AND NOT EXISTS (SELECT 1 FROM comments c WHERE c.id = decisions.item AND c.withheld_at IS NOT NULL)
                 AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = decisions.item AND m.withheld_at IS NOT NULL)
                 AND NOT EXISTS (SELECT 1 FROM withheld_profiles w WHERE w.identity = decisions.item)))",
        ),
    ),
    ("decisions", Trigger::Made, Act::Rows("DELETE FROM decisions WHERE state = 'proposed' AND decided_at <= $1")),
    (
        "decision_evidence",
        Trigger::Made,
        Act::Rows(
            "DELETE FROM decision_evidence WHERE decision IN (SELECT d.id FROM decisions d WHERE d.decided_at <= $1
             AND NOT EXISTS (SELECT 1 FROM appeals a WHERE a.decision = d.id AND a.outcome IS NULL))",
        ),
    ),
    ("appeals", Trigger::Ended, Act::Rows("DELETE FROM appeals WHERE decided_at <= $1")),
    (
        "takedowns",
        Trigger::Ended,
        Act::Rows("DELETE FROM takedowns WHERE state NOT IN ('open', 'countered') AND COALESCE(ended_at, decided_at) <= $1"),
    ),
    (
        "rights_requests",
        Trigger::Made,
        Act::Rows("DELETE FROM rights_requests WHERE state = 'open' AND received_at <= $1"),
    ),
    (
        "rights_requests",
        Trigger::Ended,
        Act::Rows("DELETE FROM rights_requests WHERE state <> 'open' AND decided_at <= $1"),
    ),
    ("audit", Trigger::Made, Act::Method),
    ("clips", Trigger::Deleted, Act::Housekeeping),
    ("clips", Trigger::Expired, Act::Method),
    ("pictures", Trigger::Made, Act::Method),
    ("jobs", Trigger::Ended, Act::AtOnce),
    (
        "webhooks",
        Trigger::Ended,
        Act::Rows("DELETE FROM webhook_deliveries WHERE next_at IS NULL AND COALESCE(delivered_at, event_at) <= $1"),
    ),
    ("files", Trigger::Expired, Act::Method),
    ("idempotency", Trigger::Made, Act::Rows("DELETE FROM idempotency_keys WHERE created_at <= $1")),
    ("handles", Trigger::Closed, Act::Rows("DELETE FROM reserved_handles WHERE left_at <= $1")),
    ("posts", Trigger::Deleted, Act::Method),
    ("act_counts", Trigger::Made, Act::Rows("DELETE FROM act_counts WHERE hour <= CAST($1 AS BIGINT) / 3600000000")),
    ("notices", Trigger::Made, Act::Rows("DELETE FROM notices WHERE at <= $1")),
    ("reports", Trigger::Ended, Act::Rows("DELETE FROM reports WHERE closed_at <= $1")),
    ("deletions", Trigger::Made, Act::Housekeeping),
    ("captures", Trigger::Ended, Act::Method),
    (
        "likeness_outputs",
        Trigger::Ended,
        Act::Rows(
            "DELETE FROM likeness_outputs WHERE made_at <= $1
             AND NOT EXISTS (SELECT 1 FROM generations g WHERE g.id = likeness_outputs.generation)
             AND NOT EXISTS (SELECT 1 FROM posts p WHERE p.video = likeness_outputs.generation AND p.video_key <> '')",
        ),
    ),
    (
        "consents",
        Trigger::Ended,
        Act::Rows(
            "DELETE FROM likeness_consents WHERE ended_at <= $1
             AND NOT EXISTS (SELECT 1 FROM likenesses l WHERE l.consent = likeness_consents.id)
             AND NOT EXISTS (SELECT 1 FROM likeness_outputs o WHERE o.consent = likeness_consents.id)",
        ),
    ),
    ("backups", Trigger::Made, Act::Operator),
    ("logs", Trigger::Made, Act::Operator),
];

/// What ends a class after a trigger; nothing if nothing can.
fn act(class: &DataClass, trigger: Trigger) -> Option<Act> {
    let own = ACTS.iter().find(|(name, of, _)| *name == class.name && *of == trigger).map(|(_, _, act)| *act);
    own.or_else(|| (trigger == Trigger::Closed && class.owner != Owner::Installation).then_some(Act::Closure))
}

/// Reads a schedule, and checks that each of its rules can be run.
///
/// # Errors
/// [`ReadScheduleError`].
pub fn read_schedule(text: &str) -> Result<Schedule, ReadScheduleError> {
    let file: Json = serde_json::from_str(text)?;
    if file["version"] != VERSION {
        return Err(ReadScheduleError::Field(format!("its version must be {VERSION}")));
    }
    let classes = file["classes"].as_array().ok_or_else(|| ReadScheduleError::Field("it has no classes".into()))?;
    let schedule = Schedule::new(classes.iter().map(read_class).collect::<Result<_, _>>()?)?;
    for class in schedule.classes() {
        if let Some(rule) = class.rules.iter().find(|rule| act(class, rule.trigger).is_none()) {
            let (class, trigger) = (class.name.clone(), rule.trigger.as_str());
            return Err(ReadScheduleError::NoAct { class, trigger });
        }
    }
    Ok(schedule)
}

fn read_class(class: &Json) -> Result<DataClass, ReadScheduleError> {
    let name = class["name"].as_str().unwrap_or_default().to_owned();
    let wrong = |what: &str| ReadScheduleError::Field(format!("the class {name:?} {what}"));
    let texts = |field: &str| -> Result<Vec<String>, ReadScheduleError> {
        let items = class[field].as_array().ok_or_else(|| wrong(&format!("has no list {field:?}")))?;
        Ok(items.iter().filter_map(Json::as_str).map(str::to_owned).collect())
    };
    let rules = class["keep"].as_array().ok_or_else(|| wrong("has no list \"keep\""))?;
    let rule = |rule: &Json| -> Result<Rule, ReadScheduleError> {
        let trigger =
            rule["after"].as_str().and_then(Trigger::from_word).ok_or_else(|| wrong("has an unknown \"after\""))?;
        let days = rule["days"].as_f64().filter(|days| (0.0..=36_500.0).contains(days));
        let days = days.ok_or_else(|| wrong("needs \"days\" from 0 to 36500"))?;
        let ground =
            rule["ground"].as_str().filter(|ground| !ground.is_empty()).ok_or_else(|| wrong("has no \"ground\""))?;
        Ok(Rule { trigger, keep: Duration::from_secs_f64(days * 86_400.0), ground: ground.to_owned() })
    };
    Ok(DataClass {
        owner: class["owner"].as_str().and_then(Owner::from_word).ok_or_else(|| wrong("has no known owner"))?,
        what: class["what"].as_str().ok_or_else(|| wrong("does not say what it is"))?.to_owned(),
        tables: texts("tables")?,
        objects: texts("objects")?,
        rules: rules.iter().map(rule).collect::<Result<_, ReadScheduleError>>()?,
        in_backups: class["in_backups"].as_bool().ok_or_else(|| wrong("does not say whether backups hold it"))?,
        name,
    })
}

/// The schedule as it is published.
pub fn write_schedule(schedule: &Schedule) -> Json {
    let rule = |rule: &Rule| json!({ "after": rule.trigger.as_str(), "days": rule.keep.as_secs_f64() / 86_400.0, "ground": rule.ground });
    let class = |class: &DataClass| {
        json!({
            "name": class.name,
            "owner": class.owner.as_str(),
            "what": class.what,
            "tables": class.tables,
            "objects": class.objects,
            "keep": class.rules.iter().map(rule).collect::<Vec<_>>(),
            "in_backups": class.in_backups,
        })
    };
    json!({ "version": VERSION, "classes": schedule.classes().iter().map(class).collect::<Vec<_>>() })
}

impl Store {
    /// Deletes what the schedule keeps no longer, so many of a kind at most; says how many of each class. What needs more than rows
    /// is the housekeeper's.
    ///
    /// # Errors
    /// [`StoreError::Database`]; what was deleted stays deleted.
    pub async fn run_schedule(
        &self,
        schedule: &Schedule,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let mut gone = Vec::new();
        for class in schedule.classes() {
            for rule in &class.rules {
                let before = now - rule.keep;
                let count = match act(class, rule.trigger) {
                    Some(Act::Rows(sql)) => self.database.execute(sql, args![before]).await?,
                    Some(Act::Method) => self.run_rule(&class.name, rule.trigger, before, limit, now).await?,
                    _ => 0,
                };
                if count > 0 {
                    gone.push((class.name.clone(), count));
                }
            }
        }
        Ok(gone)
    }

    async fn run_rule(
        &self,
        class: &str,
        trigger: Trigger,
        before: Timestamp,
        limit: u32,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let count = match (class, trigger) {
            ("sessions", Trigger::Expired) => {
                let sessions = "DELETE FROM sessions WHERE expires_at < $1";
                return Ok(
                    self.database.execute(sessions, args![before]).await? + self.forget_expired_tokens(before).await?
                );
            }
            ("audit", Trigger::Made) => return self.prune_audit(before, limit).await,
            ("clips", Trigger::Expired) => self.expire_media(before, limit, now).await?,
            ("pictures", Trigger::Made) => self.delete_old_pictures(before, limit, now).await?,
            ("files", Trigger::Expired) => self.expire_files(before, now).await?,
            ("captures", Trigger::Ended) => self.delete_captures(before, limit, now).await?,
            ("posts", Trigger::Deleted) => self.purge_posts(before, limit, now).await?,
            _ => 0,
        };
        Ok(count as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_schedule_is_read_and_published_as_it_is() {
        let schedule = read_schedule(DEFAULT_SCHEDULE).unwrap();
        let published = write_schedule(&schedule);
        assert_eq!(read_schedule(&published.to_string()).unwrap(), schedule);
        // Every act belongs to a rule: none is dead.
        for (class, trigger, _) in ACTS {
            assert!(schedule.keep(class, *trigger).is_some(), "{class} {trigger:?}");
        }
    }

    #[test]
    fn a_rule_that_nothing_runs_is_refused() {
        let mut file: Json = serde_json::from_str(DEFAULT_SCHEDULE).unwrap();
        let refused = |file: &Json| read_schedule(&file.to_string()).unwrap_err().to_string();
        let class = file["classes"].as_array_mut().unwrap().iter_mut().find(|class| class["name"] == "likes").unwrap();
        class["keep"].as_array_mut().unwrap().push(json!({ "after": "made", "days": 1, "ground": "tidiness" }));
        assert_eq!(
            refused(&file),
            "the retention schedule ends \"likes\" after \"made\", and nothing here can do that"
        );
        for (field, value) in [("keep", json!(null)), ("owner", json!("nobody")), ("tables", json!("likes"))] {
            let mut file: Json = serde_json::from_str(DEFAULT_SCHEDULE).unwrap();
            file["classes"][0][field] = value;
            assert!(refused(&file).contains("account"), "{field}");
        }
        assert!(read_schedule("{}").is_err());
        assert!(read_schedule("clips forever").is_err());
    }
}
