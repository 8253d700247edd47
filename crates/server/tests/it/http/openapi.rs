//! The API's own description of itself.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use axum::extract::ConnectInfo;

use super::site::{As, Sent, Site};

#[tokio::test]
async fn the_document_names_every_route_and_resolves_every_reference() {
    let site = Site::new().await;
    let document = site.send("GET", "/openapi.json", As::Nobody, Sent::Nothing).await.ok();
    assert_eq!(document["openapi"], "3.1.0");
    let mut operations = BTreeSet::new();
    for (method, path, _) in server::route_list() {
        let operation = &document["paths"][path.replace("{*", "{")][method.as_str().to_lowercase()];
        assert!(operation["summary"].as_str().is_some_and(|words| !words.is_empty()), "{method} {path}");
        assert!(operations.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
    }
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"").skip(1) {
        let target = reference.split('"').next().unwrap();
        assert!(document.pointer(target.trim_start_matches('#')).is_some(), "{target}");
    }
    insta::assert_json_snapshot!("openapi", document);
}

#[tokio::test]
async fn the_page_tells_every_field() {
    let answer = Site::new().await.send("GET", "/docs", As::Nobody, Sent::Nothing).await;
    let page = String::from_utf8(answer.body).unwrap();
    let section = page.split("<section id=\"").find(|section| section.starts_with("extend_video")).unwrap();
    for words in ["<dt>prompt</dt><dd>What happens next", "<dt>video</dt><dd>The clip", "<dt>seed</dt><dd>0 to"] {
        assert!(section.contains(words), "{section}");
    }
}

#[tokio::test]
async fn the_page_asks_nobody_else_for_anything() {
    let site = Site::new().await;
    for path in ["/docs", "/set-up", "/password-reset", "/confirm-email"] {
        let answer = site.send("GET", path, As::Nobody, Sent::Nothing).await;
        let page = String::from_utf8(answer.body).unwrap();
        assert!(
            page.starts_with("<!doctype html>") && !page.contains("http://") && !page.contains("https://"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn health_and_readiness_need_no_key_and_metrics_only_this_machine() {
    let site = Site::new().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(site.send("GET", path, As::Nobody, Sent::Nothing).await.ok()["status"], "ok");
    }
    let here = ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 40_000)));
    let metrics = site.send_from("/metrics", Some(here), &[]).await;
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(text.contains("misora_http_answers_total{method=\"GET\",status=\"200\"} 2"), "{text}");
}
