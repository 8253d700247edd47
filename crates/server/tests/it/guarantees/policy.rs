//! R18: refusals are cheap, explained and measured. And what holders of rights say counts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use platform::policy::Policy;
use platform::{RightsRequestId, Role, Service, Token, TokenKind};
use serde_json::{Value, json};
use store::NewRightsRequest;

use super::{ask, sites};
use crate::http::site::{As, Sent, Site, owners_service, png, small};
use crate::loops::bed::entropy;

async fn refused(site: &Site, prompt: &str) -> Value {
    let answer = site.post("/v1/videos", small(prompt)).await;
    assert_eq!(answer.error(), (400, "moderation_blocked".into(), "prompt".into()), "{prompt}");
    answer.json()["error"].clone()
}

#[tokio::test]
async fn r18_a_refusal_names_its_rule_and_costs_nothing() {
    for site in sites().await {
        let before = site.bed.money().await;
        for rule in Policy::built_in().rules() {
            for prompt in &rule.stops {
                let error = refused(&site, prompt).await;
                let message = error["message"].as_str().unwrap();
                let named = format!("({}, version {})", rule.id, rule.version);
                for said in [named.as_str(), "Nothing was charged"] {
                    assert!(message.contains(said), "{prompt}: {message}");
                }
            }
        }
        assert_eq!(site.bed.money().await, before);
        // The same is said before anything is asked for.
        let answer = site.post("/v1/moderations", json!({ "input": "P0RN with a nurse" })).await.ok();
        let result = &answer["results"][0];
        assert_eq!((&result["flagged"], &result["categories"]["sexual"]), (&json!(true), &json!(true)));
        assert_eq!(result["rules"][0]["id"], "sexual.explicit");
    }
}

#[tokio::test]
async fn what_holders_of_rights_say_counts() {
    for site in sites().await {
        let admin = site.with_role("rights@example.org", Service::Video, Role::Administrator).await;
        let made = site.post("/v1/videos", small("captain kumo sails")).await.ok();
        site.work().await;
        let agent = json!({ "name": "Kumo Pictures", "contact": "rights@kumo.example" });
        let agent = ask(&site, &admin, "/api/admin/rights-agents", agent).await.ok();
        let agent = agent["id"].as_str().unwrap().to_owned();
        let entry = |stance: &str, names: Value, uses: Value| {
            json!({ "agent": agent, "kind": "character", "stance": stance, "names": names, "uses": uses,
                    "holder": "Kumo Pictures" })
        };
        let forbids = entry("opt_out", json!(["Captain Kumo"]), json!(["prompts", "remixes"]));
        let entered = ask(&site, &admin, "/api/admin/rights", forbids).await.ok();
        // Nobody has checked who that is.
        let boat = site.post("/v1/videos", small("captain kumo sails again")).await.ok();
        let proof = json!({ "proof": "a letter of 3 May" });
        let path = format!("/api/admin/rights-agents/{agent}/verify");
        let verified = ask(&site, &admin, &path, proof).await.ok();
        assert_eq!(verified["proof"], "a letter of 3 May");

        let error = refused(&site, "C4ptain Kumo sails").await;
        let message = error["message"].as_str().unwrap();
        let id = entered["id"].as_str().unwrap();
        for said in ["rights.opt-out", "Kumo Pictures", id] {
            assert!(message.contains(said), "{message}");
        }
        // What was made before is not remixed, and what waits is not made.
        let remix = format!("/v1/videos/{}/remix", made["id"].as_str().unwrap());
        let remixed = site.post(&remix, json!({ "prompt": "at night" })).await;
        assert_eq!(remixed.error(), (400, "moderation_blocked".into(), "prompt".into()));
        site.work().await;
        let path = format!("/v1/videos/{}", boat["id"].as_str().unwrap());
        let waited = site.get(&path).await.ok();
        assert_eq!((&waited["status"], &waited["error"]["code"]), (&json!("failed"), &json!("moderation_blocked")));

        // An owner lets their own character be made, which the rules stop without that.
        refused(&site, "Pikachu eats ramen").await;
        let allows = entry("opt_in", json!(["Pikachu"]), json!(["prompts"]));
        let allowed = ask(&site, &admin, "/api/admin/rights", allows).await.ok();
        site.post("/v1/videos", small("Pikachu eats ramen")).await.ok();
        let path = format!("/api/admin/rights/{}", allowed["id"].as_str().unwrap());
        site.send("DELETE", &path, As::Cookie(&admin), Sent::Nothing).await.ok();
        refused(&site, "Pikachu eats ramen").await;

        for (names, uses, about) in [
            (json!([]), json!(["prompts"]), "names"),
            (json!(["Ku"]), json!(["prompts"]), "names"),
            (json!(["K".repeat(201)]), json!(["prompts"]), "names"),
            (json!(["Captain Kumo"]), json!([]), "uses"),
            (json!(["Captain Kumo"]), json!(["dreams"]), "uses"),
        ] {
            let answer = ask(&site, &admin, "/api/admin/rights", entry("opt_out", names, uses)).await;
            assert_eq!(answer.error(), (400, "invalid_value".into(), about.into()));
        }
        // An agent who is revoked says nothing any more.
        let path = format!("/api/admin/rights-agents/{agent}");
        site.send("DELETE", &path, As::Cookie(&admin), Sent::Nothing).await.ok();
        site.post("/v1/videos", small("captain kumo at last")).await.ok();
    }
}

