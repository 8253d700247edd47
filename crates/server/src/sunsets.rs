//! What is told of the ends of models and services: letters before them, and headers on every answer that they concern.

use std::fmt::Write;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use platform::{Sunset, Timestamp};
use store::StoreError;

use crate::letters::letter;
use time::OffsetDateTime;

use crate::app::App;
use crate::web::sunset_letter;

/// Letters of one round and end.
const LETTERS: u32 = 200;

/// Writes the letters that are due, each once to everyone concerned; says how many.
pub(crate) async fn write_letters(app: &App) -> Result<usize, StoreError> {
    let now = app.now();
    let mut written = 0;
    for sunset in app.store.sunsets().await? {
        let Some(days) = sunset.letter(now) else { continue };
        for (identity, email) in app.store.sunset_audience(&sunset, days, LETTERS).await? {
            let (subject, body) = sunset_letter(app, &sunset, days);
            let letter = letter(app, email, subject, body);
            written += usize::from(app.store.post_sunset_letter(sunset.id, identity, days, &letter).await?);
        }
    }
    Ok(written)
}

/// `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and where to go on, of the nearest of the ends that concern an answer.
pub(crate) fn sunset_headers<'a>(sunsets: impl IntoIterator<Item = &'a Sunset>, headers: &mut HeaderMap) {
    let nearest = sunsets.into_iter().filter(|sunset| sunset.announced_at.is_some()).min_by_key(|one| one.ends_at);
    let Some(Sunset { announced_at: Some(announced_at), ends_at, successor, .. }) = nearest else { return };
    let mut set = |name, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    set(HeaderName::from_static("deprecation"), format!("@{}", announced_at.seconds()));
    set(HeaderName::from_static("sunset"), http_date(*ends_at));
    if successor.starts_with("https://") && !successor.contains(['<', '>', '"', ' ']) {
        set(header::LINK, format!("<{successor}>; rel=\"successor-version\""));
    }
}

/// A moment as HTTP writes it (RFC 9110 §5.6.7).
fn http_date(at: Timestamp) -> String {
    let at = OffsetDateTime::from_unix_timestamp(at.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let three = |word: String| word.chars().take(3).collect::<String>();
    let mut text = String::new();
    // Writing into a text cannot fail.
    let _ = write!(
        text,
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        three(at.weekday().to_string()),
        at.day(),
        three(at.month().to_string()),
        at.year(),
        at.hour(),
        at.minute(),
        at.second(),
    );
    text
}

#[cfg(test)]
mod tests {
    use platform::{IdentityId, Service, SunsetId, SunsetSubject};

    use super::*;

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(http_date(Timestamp::from_seconds(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(Timestamp::from_seconds(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
    }

    #[test]
    fn the_nearest_announced_end_is_told() {
        let sunset = |service, ends_at, announced_at: Option<i64>| Sunset {
            id: SunsetId::new(Timestamp::default(), [0; 8]),
            subject: SunsetSubject::Service(service),
            successor: "https://example.org/next".into(),
            asked_at: Timestamp::default(),
            ends_at: Timestamp::from_seconds(ends_at),
            announced_at: announced_at.map(Timestamp::from_seconds),
            confirmed_by: Vec::<IdentityId>::new(),
        };
        let sunsets = [
            sunset(Service::Video, 784_111_777, Some(5)),
            sunset(Service::Api, 900_000_000, Some(6)),
            sunset(Service::Social, 7, None),
        ];
        let mut headers = HeaderMap::new();
        sunset_headers(&sunsets, &mut headers);
        assert_eq!(headers["deprecation"], "@5");
        assert_eq!(headers["sunset"], "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(headers["link"], "<https://example.org/next>; rel=\"successor-version\"");
        let mut none = HeaderMap::new();
        sunset_headers(&sunsets[2..], &mut none);
        assert!(none.is_empty());
    }
}
