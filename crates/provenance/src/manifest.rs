//! What a manifest says (C2PA 2.2 §10, §18): the facts of one video, and the assertions they become.

use c2pa::assertions::DigitalSourceType;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::container::Container;

/// The facts that a signed video carries.
#[derive(Clone, Debug)]
pub struct Provenance<'a> {
    /// The video's name, for people.
    pub title: String,
    /// How it came to be.
    pub action: Action,
    /// The program that made it.
    pub software_agent: SoftwareAgent,
    /// The model that drew it.
    pub model: Model,
    /// Everything that is needed to make the same frames again; any JSON, `null` to leave it out.
    pub recipe: Value,
    /// Whether others may train on it.
    pub training: TrainingChoice,
    /// When it was made, by the caller's clock.
    pub when: OffsetDateTime,
    /// Whether the visible mark is on the frames.
    pub visible_mark: bool,
    /// The bytes of the file it was made from; needed by all actions but [`Action::Created`], which refuses it.
    /// Its own manifest, if it has one, is kept.
    pub parent: Option<&'a [u8]>,
    /// The bytes of other files whose frames are in it as they were, after the parent's. Their manifests are kept too.
    pub placed: Vec<&'a [u8]>,
}

/// How a video came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// From words alone: `c2pa.created`.
    Created,
    /// From another video, changed: `c2pa.opened`, then `c2pa.edited`.
    Edited,
    /// From another video, made longer: `c2pa.opened`, then `c2pa.edited` that says so.
    Extended,
    /// A part of another video: `c2pa.opened`, then `c2pa.edited` that says so.
    Trimmed,
    /// Made elsewhere and brought here as it is: `c2pa.opened`, and nothing after it.
    Imported,
}

/// A program and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoftwareAgent {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A model and the digest of its weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// A digest of its weights, such as `sha256:…`.
    pub weights_hash: String,
}

/// Whether others may train models on a video or mine it (CAWG training and data mining assertion 1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TrainingChoice {
    /// They may.
    Allowed,
    /// They may not.
    #[default]
    NotAllowed,
}

/// The label of [`Provenance::recipe`].
pub(crate) const RECIPE: &str = "org.misora.recipe";
/// The label of [`Generation`].
pub(crate) const GENERATION: &str = "org.misora.generation";
/// The label of [`TrainingMining`].
pub(crate) const TRAINING_MINING: &str = "cawg.training-mining";
/// The word that ties an action to its ingredient while the manifest is built.
pub(crate) const PARENT_ID: &str = "parent";
/// The same for the files that are placed, with their number behind it.
pub(crate) const PLACED_ID: &str = "placed";
/// How an extension is told from another edit, for people and for [`crate::verify`].
const EXTENDED: &str = "extended in time";
const TRIMMED: &str = "a part, cut in time";
const EDITED: &str = "edited with a prompt";
const CREATED: &str = "generated from a prompt";

/// Our own assertion: facts that no standard assertion has a place for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Generation {
    pub(crate) action: Action,
    pub(crate) model: Model,
    pub(crate) visible_mark: bool,
    /// SHA-256 of an MP4's boxes that C2PA leaves unhashed, see [`crate::envelope`]. Pictures have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) open_boxes_sha256: Option<String>,
}

/// `cawg.training-mining`: one answer for each use.
#[derive(Serialize, Deserialize)]
pub(crate) struct TrainingMining {
    pub(crate) entries: std::collections::BTreeMap<String, TrainingUse>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct TrainingUse {
    #[serde(rename = "use")]
    pub(crate) choice: TrainingChoice,
}

impl TrainingMining {
    fn all(choice: TrainingChoice) -> Self {
        let uses = ["cawg.ai_generative_training", "cawg.ai_training", "cawg.data_mining"];
        Self { entries: uses.into_iter().map(|name| (name.to_owned(), TrainingUse { choice })).collect() }
    }