/// A moderation service on this machine: it speaks against pictures and whatever says «teapot».
async fn watchful() -> server::ModerationPlace {
    let url = owners_service("/v1/moderations", |body| {
        let flagged = body.contains("image_url") || body.contains("teapot");
        let result = json!({ "flagged": flagged, "categories": { "harassment": flagged } });
        json!({ "id": "modr-1", "model": "watchful", "results": [result] })
    });
    let timeout = std::time::Duration::from_secs(20);
    server::ModerationPlace { url: url.await, key: None, model: None, timeout, fails_open: false }
}

#[tokio::test]
async fn an_estate_asks_for_an_entry_and_it_counts_once_a_person_has_checked_them() {
    for site in sites().await {
        let admin = site.with_role("rights@example.org", Service::Video, Role::Administrator).await;
        let fields = [
            ("lines", "Ola Nordmann\nOla N. Nordmann"),
            ("kind", "name"),
            ("stance", "opt_out"),
            ("use_prompts", "true"),
            ("use_remixes", "true"),
            ("day", "2030-01-01"),
            ("holder", "The estate of Ola Nordmann"),
            ("name", "Kari Nordmann"),
            ("email", "kari@example.org"),
            ("mandate", "executor, Oslo probate court 12-3"),
            ("signature", "Kari Nordmann"),
            ("may_speak", "true"),
            ("accurate", "true"),
        ];
        let send = async |fields: &[(&str, &str)]| {
            let answer = site.send("POST", "/rights", As::Nobody, Sent::Fields(fields)).await;
            site.bed.clock.advance(std::time::Duration::from_secs(60));
            answer
        };
        // The form is there for whoever has no account, and every field of it is asked for.
        assert!(site.send("GET", "/rights", As::Nobody, Sent::Nothing).await.page().contains("You need no account"));
        for missing in ["lines", "use_prompts", "holder", "email", "mandate", "signature", "may_speak", "accurate"] {
            let left: Vec<_> = fields
                .iter()
                .copied()
                .filter(|(name, _)| *name != missing && !(missing == "use_prompts" && *name == "use_remixes"))
                .collect();
            assert_eq!(send(&left).await.status, 400, "{missing}");
        }
        let status = send(&fields).await.goes_to();
        let shown = async || site.send("GET", &status, As::Nobody, Sent::Nothing).await.page();
        assert!(shown().await.contains("A person checks it"));
        let letters = site.letters().await;
        assert!(letters.iter().any(|one| one.contains("To: kari@example.org") && one.contains(&status)));
        // Nobody has checked who that is: whose address it is gets none of their words.
        assert!(!letters.iter().any(|one| one.contains("To: kari@example.org") && one.contains("Nordmann")));
        site.post("/v1/videos", small("Ola Nordmann dances")).await.ok();
        let page = site.send("GET", "/admin/rights", As::Cookie(&admin), Sent::Nothing).await.page();
        for said in ["Ola N. Nordmann", "executor, Oslo probate court 12-3", "kari@example.org"] {
            assert!(page.contains(said), "{said}");
        }
        let act = page.split("action=\"/admin/rights/requests/").nth(1).unwrap().split('"').next().unwrap();
        let act = format!("/admin/rights/requests/{act}");
        let decide =
            async |fields: &[(&str, &str)]| site.send("POST", &act, As::Cookie(&admin), Sent::Fields(fields)).await;
        assert_eq!(decide(&[("act", "enter")]).await.status, 400, "how it was checked is written down");
        let checked = [("act", "enter"), ("proof", "the court's register, called back")];
        assert_eq!(decide(&checked).await.goes_to(), "/admin/rights");
        assert_eq!(decide(&checked).await.status, 400, "once");
        let error = refused(&site, "0la Nordmann dances").await;
        assert!(error["message"].as_str().unwrap().contains("The estate of Ola Nordmann"), "{error}");
        assert!(shown().await.contains("It is entered") && shown().await.contains("rights_"));
        let agents = site.send("GET", "/api/admin/rights-agents", As::Cookie(&admin), Sent::Nothing).await.ok();
        let agent = &agents["data"][0];
        assert_eq!(
            (&agent["name"], &agent["proof"]),
            (&json!("Kari Nordmann"), &json!("the court's register, called back"))
        );
        assert!(agent["verified_by"].is_string());
        let letters = site.letters().await;
        assert!(letters.iter().any(|one| one.contains("To: kari@example.org") && one.contains("counts from now on")));
        // Another is not entered, and learns why.
        let mut troll = fields;
        (troll[0], troll[8]) = (("lines", "Everything"), ("email", "troll@example.org"));
        let status = send(&troll).await.goes_to();
        let page = site.send("GET", "/admin/rights", As::Cookie(&admin), Sent::Nothing).await.page();
        let act = page.split("action=\"/admin/rights/requests/").nth(1).unwrap().split('"').next().unwrap();
        let fields = [("act", "refuse"), ("proof", "nobody of that name there")];
        let act = format!("/admin/rights/requests/{act}");
        site.send("POST", &act, As::Cookie(&admin), Sent::Fields(&fields)).await.goes_to();
        let told = site.send("GET", &status, As::Nobody, Sent::Nothing).await.page();
        assert!(told.contains("nobody of that name there"), "{told}");
        site.post("/v1/videos", small("everything dances")).await.ok();
        let wrong = format!("{}x", &status[..status.len() - 1]);
        assert_eq!(site.send("GET", &wrong, As::Nobody, Sent::Nothing).await.status, 404);
    }
}

