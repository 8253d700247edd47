//! Bytes: ranges, tags, links.

use std::time::Duration;

use platform::Service;

use super::site::{As, Sent, Site};

#[tokio::test]
async fn a_part_of_a_clip_can_be_fetched() {
    let site = Site::new().await;
    let path = format!("/v1/videos/{}/content", site.video().await);
    let whole = site.get(&path).await;
    let etag = whole.header("etag").to_owned();
    let with = |headers: &'static [(&'static str, &'static str)]| {
        site.send_with("GET", &path, As::Key(&site.key), Sent::Nothing, headers)
    };
    let part = with(&[("range", "bytes=4-7")]).await;
    assert_eq!((part.status, &part.body[..]), (206, &b"ftyp"[..]));
    assert_eq!(part.header("content-range"), format!("bytes 4-7/{}", whole.body.len()));
    let end = with(&[("range", "bytes=-10")]).await;
    assert_eq!(end.body, whole.body[whole.body.len() - 10..]);
    let outside = with(&[("range", "bytes=99999999-")]).await;
    assert_eq!((outside.status, outside.error().1.as_str()), (416, "invalid_range"));
    assert_eq!(with(&[("range", "bytes=4-7"), ("if-range", "\"other\"")]).await.status, 200);
    let same = site.send_with("GET", &path, As::Key(&site.key), Sent::Nothing, &[("if-none-match", &etag)]).await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    let head = site.send("HEAD", &path, As::Key(&site.key), Sent::Nothing).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), whole.body.len().to_string());
}

#[tokio::test]
async fn media_whose_key_was_destroyed_are_not_found() {
    let site = Site::new().await;
    let path = format!("/v1/videos/{}/content", site.video().await);
    assert_eq!(site.get(&path).await.status, 200);
    let app = &site.bed.app;
    app.objects.destroy_key(site.owner(), Service::Video, app.now()).await.unwrap();
    for headers in [&[][..], &[("range", "bytes=0-")], &[("range", "bytes=4-7")]] {
        let gone = site.send_with("GET", &path, As::Key(&site.key), Sent::Nothing, headers).await;
        assert_eq!((gone.status, gone.error().1.as_str()), (404, "not_found"));
    }
    assert_eq!(site.get(&format!("{path}?variant=thumbnail")).await.status, 404);
}

#[tokio::test]
async fn thumbnails_and_sheets_are_pictures() {
    let site = Site::new().await;
    let path = format!("/v1/videos/{}/content", site.video().await);
    let thumbnail = site.get(&format!("{path}?variant=thumbnail")).await;
    assert_eq!((thumbnail.header("content-type"), &thumbnail.body[8..12]), ("image/webp", &b"WEBP"[..]));
    let sheet = site.get(&format!("{path}?variant=spritesheet")).await;
    assert_eq!((sheet.header("content-type"), &sheet.body[..3]), ("image/jpeg", &[0xff, 0xd8, 0xff][..]));
    assert_eq!(site.get(&format!("{path}?variant=hologram")).await.error().2, "variant");
}

#[tokio::test]
async fn a_link_works_for_a_while_and_for_one_thing() {
    let site = Site::new().await;
    let id = site.video().await;
    let link = site.bed.app.link_key.sign(&format!("{id}/video"), Duration::from_secs(60), site.bed.app.now());
    let query = format!("expires={}&signature={}", link.expires, link.signature);
    let open = |what: &str| {
        let path = format!("/media/{id}/{what}?{query}");
        let site = &site;
        async move { site.send("GET", &path, As::Nobody, Sent::Nothing).await.status }
    };
    assert_eq!(open("video").await, 200);
    assert_eq!(open("thumbnail").await, 404);
    site.bed.clock.advance(Duration::from_secs(61));
    assert_eq!(open("video").await, 404);
}
