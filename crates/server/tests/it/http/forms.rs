//! First frames and files, in every shape that clients send.

use base64::Engine;
use serde_json::json;

use super::site::{As, Sent, Site, png, small};

fn data_url(bytes: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(bytes))
}

#[tokio::test]
async fn a_first_frame_may_come_in_any_shape() {
    let site = Site::new().await;
    let (good, url) = (png(144, 80), data_url(&png(144, 80)));
    let common: [(&str, Option<&str>, &[u8]); 3] =
        [("size", None, b"144x80"), ("prompt", None, b"a boat"), ("seconds", None, b"4")];
    for part in [("input_reference", Some("upload"), &good[..]), ("input_reference[image_url]", None, url.as_bytes())] {
        let parts = [&[part][..], &common].concat();
        assert_eq!(site.send("POST", "/v1/videos", As::Key(&site.key), Sent::Form(&parts)).await.status, 200);
    }
    let parts: &[(&str, Option<&str>, &[u8])] = &[("file", Some("a/../b.png"), &good), ("purpose", None, b"vision")];
    let file = site.send("POST", "/v1/files", As::Key(&site.key), Sent::Form(parts)).await.ok();
    assert_eq!(file["filename"], "b.png");
    for reference in [json!({ "image_url": url }), json!(url), json!({ "file_id": file["id"] })] {
        let mut body = small("a boat");
        body["input_reference"] = reference;
        assert_eq!(site.post("/v1/videos", body).await.status, 200);
    }
}

#[tokio::test]
async fn a_first_frame_that_cannot_be_used_is_refused() {
    let site = Site::new().await;
    let refused = async |reference: serde_json::Value| {
        let mut body = small("a boat");
        body["input_reference"] = reference;
        let answer = site.post("/v1/videos", body).await;
        (answer.error().0, answer.json()["error"]["message"].as_str().unwrap().to_owned())
    };
    let (status, words) = refused(json!({ "image_url": data_url(&png(72, 40)) })).await;
    assert_eq!((status, words.as_str()), (400, "Inpaint image must match the requested width and height"));
    for reference in [
        json!({ "image_url": data_url(b"no image") }),
        json!({ "image_url": data_url(&png(144, 80)), "file_id": "file-1" }),
        json!({ "file_id": "file-1" }),
        json!({ "image_url": "https://example.org/a.png" }),
        json!({ "image_url": "file:///etc/passwd" }),
        json!({}),
        json!(7),
    ] {
        assert_eq!(refused(reference.clone()).await.0, 400, "{reference}");
    }
    // Nothing of what was refused was kept.
    assert_eq!(site.get("/v1/files").await.ok()["data"], json!([]));
}

#[tokio::test]
async fn a_first_frame_goes_with_its_video() {
    let site = Site::new().await;
    let mut body = small("a boat");
    body["input_reference"] = json!({ "image_url": data_url(&png(144, 80)) });
    let made = site.post("/v1/videos", body).await.ok();
    assert_eq!(site.get("/v1/files").await.ok()["data"].as_array().unwrap().len(), 1);
    site.delete(&format!("/v1/videos/{}", made["id"].as_str().unwrap())).await.ok();
    assert_eq!(site.get("/v1/files").await.ok()["data"], json!([]));
}

#[tokio::test]
async fn a_picture_loses_what_it_says_beside_its_pixels() {
    let site = Site::new().await;
    // A text chunk before the end of the file.
    let mut picture = png(16, 16);
    let end = picture.len() - 12;
    let text = b"tEXtPlace\0somewhere";
    let chunk = [&15_u32.to_be_bytes()[..], text, &crc(text).to_be_bytes()].concat();
    picture.splice(end..end, chunk);
    let parts: &[(&str, Option<&str>, &[u8])] = &[("file", Some("a.png"), &picture), ("purpose", None, b"vision")];
    let file = site.send("POST", "/v1/files", As::Key(&site.key), Sent::Form(parts)).await.ok();
    let path = format!("/v1/files/{}", file["id"].as_str().unwrap());
    let content = site.get(&format!("{path}/content")).await;
    assert_eq!((content.status, content.header("content-type")), (200, "image/png"));
    assert!(!content.body.windows(9).any(|part| part == b"somewhere"));
    assert_eq!(site.delete(&path).await.ok()["deleted"], true);
    assert_eq!(site.get(&path).await.error().0, 404);
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[tokio::test]
async fn a_file_says_what_it_is_for() {
    let site = Site::new().await;
    let upload = |purpose: &'static str, content: &'static [u8]| {
        let site = &site;
        async move {
            let parts: &[(&str, Option<&str>, &[u8])] = &[
                ("file", Some("b.jsonl"), content),
                ("purpose", None, purpose.as_bytes()),
                ("expires_after[anchor]", None, b"created_at"),
                ("expires_after[seconds]", None, b"3600"),
            ];
            site.send("POST", "/v1/files", As::Key(&site.key), Sent::Form(parts)).await
        }
    };
    let file = upload("batch", b"{}").await.ok();
    assert_eq!(file["expires_at"].as_i64().unwrap() - file["created_at"].as_i64().unwrap(), 3600);
    assert_eq!(upload("nothing", b"{}").await.error().2, "purpose");
    assert_eq!(upload("vision", b"{}").await.error().2, "file");
    let body = json!({ "input_file_id": file["id"], "endpoint": "/v1/videos", "completion_window": "24h", "metadata": { "a": "b" } });
    let batch = site.post("/v1/batches", body).await.ok();
    assert_eq!((&batch["status"], &batch["metadata"]["a"]), (&json!("validating"), &json!("b")));
    let path = format!("/v1/batches/{}", batch["id"].as_str().unwrap());
    assert_eq!(site.post(&format!("{path}/cancel"), json!({})).await.ok()["status"], "cancelling");
    assert_eq!(site.get("/v1/batches").await.ok()["data"].as_array().unwrap().len(), 1);
    assert_eq!(site.get(&path).await.ok()["id"], batch["id"]);
}