#[tokio::test]
async fn whoever_asks_too_often_is_not_heard_and_all_that_waits_is_shown() {
    for site in sites().await {
        let admin = site.with_role("rights@example.org", Service::Video, Role::Administrator).await;
        let ask_for = async |name: &str, email: &str| {
            let fields = [
                ("lines", name),
                ("kind", "name"),
                ("stance", "opt_out"),
                ("use_prompts", "true"),
                ("holder", "The estate of Ola Nordmann"),
                ("name", "Kari Nordmann"),
                ("email", email),
                ("mandate", "executor"),
                ("signature", "Kari Nordmann"),
                ("may_speak", "true"),
                ("accurate", "true"),
            ];
            site.send("POST", "/rights", As::Nobody, Sent::Fields(&fields)).await
        };
        // By the address that is written down, wherever it comes from.
        for number in 0..10 {
            ask_for(&format!("Ola number {number}"), "kari@example.org").await.goes_to();
        }
        assert_eq!(ask_for("Ola once more", "Kari@example.org").await.status, 429);
        ask_for(&"O".repeat(200), "ola@example.org").await.goes_to();
        assert_eq!(ask_for(&"O".repeat(201), "ola@example.org").await.status, 400);
        // Eleven wait, and forty more come in another way: they are two pages, the oldest first.
        let now = site.bed.app.now();
        for number in 0..40_u8 {
            let details = json!({ "names": [format!("Kumo number {number}")] }).to_string();
            let request = NewRightsRequest {
                id: RightsRequestId::new(now, entropy()),
                link: Token::new(TokenKind::RightsRequest, [number; 24]).hash(),
                asker: [number; 32],
                details: &details,
            };
            site.bed.app.store.file_rights_request(&request, &[], now).await.unwrap();
        }
        let waiting = async |path: &str| {
            let page = site.send("GET", path, As::Cookie(&admin), Sent::Nothing).await.page();
            let named = |start: &str| -> Vec<String> {
                page.split(start).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
            };
            (named("action=\"/admin/rights/requests/"), named("href=\"/admin/rights?after="))
        };
        let (mut all, later) = waiting("/admin/rights").await;
        assert_eq!((all.len(), later.len()), (50, 1));
        let (last, none) = waiting(&format!("/admin/rights?after={}", later[0])).await;
        assert_eq!((last.len(), none.len()), (1, 0));
        all.extend(last);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 51);
    }
}

#[tokio::test]
async fn the_owners_moderation_service_is_asked_and_its_silence_refuses() {
    let place = watchful().await;
    let site = Site::with(|settings| settings.moderation = Some(place)).await;
    site.post("/v1/videos", small("a red boat")).await.ok();
    let error = refused(&site, "a teapot").await;
    assert!(error["message"].as_str().unwrap().contains("service.harassment"), "{error}");
    let picture = format!("data:image/png;base64,{}", STANDARD.encode(png(144, 80)));
    let mut body = small("a red boat");
    body["input_reference"] = json!({ "image_url": picture });
    let answer = site.post("/v1/videos", body).await;
    assert_eq!(answer.error(), (400, "moderation_blocked".into(), "input_reference".into()));
    let parts = json!([{ "type": "text", "text": "a boat" }, { "type": "image_url", "image_url": { "url": picture } }]);
    let result = site.post("/v1/moderations", json!({ "input": parts })).await.ok()["results"][0].clone();
    assert_eq!((&result["flagged"], &result["categories"]["harassment"]), (&json!(true), &json!(true)));
    assert_eq!(result["category_applied_input_types"]["harassment"], json!(["text", "image"]));

    // Nothing listens on this port.
    let url = "http://127.0.0.1:9/v1/moderations".to_owned();
    let timeout = std::time::Duration::from_secs(20);
    let gone = server::ModerationPlace { url, key: None, model: None, timeout, fails_open: false };
    let site = Site::with(|settings| settings.moderation = Some(gone)).await;
    let answer = site.post("/v1/videos", small("a red boat")).await;
    assert_eq!(answer.error().0, 503);
    assert_eq!(site.bed.money().await, (1000, 0));
}
