//! R1 to R7: services that come apart.

use std::time::Duration;

use platform::{IDENTITY_GROUNDS, MembershipEvent, MembershipState, Owner, Role, Service};
use serde_json::json;

use super::{ask, close, erase, new_key, sites, whose};
use crate::http::pages::{join, make, page};
use crate::http::shared::{maker, post, shown};
use crate::http::site::{As, Sent, Site, small};

const DAY: Duration = Duration::from_secs(86_400);

/// Someone with a clip, a post and a key; the cookie, the post's path and the key.
async fn resident(site: &Site, handle: &str) -> (String, String, String) {
    let cookie = maker(site, handle).await;
    let path = shown(site, &cookie, "public", &[("comments", "true")]).await;
    let key = new_key(site, &cookie).await;
    (cookie, path, key)
}

/// What each service of someone answers: the library, the post, a key's model list, a key's clips.
async fn probes(site: &Site, cookie: &str, post: &str, key: &str) -> [u16; 4] {
    let status = async |who: As<'_>, path: &str| site.send("GET", path, who, Sent::Nothing).await.status;
    [
        status(As::Cookie(cookie), "/library").await,
        status(As::Nobody, post).await,
        status(As::Key(key), "/v1/models").await,
        status(As::Key(key), "/v1/videos").await,
    ]
}

#[tokio::test]
async fn r01_the_end_of_one_service_is_the_end_of_no_other() {
    for site in sites().await {
        let neighbour = resident(&site, "yuki").await;
        for (handle, service, expected) in [
            ("mika", "video", [410, 200, 200, 410]),
            ("nils", "social", [200, 404, 200, 200]),
            ("olga", "api", [200, 200, 410, 410]),
        ] {
            let (cookie, path, key) = resident(&site, handle).await;
            assert_eq!(probes(&site, &cookie, &path, &key).await, [200; 4], "{service}");
            assert_eq!(close(&site, &cookie, service).await.ok()["state"], "closing");
            // While it can be taken back, while it is erased, and after: the others never notice.
            for step in 0..3 {
                let mut expected = expected;
                if service == "api" && step > 0 {
                    // The key itself is gone.
                    expected = [200, 200, 401, 401];
                }
                assert_eq!(probes(&site, &cookie, &path, &key).await, expected, "{service} at {step}");
                assert_eq!(probes(&site, &neighbour.0, &neighbour.1, &neighbour.2).await, [200; 4], "{service}");
                if step == 0 {
                    let body = json!({ "confirm": service });
                    ask(&site, &cookie, &format!("/api/memberships/{service}/erase"), body).await.ok();
                }
                server::housekeeping::tidy(&site.bed.app).await.unwrap();
            }
            let state =
                site.bed.app.store.membership(whose(&site, &cookie).await, Service::from_word(service).unwrap());
            assert_eq!(state.await.unwrap().state, MembershipState::Closed);
            let refused = site.send("GET", "/v1/videos", As::Key(&key), Sent::Nothing).await;
            if service == "video" {
                assert_eq!(refused.error(), (410, "service_closed".into(), "-".into()));
            }
        }
    }
}

#[tokio::test]
async fn r02_a_membership_that_ended_is_dead_on_every_path_and_only_there() {
    for site in sites().await {
        for event in [MembershipEvent::Suspend, MembershipEvent::Close] {
            let word = if event == MembershipEvent::Close { "closed" } else { "suspended" };
            let (cookie, path, key) = resident(&site, &format!("v_{word}")).await;
            let me = whose(&site, &cookie).await;
            let (app, now) = (&site.bed.app, site.bed.app.now());
            let videos = site.send("GET", "/v1/videos", As::Key(&key), Sent::Nothing).await;
            assert_eq!(videos.status, 200);
            // A job that waits, and a signed link that is out.
            let waiting = make(&site, &cookie, "a red boat").await.goes_to();
            let page_of = app.store.library(me, store::LibraryFilter::default(), None, 10).await.unwrap();
            let made = page_of.generations.iter().find(|one| one.video.is_some()).unwrap().id;
            let link = app.link_key.sign(&format!("{made}/video"), Duration::from_secs(3600), now);
            let link = format!("/media/{made}/video?expires={}&signature={}", link.expires, link.signature);
            let open = async || site.send("GET", &link, As::Nobody, Sent::Nothing).await.status;
            assert_eq!(open().await, 200);
            if event == MembershipEvent::Close {
                app.store.close_service(me, Service::Video, now + DAY, now).await.unwrap();
            } else {
                app.store.change_membership(me, Service::Video, event, now).await.unwrap();
            }
            // Another node believes what it knows of a key for less than 5 s.
            site.forget_keys();
            let status = if event == MembershipEvent::Close { 410 } else { 403 };
            assert_eq!(site.send("GET", "/v1/videos", As::Key(&key), Sent::Nothing).await.status, status);
            assert_eq!(site.send("GET", &waiting, As::Cookie(&cookie), Sent::Nothing).await.status, status);
            assert!(open().await >= 400);
            site.work().await;
            let ended = app.store.library(me, store::LibraryFilter::default(), None, 10).await.unwrap();
            let job = ended.generations.iter().find(|one| one.id != made).unwrap();
            assert_eq!(job.error.as_ref().unwrap().code, platform::GenerationErrorCode::PermissionRevoked);
            // Only there.
            assert_eq!(site.send("GET", &path, As::Nobody, Sent::Nothing).await.status, 200);
            assert_eq!(site.send("GET", "/v1/models", As::Key(&key), Sent::Nothing).await.status, 200);
            assert_eq!(page(&site, &cookie, "/account").await.matches("this one").count(), 1);
        }
    }
}

