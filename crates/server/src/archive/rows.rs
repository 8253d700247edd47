//! Rows as lines of JSON, and back. A stranger wrote what comes back: every field must be there and be what its column may hold.

use platform::Timestamp;
use serde_json::{Map, Value, json};
use store::{ArchiveClass, ArchiveColumn, ArchiveKind, ArchiveRow, ArchiveValue};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::archive::manifest::media_path;
use crate::archive::zip::leads_inside;

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    /// It is no JSON object.
    #[error("it is no JSON object")]
    Json,
    /// It says that it is something else.
    #[error("it says that it is {0:?}")]
    Object(String),
    /// A field is missing or holds what it cannot hold.
    #[error("its field {0:?} is missing or holds what it cannot hold")]
    Field(&'static str),
}

/// A moment for people and programs, exact to the microsecond.
pub(crate) fn moment(at: Timestamp) -> String {
    let nanos = i128::from(at.micros()) * 1000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc3339).unwrap_or_default()
}

/// A moment as it was written.
pub(crate) fn read_moment(text: &str) -> Option<Timestamp> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1000)).ok().map(Timestamp::from_micros)
}

/// A row as a line, without its end.
pub(crate) fn line(row: &ArchiveRow) -> String {
    let mut fields = Map::new();
    fields.insert("object".into(), row.table.object.into());
    for (column, value) in row.table.columns.iter().zip(&row.values) {
        fields.insert(column.name.into(), written(column.kind, value));
    }
    Value::Object(fields).to_string()
}

fn written(kind: ArchiveKind, value: &ArchiveValue) -> Value {
    match (kind, value) {
        (_, ArchiveValue::Null) => Value::Null,
        (ArchiveKind::Id(show, _), ArchiveValue::Id(id)) => show(*id).into(),
        (ArchiveKind::Flag, ArchiveValue::Int(flag)) => (*flag != 0).into(),
        (ArchiveKind::Moment, ArchiveValue::Int(micros)) => moment(Timestamp::from_micros(*micros)).into(),
        (ArchiveKind::List(_), ArchiveValue::Text(words)) => words.split_whitespace().collect::<Vec<_>>().into(),
        (ArchiveKind::Json, ArchiveValue::Text(text)) => {
            serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into())
        }
        (ArchiveKind::File, ArchiveValue::Text(key)) => media_path(key).into(),
        (_, ArchiveValue::Int(number)) => json!(number),
        (_, ArchiveValue::Float(number)) => json!(number),
        (_, ArchiveValue::Text(text)) => text.as_str().into(),
        (_, ArchiveValue::Id(_)) => Value::Null,
    }
}

/// The row of a line of a class. Names of files stand where names of objects will.
pub(crate) fn read_line(class: &'static ArchiveClass, line: &str) -> Result<ArchiveRow, LineError> {
    let fields: Map<String, Value> = serde_json::from_str(line).map_err(|_| LineError::Json)?;
    let object = fields.get("object").and_then(Value::as_str).unwrap_or_default();
    let table = class.tables.iter().find(|table| table.object == object);
    let table = table.ok_or_else(|| LineError::Object(object.chars().take(80).collect()))?;
    let values = table.columns.iter().map(|column| {
        let value = fields.get(column.name).filter(|value| !value.is_null());
        match value {
            _ if !column.restored => Ok(ArchiveValue::Null),
            Some(value) => read(column, value).ok_or(LineError::Field(column.name)),
            None if column.optional => Ok(ArchiveValue::Null),
            None => Err(LineError::Field(column.name)),
        }
    });
    Ok(ArchiveRow { table, values: values.collect::<Result<_, _>>()? })
}

fn read(column: &ArchiveColumn, value: &Value) -> Option<ArchiveValue> {
    let text = |allowed: bool, text: &str| allowed.then(|| ArchiveValue::Text(text.to_owned()));
    match column.kind {
        ArchiveKind::Id(_, read) => read(value.as_str()?).map(ArchiveValue::Id),
        ArchiveKind::Flag => value.as_bool().map(|flag| ArchiveValue::Int(flag.into())),
        ArchiveKind::Moment => read_moment(value.as_str()?).map(|at| ArchiveValue::Int(at.micros())),
        ArchiveKind::Whole(least, most) => {
            value.as_i64().filter(|number| (least..=most).contains(number)).map(ArchiveValue::Int)
        }
        ArchiveKind::Number => value.as_f64().filter(|number| number.is_finite()).map(ArchiveValue::Float),
        ArchiveKind::Text(allowed) => text(allowed(value.as_str()?), value.as_str()?),
        ArchiveKind::List(allowed) => {
            let words: Option<Vec<_>> = value.as_array()?.iter().map(Value::as_str).collect();
            let words = words?;
            let fine =
                words.iter().all(|word| !word.contains(char::is_whitespace) && !word.is_empty() && allowed(word));
            text(fine, &words.join(" "))
        }
        ArchiveKind::Json => text(true, &value.to_string()),
        ArchiveKind::File => text(leads_inside(value.as_str()?), value.as_str()?),
    }
}

#[cfg(test)]
mod tests {
    use store::ARCHIVE_CLASSES;

    use super::*;

    fn class(name: &str) -> &'static ArchiveClass {
        ARCHIVE_CLASSES.iter().find(|class| class.name == name).unwrap()
    }

    const FOLDER: &str = r#"{"object":"folder","id":"folder_00000000000070008000000000000001","name":"Boats","created_at":"2026-11-26T07:00:00.000001Z"}"#;

    #[test]
    fn a_line_is_read_back_as_it_was_written() {
        let row = read_line(class("folders"), FOLDER).unwrap();
        assert_eq!(row.text("name"), "Boats");
        let again: Value = serde_json::from_str(&line(&row)).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(FOLDER).unwrap());
    }

    #[test]
    fn moments_keep_their_microseconds() {
        for micros in [0, 1, 1_790_000_000_123_456, -5] {
            let at = Timestamp::from_micros(micros);
            assert_eq!(read_moment(&moment(at)), Some(at), "{micros}");
        }
        assert_eq!(read_moment("yesterday"), None);
    }

    #[test]
    fn what_no_column_may_hold_is_refused() {
        let check = |from: &str, to: &str, expected: LineError| {
            let line = FOLDER.replace(from, to);
            assert_eq!(read_line(class("folders"), &line).unwrap_err(), expected, "{line}");
        };
        check("\"Boats\"", "\"\"", LineError::Field("name"));
        check("\"Boats\"", "null", LineError::Field("name"));
        check("\"Boats\"", "7", LineError::Field("name"));
        check("folder_0", "post_0", LineError::Field("id"));
        check("2026-", "26-", LineError::Field("created_at"));
        check("\"folder\"", "\"post\"", LineError::Object("post".into()));
        check("{", "[", LineError::Json);
        let deep = format!("{{\"object\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(read_line(class("folders"), &deep).unwrap_err(), LineError::Json);
    }
}
