//! Help with a prompt: by the rules of the model, by the owner's language model, and in the box where people type.

use std::time::Duration;

use platform::SignUpMode;
use serde_json::{Value, json};
use server::PromptHelpPlace;

use super::pages::join;
use super::site::{As, Sent, Site, owners_service};

const PATH: &str = "/v1/prompts/reword";

#[tokio::test]
async fn a_prompt_is_said_again_by_the_rules_of_the_model() {
    let site = Site::new().await;
    let said = site.post(PATH, json!({ "prompt": "a red boat" })).await.ok();
    let expected = json!({
        "object": "prompt.reworded", "prompt": "A RED BOAT", "by": "rules", "changes": [], "unknown": ["quietly"], "chosen": [],
    });
    assert_eq!(said, expected);
    assert_eq!(site.post(PATH, json!({})).await.error().1, "missing_required_parameter");
    assert_eq!(site.post(PATH, json!({ "prompt": " " })).await.error().1, "empty_string");
    assert_eq!(site.post(PATH, json!({ "prompt": "a".repeat(32_001) })).await.error().1, "string_above_max_length");
    assert!(site.get("/v1/videos").await.ok()["data"].as_array().unwrap().is_empty(), "something was made of it");
}

fn place(url: String) -> PromptHelpPlace {
    PromptHelpPlace { url, key: Some("secret".into()), model: "small".into(), timeout: Duration::from_secs(20) }
}

#[tokio::test]
async fn the_owners_language_model_says_it_better_and_its_silence_leaves_it_to_the_rules() {
    // It says what it was asked, so the test sees it.
    let url = owners_service("/v1/chat/completions", |body| {
        let asked: Value = serde_json::from_str(body).unwrap();
        let (system, user) = (&asked["messages"][0]["content"], &asked["messages"][1]);
        assert!(system.as_str().unwrap().contains("It knows one word: CARD."), "{system}");
        assert_eq!((&asked["model"], &user["role"]), (&json!("small"), &json!("user")));
        let said = match user["content"].as_str().unwrap() {
            "too much" => "a".repeat(2_001),
            "nothing" => "  ".to_owned(),
            wish => format!(" A card that shows {wish}.\n"),
        };
        json!({ "choices": [{ "message": { "role": "assistant", "content": said } }] })
    });
    let place_of_model = place(url.await);
    let site = Site::with(|settings| settings.prompt_help = Some(place_of_model)).await;
    let said = site.post(PATH, json!({ "prompt": "a red boat" })).await.ok();
    assert_eq!((&said["prompt"], &said["by"]), (&json!("A card that shows a red boat."), &json!("language_model")));
    for useless in ["too much", "nothing"] {
        let said = site.post(PATH, json!({ "prompt": useless })).await.ok();
        assert_eq!((&said["prompt"], &said["by"]), (&json!(useless.to_uppercase()), &json!("rules")));
    }
    // Nothing listens on this port.
    let site = Site::with(|settings| settings.prompt_help = Some(place("http://127.0.0.1:9/".into()))).await;
    assert_eq!(site.post(PATH, json!({ "prompt": "a boat" })).await.ok()["by"], "rules");
}

#[tokio::test]
async fn the_box_takes_the_words_and_says_what_was_changed() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let mika = join(&site, "new@example.org").await;
    let fields = [("prompt", "a red boat"), ("shape", "square"), ("seed", "7")];
    let box_again = site.send("POST", "/make/reword", As::Cookie(&mika), Sent::Fields(&fields)).await.page();
    for part in [">A RED BOAT</textarea>", "Said again in the model", "Nothing came of: quietly.", "value=\"7\""] {
        assert!(box_again.contains(part), "{part}: {box_again}");
    }
    let json = [("accept", "application/json")];
    let answer = site.send_with("POST", "/make/reword", As::Cookie(&mika), Sent::Fields(&fields), &json).await;
    assert_eq!(answer.json()["prompt"], "A RED BOAT");
    assert_eq!(answer.json()["told"].as_array().unwrap().len(), 2);
    let empty = site.send("POST", "/make/reword", As::Cookie(&mika), Sent::Fields(&[("prompt", " ")])).await;
    assert_eq!(empty.status, 400);
}