#[tokio::test]
async fn r02_the_orders_that_broke_others() {
    let site = Site::with_sign_up(platform::SignUpMode::Open).await;
    let (cookie, _, key) = resident(&site, "mika").await;
    let me = whose(&site, &cookie).await;
    let store = &site.bed.app.store;
    let status = async || {
        site.forget_keys();
        site.send("GET", "/v1/videos", As::Key(&key), Sent::Nothing).await.status
    };
    // What a key knew before counts no more: its owner's service ends while it is in use.
    assert_eq!(status().await, 200);
    let now = site.bed.app.now();
    store.change_membership(me, Service::Api, MembershipEvent::Suspend, now).await.unwrap();
    assert_eq!(status().await, 403);
    // Two ends together: lifting one does not lift the other.
    store.change_membership(me, Service::Video, MembershipEvent::Suspend, now).await.unwrap();
    store.change_membership(me, Service::Api, MembershipEvent::Restore, now).await.unwrap();
    assert_eq!(status().await, 403);
    // An older limit does not hide a later one: restricted with an end, then suspended without.
    store.change_membership(me, Service::Video, MembershipEvent::Restore, now).await.unwrap();
    let until = Some(now + Duration::from_secs(60));
    store.change_membership_until(me, Service::Video, MembershipEvent::Restrict, until, now).await.unwrap();
    store.change_membership(me, Service::Video, MembershipEvent::Suspend, now).await.unwrap();
    site.bed.clock.advance(Duration::from_secs(120));
    assert_eq!(status().await, 403);
    // An end that is taken back does not take a limit back.
    close(&site, &cookie, "video").await.ok();
    assert_eq!(status().await, 410);
    ask(&site, &cookie, "/api/memberships/video/undo", json!({})).await.ok();
    assert_eq!(status().await, 403);
}

#[tokio::test]
async fn r03_the_widest_that_one_person_can_impose_is_a_service() {
    for site in sites().await {
        let cookie = join(&site, "subject@people.example").await;
        let subject = whose(&site, &cookie).await;
        let moderator = site.with_role("moderator@people.example", Service::Social, Role::Moderator).await;
        let wide = json!({ "identity": subject.to_string(), "service": "social", "event": "suspend", "scope": "identity", "ground": "x" });
        assert_eq!(ask(&site, &moderator, "/api/decisions", wide).await.error().1, "scope_too_wide");
        let propose = |ground: &str| json!({ "identity": subject.to_string(), "ground": ground });
        let path = "/api/admin/account-decisions";
        assert_eq!(ask(&site, &moderator, path, propose(IDENTITY_GROUNDS[0])).await.status, 403);
        let first = site.with_role("first@people.example", Service::Api, Role::Administrator).await;
        let second = site.with_role("second@people.example", Service::Api, Role::Administrator).await;
        assert_eq!(ask(&site, &first, path, propose("we dislike them")).await.error().2, "ground");
        let proposed = ask(&site, &first, path, propose(IDENTITY_GROUNDS[0])).await.ok();
        let confirm = format!("{path}/{}/confirm", proposed["id"].as_str().unwrap());
        assert_eq!(ask(&site, &first, &confirm, json!({})).await.error().1, "second_person_needed");
        let active = async || site.bed.app.store.membership(subject, Service::Video).await.unwrap().state;
        assert_eq!(active().await, MembershipState::Active);
        let done = ask(&site, &second, &confirm, json!({})).await.ok();
        assert_eq!((&done["state"], &done["services"]), (&json!("carried_out"), &json!(["video", "api"])));
        assert_eq!(active().await, MembershipState::Suspended);
        assert_eq!(ask(&site, &second, &confirm, json!({})).await.status, 404);
        // The account centre stays.
        assert_eq!(page(&site, &cookie, "/account").await.matches("Suspended").count(), 2);
    }
}

