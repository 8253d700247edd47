//! Showing clips to others: publishing, watching, talking, following; and who sees what.

use platform::SignUpMode;

use super::pages::{join, make, page};
use super::site::{Answer, As, Sent, Site};

async fn post(site: &Site, cookie: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    site.send("POST", path, As::Cookie(cookie), Sent::Fields(fields)).await
}

async fn status(site: &Site, who: As<'_>, path: &str) -> u16 {
    site.send("GET", path, who, Sent::Nothing).await.status
}

/// Someone with a profile; the cookie.
async fn maker(site: &Site, handle: &str) -> String {
    let cookie = join(site, &format!("{handle}@example.org")).await;
    let kept = post(site, &cookie, "/account/profile", &[("handle", handle), ("display_name", "")]).await;
    assert_eq!(kept.goes_to(), format!("/@{handle}"));
    cookie
}

/// A clip that is shown; its path.
async fn shown(site: &Site, cookie: &str, visibility: &str, more: &[(&str, &str)]) -> String {
    let clip = make(site, cookie, "a red boat").await.goes_to();
    site.work().await;
    let mut fields = vec![("visibility", visibility), ("caption", "look <b>here</b> #Boat")];
    fields.extend(more);
    post(site, cookie, &format!("{clip}/publish"), &fields).await.goes_to()
}

#[tokio::test]
async fn a_draft_is_published_watched_liked_and_talked_about() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let mika = maker(&site, "mika").await;
    let yuki = maker(&site, "yuki").await;
    let path = shown(&site, &mika, "public", &[("remix", "true"), ("comments", "true")]).await;
    // Anyone watches, without an account.
    for page_of in ["/", path.as_str(), "/@mika", "/tags/boat", "/latest.atom"] {
        let answer = site.send("GET", page_of, As::Nobody, Sent::Nothing).await;
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 200, "{page_of}: {text}");
        assert!(text.contains(&path) && !text.contains("<b>here"), "{page_of}: {text}");
        // Its maker hides the prompt.
        assert!(!text.contains("a red boat"), "{page_of}: {text}");
    }
    assert_eq!(status(&site, As::Nobody, &format!("{path}/media/video")).await, 200);
    assert_eq!(status(&site, As::Nobody, &format!("{path}/media/video?download=1")).await, 403);
    assert_eq!(status(&site, As::Nobody, &format!("{path}/credentials")).await, 200);
    let oembed = format!("/oembed?url=http://misora.test{path}");
    assert_eq!(site.send("GET", &oembed, As::Nobody, Sent::Nothing).await.ok()["author_name"], "mika");

    post(&site, &yuki, &format!("{path}/like"), &[("on", "true")]).await.goes_to();
    post(&site, &yuki, &format!("{path}/comment"), &[("text", "so <i>blue</i>")]).await.goes_to();
    let seen = page(&site, &mika, &path).await;
    assert!(seen.contains("data-likes>1<") && seen.contains("so &#60;i&#62;blue"), "{seen}");
    post(&site, &yuki, "/@mika/follow", &[]).await.goes_to();
    assert!(page(&site, &yuki, "/?feed=following").await.contains(&path));

    // A remix has credit, and its own maker.
    let remix = path.trim_start_matches("/p/");
    let made = post(&site, &yuki, "/make", &[("prompt", "a blue boat"), ("remix", remix)]).await.goes_to();
    site.work().await;
    let second = post(&site, &yuki, &format!("{made}/publish"), &[("visibility", "public")]).await.goes_to();
    assert!(page(&site, &mika, &second).await.contains("A remix of a clip by @mika"));
    // What may not be remixed is not.
    let mine = second.trim_start_matches("/p/");
    let refused = post(&site, &mika, "/make", &[("prompt", "a green boat"), ("remix", mine)]).await;
    assert_eq!(refused.status, 403);

    // Blocked is gone, for both.
    post(&site, &mika, "/@yuki/block", &[]).await.goes_to();
    for (cookie, gone) in [(&yuki, path.as_str()), (&mika, second.as_str()), (&yuki, "/@mika")] {
        assert_eq!(status(&site, As::Cookie(cookie), gone).await, 404, "{gone}");
    }
    // Taken back, it is gone for everyone; the clip stays.
    post(&site, &mika, &format!("{path}/delete"), &[]).await.goes_to();
    assert_eq!(status(&site, As::Nobody, &path).await, 404);
    assert!(page(&site, &mika, "/library").await.contains("a red boat"));
}

#[tokio::test]
async fn who_sees_what_is_as_the_table_says() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let mika = maker(&site, "mika").await;
    let follower = maker(&site, "follower").await;
    let stranger = maker(&site, "stranger").await;
    let blocked = maker(&site, "blocked").await;
    post(&site, &follower, "/@mika/follow", &[]).await.goes_to();
    post(&site, &mika, "/@blocked/block", &[]).await.goes_to();
    let people = [
        ("author", As::Cookie(&mika)),
        ("follower", As::Cookie(&follower)),
        ("stranger", As::Cookie(&stranger)),
        ("blocked", As::Cookie(&blocked)),
        ("nobody", As::Nobody),
    ];
    // Visibility, then who opens it by its id, in the order above; and who finds it in lists.
    let table = [
        ("only_me", [true, false, false, false, false]),
        ("link", [true, false, false, false, false]),
        ("followers", [true, true, false, false, false]),
        ("public", [true, true, true, false, true]),
    ];
    for (visibility, opened) in table {
        let path = shown(&site, &mika, visibility, &[]).await;
        for ((who, as_who), opens) in people.into_iter().zip(opened) {
            for way in ["", "/media/video", "/media/thumbnail", "/credentials"] {
                let status = status(&site, as_who, &format!("{path}{way}")).await;
                assert_eq!(status == 200, opens, "{visibility} {who} {way}: {status}");
            }
            let profile = site.send("GET", "/@mika", as_who, Sent::Nothing).await;
            let text = String::from_utf8(profile.body).unwrap();
            assert_eq!(text.contains(&path), opens, "{visibility} {who} in the profile");
            let oembed =
                site.send("GET", &format!("/oembed?url=http://misora.test{path}"), as_who, Sent::Nothing).await;
            assert_eq!(oembed.status == 200, visibility == "public", "{visibility} {who} embed");
            let atom = site.send("GET", "/latest.atom", as_who, Sent::Nothing).await;
            assert_eq!(String::from_utf8(atom.body).unwrap().contains(&path), visibility == "public");
        }
    }
}