    /// `Allowed` only if every use is.
    pub(crate) fn choice(&self) -> TrainingChoice {
        let all =
            !self.entries.is_empty() && self.entries.values().all(|entry| entry.choice == TrainingChoice::Allowed);
        if all { TrainingChoice::Allowed } else { TrainingChoice::NotAllowed }
    }
}

/// The manifest definition that the C2PA library takes.
pub(crate) fn definition(
    provenance: &Provenance<'_>,
    container: Container,
    open_boxes_sha256: Option<String>,
) -> Result<Value, serde_json::Error> {
    let agent = json!({ "name": provenance.software_agent.name, "version": provenance.software_agent.version });
    let generation = Generation {
        action: provenance.action,
        model: provenance.model.clone(),
        visible_mark: provenance.visible_mark,
        open_boxes_sha256,
    };
    let mut assertions = vec![
        json!({ "label": "c2pa.actions.v2", "created": true, "data": { "actions": actions(provenance, &agent)?, "allActionsIncluded": true } }),
        json!({ "label": TRAINING_MINING, "created": true, "data": TrainingMining::all(provenance.training) }),
        json!({ "label": GENERATION, "kind": "Json", "created": true, "data": generation }),
    ];
    if !provenance.recipe.is_null() {
        assertions.push(json!({ "label": RECIPE, "kind": "Json", "created": true, "data": provenance.recipe }));
    }
    Ok(json!({
        "claim_version": 2,
        "vendor": "misora",
        "claim_generator_info": [agent],
        "title": provenance.title,
        "format": container.mime(),
        "assertions": assertions,
    }))
}

/// `c2pa.actions.v2`: the first action is `c2pa.created` or `c2pa.opened`, as §18.15 asks.
fn actions(provenance: &Provenance<'_>, agent: &Value) -> Result<Value, serde_json::Error> {
    let when = serde_json::to_value(Instant(provenance.when))?;
    let made = |action: &str, description: &str| {
        json!({
            "action": action,
            "when": when,
            "softwareAgent": agent,
            "digitalSourceType": DigitalSourceType::TrainedAlgorithmicMedia,
            "description": description,
        })
    };
    let mut actions = match provenance.action {
        Action::Created => vec![made("c2pa.created", CREATED)],
        Action::Edited => vec![opened(&when, agent), made("c2pa.edited", EDITED)],
        Action::Extended => vec![opened(&when, agent), made("c2pa.edited", EXTENDED)],
        Action::Trimmed => vec![opened(&when, agent), made("c2pa.edited", TRIMMED)],
        Action::Imported => vec![opened(&when, agent)],
    };
    actions.extend((0..provenance.placed.len()).map(|index| {
        let parameters = json!({ "ingredientIds": [format!("{PLACED_ID}{index}")] });
        json!({ "action": "c2pa.placed", "when": when, "softwareAgent": agent, "parameters": parameters })
    }));
    Ok(actions.into())
}

fn opened(when: &Value, agent: &Value) -> Value {
    json!({ "action": "c2pa.opened", "when": when, "softwareAgent": agent, "parameters": { "ingredientIds": [PARENT_ID] } })
}

/// A time as RFC 3339 with whole seconds, in UTC.
struct Instant(OffsetDateTime);

impl Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let utc = self.0.to_offset(time::UtcOffset::UTC).replace_nanosecond(0).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&utc.format(&Rfc3339).map_err(serde::ser::Error::custom)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_is_a_refusal() {
        let mut choice = TrainingMining::all(TrainingChoice::Allowed);
        assert_eq!(choice.choice(), TrainingChoice::Allowed);
        choice.entries.insert("cawg.ai_inference".to_owned(), TrainingUse { choice: TrainingChoice::NotAllowed });
        assert_eq!(choice.choice(), TrainingChoice::NotAllowed);
        choice.entries.clear();
        assert_eq!(choice.choice(), TrainingChoice::NotAllowed);
    }

    #[test]
    fn times_are_utc_and_whole() {
        let when = time::macros::datetime!(2026-11-23 23:30:01.75 +2);
        assert_eq!(serde_json::to_value(Instant(when)).unwrap(), json!("2026-11-23T21:30:01Z"));
    }
}