#[tokio::test]
async fn r04_strikes_in_one_service_change_nothing_in_another() {
    for site in sites().await {
        let (mut answers, store) = (Vec::new(), &site.bed.app.store);
        for (name, strikes) in [("struck", 100), ("clean", 0)] {
            let cookie = maker(&site, name).await;
            let (me, key) = (whose(&site, &cookie).await, new_key(&site, &cookie).await);
            for _ in 0..strikes {
                store.add_strike(me, Service::Social).await.unwrap();
            }
            let mut given = Vec::new();
            for call in 0..1000 {
                let path = ["/v1/models", "/v1/videos", "/v1/usage", "/v1/videos/video_0"][call % 4];
                let answer = site.send("GET", path, As::Key(&key), Sent::Nothing).await;
                given.push((answer.status, answer.header("x-ratelimit-remaining-requests").to_owned()));
                if call % 50 == 49 {
                    site.bed.clock.advance(Duration::from_secs(60));
                }
            }
            answers.push(given);
        }
        assert!(answers[0].iter().any(|(status, _)| *status == 200));
        assert_eq!(answers[0], answers[1]);
    }
}

#[tokio::test]
async fn r05_the_account_centre_stays_open_in_every_state() {
    for state in [MembershipEvent::Restrict, MembershipEvent::Suspend, MembershipEvent::Close] {
        let site = Site::with_sign_up(platform::SignUpMode::Open).await;
        let cookie = maker(&site, "mika").await;
        let me = whose(&site, &cookie).await;
        for service in [Service::Video, Service::Social, Service::Api] {
            site.bed.app.store.change_membership(me, service, state, site.bed.app.now()).await.unwrap();
        }
        // Signing in, what is held and why, the way out, proofs.
        let again = site.sign_in(me).await;
        for path in [
            "/account",
            "/account/close",
            "/account/decisions",
            "/account/security",
            "/api/account/closing",
            "/api/account/decisions",
            "/api/receipts",
            "/retention",
        ] {
            assert_eq!(site.send("GET", path, As::Cookie(&again), Sent::Nothing).await.status, 200, "{state:?} {path}");
        }
        let body = json!({ "confirm": "mika@people.example" });
        ask(&site, &again, "/api/account/close", body).await.ok();
    }
}

#[tokio::test]
async fn r06_coming_back_is_possible() {
    for site in sites().await {
        let (cookie, path, key) = resident(&site, "mika").await;
        let me = whose(&site, &cookie).await;
        let (store, email) = (&site.bed.app.store, "mika@people.example");
        // A ban outlives the account; a strike does not.
        let until = Some(site.bed.app.now() + DAY * 90);
        store
            .change_membership_until(me, Service::Social, MembershipEvent::Suspend, until, site.bed.app.now())
            .await
            .unwrap();
        assert_eq!(ask(&site, &cookie, "/api/account/close", json!({ "confirm": "x" })).await.error().2, "confirm");
        ask(&site, &cookie, "/api/account/close", json!({ "confirm": email })).await.ok();
        site.bed.clock.advance(DAY * 30);
        assert!(server::housekeeping::tidy(&site.bed.app).await.unwrap().closures >= 4);
        assert!(store.identity(me).await.is_err());
        assert_eq!(site.send("GET", "/account", As::Cookie(&cookie), Sent::Nothing).await.status, 303);
        assert_eq!(site.send("GET", "/v1/models", As::Key(&key), Sent::Nothing).await.status, 401);
        assert_eq!(site.send("GET", &path, As::Nobody, Sent::Nothing).await.status, 404);
        assert!(
            site.letters().await.iter().any(|letter| letter.contains("was erased") && letter.contains("signature"))
        );

        // The same address joins again, and finds nothing of before.
        let back = join(&site, email).await;
        let library = page(&site, &back, "/library").await;
        assert!(library.contains("An empty sky"));
        let new = whose(&site, &back).await;
        assert_ne!(new, me);
        assert_eq!(store.held(new, Owner::Service(Service::Video)).await.unwrap(), []);
        // The ban stands in its service until its time, and nowhere else; the handle is kept from others.
        site.send("POST", "/account/services/social/join", As::Cookie(&back), Sent::Nothing).await.goes_to();
        assert_eq!(store.membership(new, Service::Social).await.unwrap().state, MembershipState::Suspended);
        assert!(store.membership(new, Service::Video).await.unwrap().active().is_ok());
        let other = join(&site, "other@people.example").await;
        let take = async |site: &Site| {
            post(site, &other, "/account/profile", &[("handle", "mika"), ("display_name", "")]).await.status
        };
        assert_eq!(take(&site).await, 400);
        site.bed.clock.advance(DAY * 91);
        server::housekeeping::tidy(&site.bed.app).await.unwrap();
        let other = site.sign_in(whose_by_mail(&site, "other@people.example").await).await;
        assert_eq!(
            post(&site, &other, "/account/profile", &[("handle", "mika"), ("display_name", "")]).await.status,
            303
        );
        assert_eq!(store.membership(new, Service::Social).await.unwrap().state, MembershipState::Active);
    }
}

