//! The input of a batch: a line a request, JSON.

use std::collections::HashSet;

use platform::{MAX_INPUT_BYTES, MAX_LINES};
use serde::Deserialize;
use serde_json::value::RawValue;
use store::NewBatchItem;

/// Mistakes that are told; more would help nobody.
const MOST_ERRORS: usize = 20;
/// The longest `custom_id`, in bytes.
const MOST_ID_BYTES: usize = 512;

#[derive(Deserialize)]
struct Line<'a> {
    custom_id: Option<String>,
    method: Option<String>,
    url: Option<String>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

/// Reads all lines; blank ones are passed over.
///
/// # Errors
/// The mistakes as the API lists them, in JSON.
pub(crate) fn read_lines(bytes: &[u8]) -> Result<Vec<NewBatchItem>, String> {
    if bytes.len() as u64 > MAX_INPUT_BYTES {
        return Err(error("file_too_large", None, &format!("The file has more than {MAX_INPUT_BYTES} bytes.")));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(error("invalid_file", None, "The file is not UTF-8."));
    };
    let (mut items, mut errors, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if items.len() == MAX_LINES {
            return Err(error("too_many_requests", None, &format!("The file has more than {MAX_LINES} requests.")));
        }
        match read_line(line) {
            Ok(item) if !seen.insert(item.custom_id.clone()) => {
                errors.push(problem("duplicate_custom_id", Some(index), "This custom_id stands on a line before."));
            }
            Ok(item) => items.push(item),
            Err((code, message)) => errors.push(problem(code, Some(index), &message)),
        }
        if errors.len() == MOST_ERRORS {
            break;
        }
    }
    if !errors.is_empty() {
        return Err(serde_json::Value::from(errors).to_string());
    }
    if items.is_empty() {
        return Err(error("empty_file", None, "The file has no requests."));
    }
    Ok(items)
}

fn read_line(text: &str) -> Result<NewBatchItem, (&'static str, String)> {
    let line: Line<'_> = serde_json::from_str(text)
        .map_err(|error| ("invalid_json_line", format!("This line is not a JSON object as it should be: {error}.")))?;
    let missing = |name| ("missing_required_parameter", format!("Missing required parameter: '{name}'."));
    let custom_id = line.custom_id.ok_or_else(|| missing("custom_id"))?;
    if custom_id.is_empty() || custom_id.len() > MOST_ID_BYTES || custom_id.contains('\0') {
        return Err(("invalid_value", format!("A custom_id has 1 to {MOST_ID_BYTES} bytes.")));
    }
    match line.method.as_deref() {
        Some("POST") => {}
        Some(_) => return Err(("invalid_method", "The method must be POST.".into())),
        None => return Err(missing("method")),
    }
    match line.url.as_deref() {
        Some("/v1/videos") => {}
        Some(_) => return Err(("invalid_url", "The url must be /v1/videos.".into())),
        None => return Err(missing("url")),
    }
    let body = line.body.ok_or_else(|| missing("body"))?.get();
    if !body.starts_with('{') {
        return Err(("invalid_type", "The body must be an object.".into()));
    }
    Ok(NewBatchItem { custom_id, body: body.to_owned() })
}

/// A list with one mistake.
pub(crate) fn error(code: &str, line: Option<usize>, message: &str) -> String {
    serde_json::Value::from(vec![problem(code, line, message)]).to_string()
}

/// A mistake, as the API has it; lines count from 1.
fn problem(code: &str, index: Option<usize>, message: &str) -> serde_json::Value {
    serde_json::json!({ "code": code, "line": index.map(|index| index + 1), "message": message, "param": null })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_bodies_as_they_are() {
        let text = concat!(
            r#"{"custom_id":"a","method":"POST","url":"/v1/videos","body":{"prompt":"x", "seed":1}}"#,
            "\n\n",
            r#"{"custom_id":"b","method":"POST","url":"/v1/videos","body":{}}"#,
        );
        let items = read_lines(text.as_bytes()).unwrap();
        assert_eq!(items.len(), 2);
        assert_eq!(items[0].body, r#"{"prompt":"x", "seed":1}"#);
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let check = |line: &str, code: &str| {
            let good = r#"{"custom_id":"a","method":"POST","url":"/v1/videos","body":{}}"#;
            let errors = read_lines(format!("{good}\n{line}\n").as_bytes()).unwrap_err();
            let errors: serde_json::Value = serde_json::from_str(&errors).unwrap();
            assert_eq!((&errors[0]["code"], &errors[0]["line"]), (&code.into(), &2.into()), "{errors}");
        };
        check("{", "invalid_json_line");
        check(r#"{"method":"POST","url":"/v1/videos","body":{}}"#, "missing_required_parameter");
        check(r#"{"custom_id":"a","method":"POST","url":"/v1/videos","body":{}}"#, "duplicate_custom_id");
        check(r#"{"custom_id":"b","method":"GET","url":"/v1/videos","body":{}}"#, "invalid_method");
        check(r#"{"custom_id":"b","method":"POST","url":"/v1/chat","body":{}}"#, "invalid_url");
        check(r#"{"custom_id":"b","method":"POST","url":"/v1/videos","body":[]}"#, "invalid_type");
        assert!(read_lines(b"\n\n").unwrap_err().contains("empty_file"));
        assert!(read_lines(&[0xff]).unwrap_err().contains("UTF-8"));
    }
}
