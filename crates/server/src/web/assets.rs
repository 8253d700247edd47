//! Style, script, pictures of our own: in the binary, compressed once, under addresses that change when they do.

use platform::hex;
use std::io::Write as _;
use std::sync::LazyLock;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::http::error::ApiError;
use crate::http::page::{Values, path_texts};
use crate::web::{Page, Viewer, get};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/static/{name}", Viewer::Anyone, send_asset),
        get("/manifest.webmanifest", Viewer::Anyone, send_manifest),
        get("/worker.js", Viewer::Anyone, send_worker),
        get("/favicon.ico", Viewer::Anyone, send_icon),
    ]
}

struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
    /// The first digits of its hash.
    version: String,
    gzip: Option<Vec<u8>>,
}

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const PNG: &str = "image/png";

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |name: &'static str, media_type: &'static str, bytes: &'static [u8]| {
        let version = hex(&Sha256::digest(bytes)[..5]);
        let gzip = (media_type != PNG).then(|| compressed(bytes)).flatten();
        Asset { name, media_type, bytes, version, gzip }
    };
    vec![
        asset("app.css", CSS, include_bytes!("assets/app.css")),
        asset("app.js", JS, include_bytes!("assets/app.js")),
        asset("capture.js", JS, include_bytes!("assets/capture.js")),
        asset("worker.js", JS, include_bytes!("assets/worker.js")),
        asset("offline.html", "text/html; charset=utf-8", include_bytes!("assets/offline.html")),
        asset("offline.css", CSS, include_bytes!("assets/offline.css")),
        asset("manifest.webmanifest", "application/manifest+json", include_bytes!("assets/manifest.webmanifest")),
        asset("icon.svg", SVG, include_bytes!("assets/icon.svg")),
        asset("icon-192.png", PNG, include_bytes!("assets/icon-192.png")),
        asset("icon-512.png", PNG, include_bytes!("assets/icon-512.png")),
        asset("icon-maskable.png", PNG, include_bytes!("assets/icon-maskable.png")),
        asset("icons.svg", SVG, include_bytes!("assets/icons.svg")),
        asset("hills.svg", SVG, include_bytes!("assets/hills.svg")),
        asset("hills-night.svg", SVG, include_bytes!("assets/hills-night.svg")),
    ]
});

fn compressed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

/// The address of an asset.
pub(super) fn address(name: &str) -> String {
    let version = ASSETS.iter().find(|asset| asset.name == name).map_or("", |asset| &asset.version);
    format!("/static/{name}?v={version}")
}

/// A name in a path.
struct Name(String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self(path_texts(parts, state).await.pop().unwrap_or_default()))
    }
}

async fn send_asset(Name(name): Name, values: Values, headers: HeaderMap) -> Result<Response, ApiError> {
    // What an address with a version names never changes.
    let caching = match values.get("v") {
        Some(_) => "public, max-age=31536000, immutable",
        None => "public, max-age=3600",
    };
    send(&name, &headers, caching)
}

async fn send_manifest(headers: HeaderMap) -> Result<Response, ApiError> {
    send("manifest.webmanifest", &headers, "public, max-age=3600")
}

/// From the root, so that it may work for the whole site.
async fn send_worker(headers: HeaderMap) -> Result<Response, ApiError> {
    send("worker.js", &headers, "no-cache")
}

async fn send_icon(headers: HeaderMap) -> Result<Response, ApiError> {
    send("icon-192.png", &headers, "public, max-age=86400")
}

fn send(name: &str, headers: &HeaderMap, caching: &'static str) -> Result<Response, ApiError> {
    let asset = ASSETS.iter().find(|asset| asset.name == name).ok_or_else(|| ApiError::not_found("file"))?;
    let tag = format!("\"{}\"", asset.version);
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let accepts = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    let gzip = asset.gzip.as_ref().filter(|_| accepts.contains("gzip"));
    let mut response = match (known, gzip) {
        (true, _) => StatusCode::NOT_MODIFIED.into_response(),
        (false, Some(gzip)) => gzip.clone().into_response(),
        (false, None) => asset.bytes.into_response(),
    };
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type));
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    answer.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.insert(header::ETAG, tag);
    }
    if !known && gzip.is_some() {
        answer.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_are_small_and_nothing_comes_from_outside() {
        for asset in ASSETS.iter() {
            let gzip = asset.gzip.as_ref().map_or(asset.bytes.len(), Vec::len);
            println!("{}: {} bytes, {gzip} compressed", asset.name, asset.bytes.len());
            let text = String::from_utf8_lossy(asset.bytes);
            let foreign = text.split("http").skip(1).filter(|rest| rest.starts_with("s://") || rest.starts_with("://"));
            let foreign: Vec<_> = foreign.filter(|rest| !rest.starts_with("://www.w3.org/")).collect();
            assert!(asset.media_type == PNG || foreign.is_empty(), "{}: {foreign:?}", asset.name);
        }
        let size = |name: &str| ASSETS.iter().find(|asset| asset.name == name).unwrap().gzip.as_ref().unwrap().len();
        assert!(size("app.js") < 40_000, "{}", size("app.js"));
        assert!(size("app.css") < 30_000, "{}", size("app.css"));
    }
}