async fn whose_by_mail(site: &Site, email: &str) -> platform::IdentityId {
    site.bed.app.store.identity_by_email(email).await.unwrap().unwrap().id
}

#[tokio::test]
async fn r07_an_end_is_shown_before_confirmed_freshly_and_taken_back() {
    for site in sites().await {
        let (cookie, path, key) = resident(&site, "mika").await;
        let preview = site.send("GET", "/api/memberships/api/closing", As::Cookie(&cookie), Sent::Nothing).await.ok();
        assert_eq!(preview["sentence"], "These services are not affected: video, social. Your account stays.");
        assert_eq!(preview["keys"][0]["name"], "work");
        let preview =
            site.send("GET", "/api/memberships/social/closing", As::Cookie(&cookie), Sent::Nothing).await.ok();
        let posts = preview["goes"].as_array().unwrap().iter().find(|one| one["class"] == "posts").unwrap();
        assert!(posts["count"] == 1 && posts["bytes"].as_u64().unwrap() > 1000, "{posts}");
        let shown = page(&site, &cookie, "/account/services/social/close").await;
        assert!(shown.contains("These services are not affected: Making, API") && shown.contains("Posts"), "{shown}");

        // A session that is older than ten minutes proves itself first.
        site.bed.clock.advance(Duration::from_secs(601));
        assert_eq!(close(&site, &cookie, "social").await.error().1, "reauth_required");
        let me = whose(&site, &cookie).await;
        let cookie = site.sign_in(me).await;
        assert_eq!(
            ask(&site, &cookie, "/api/memberships/social/close", json!({ "confirm": "video" })).await.error().2,
            "confirm"
        );
        let before = page(&site, &cookie, &path).await;
        close(&site, &cookie, "social").await.ok();
        assert_eq!(site.send("GET", &path, As::Nobody, Sent::Nothing).await.status, 404);
        assert!(site.letters().await.iter().any(|letter| letter.contains("take it back")));
        site.bed.clock.advance(DAY * 29);
        assert_eq!(server::housekeeping::tidy(&site.bed.app).await.unwrap().closures, 0);
        let cookie = site.sign_in(me).await;
        let undone = post(&site, &cookie, "/account/services/social/undo", &[]).await;
        assert_eq!(undone.goes_to(), "/account?notice=service");
        assert_eq!(page(&site, &cookie, &path).await, before);
        assert_eq!(site.send("GET", "/v1/models", As::Key(&key), Sent::Nothing).await.status, 200);

        // Not waiting is possible, and then nothing comes back.
        erase(&site, &cookie, "social").await;
        assert_eq!(ask(&site, &cookie, "/api/memberships/social/undo", json!({})).await.status, 400);
        // Joining again begins anew.
        post(&site, &cookie, "/account/services/social/join", &[]).await.goes_to();
        assert_eq!(site.send("GET", "/@mika", As::Nobody, Sent::Nothing).await.status, 404);
        let made = site.send("POST", "/v1/videos", As::Key(&key), Sent::Json(small("a red boat"))).await;
        assert_eq!(made.status, 200);
    }
}
