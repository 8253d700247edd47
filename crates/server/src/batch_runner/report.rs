//! What came of a batch, a line a request: accepted ones in the output, refused ones among the errors.

use platform::BatchId;
use serde_json::{Value, json};
use store::{BatchItem, Generation};

use crate::http::Video;

/// The two files as they grow.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) output: Vec<u8>,
    pub(crate) errors: Vec<u8>,
}

/// How a line ended.
pub(crate) enum Ended<'a> {
    /// It was accepted; its video has ended, or is told as it stands.
    Video(Box<Generation>),
    /// It was accepted, and its owner deleted the video.
    Deleted,
    /// It was not accepted; what [`refusal`] or [`stopped`] made of that.
    Refused(&'a str),
}

/// A line's refusal, as its row keeps it.
pub(crate) fn refusal(status: u16, error: &Value) -> String {
    json!({ "response": { "status_code": status, "body": { "error": error } }, "error": null }).to_string()
}

/// A line that was never tried, as its row keeps it.
pub(crate) fn stopped(code: &str, message: &str) -> String {
    json!({ "response": null, "error": { "code": code, "message": message } }).to_string()
}

impl Report {
    /// Adds a line.
    pub(crate) fn line(&mut self, batch: BatchId, item: &BatchItem, ended: Ended<'_>) {
        let request = format!("{batch}_{}", item.line);
        let (file, mut told) = match ended {
            Ended::Video(generation) => {
                let body = json!(Video::from(&*generation));
                (&mut self.output, json!({ "response": { "status_code": 200, "body": body }, "error": null }))
            }
            Ended::Deleted => {
                let error = json!({ "code": "not_found", "message": "The video was deleted." });
                (&mut self.errors, json!({ "response": null, "error": error }))
            }
            Ended::Refused(told) => (&mut self.errors, serde_json::from_str(told).unwrap_or_else(|_| json!({}))),
        };
        told["id"] = json!(format!("batch_req_{request}"));
        told["custom_id"] = json!(item.custom_id);
        if let Some(response) = told.get_mut("response").and_then(Value::as_object_mut) {
            response.insert("request_id".into(), json!(format!("req_{request}")));
        }
        file.extend_from_slice(told.to_string().as_bytes());
        file.push(b'\n');
    }
}
