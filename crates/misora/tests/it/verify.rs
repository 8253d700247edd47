//! What a file says about itself.

use serde_json::Value;

use crate::Desk;

#[test]
fn a_fresh_clip_is_untouched_and_says_how_it_was_made() {
    let desk = Desk::new();
    desk.clip("boat.mp4", "1");
    let text = desk.succeed(&["verify", "boat.mp4"]);
    assert!(text.contains("this installation") && text.contains("not on the public trust list"), "{text}");
    let told: Value = serde_json::from_str(&desk.succeed(&["verify", "boat.mp4", "--json"])).unwrap();
    assert_eq!(told["state"], "untouched");
    assert_eq!(told["generated"], true);
    assert_eq!(told["model"]["name"], "paper-1");
    assert_eq!(told["recipe"]["prompt"], "a red boat sails right on the sea at dusk");
    assert_eq!(told["recipe"]["seed"], 1);
    assert_eq!(told["visible_mark"], true);
}

#[test]
fn one_flipped_byte_is_told() {
    let desk = Desk::new();
    let path = desk.clip("boat.mp4", "1");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 1000;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let output = desk.run(&["verify", "boat.mp4", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["state"], "tampered");
}

#[test]
fn another_installation_cannot_vouch() {
    let desk = Desk::new();
    desk.clip("boat.mp4", "1");
    let told: Value =
        serde_json::from_str(&desk.succeed(&["verify", "boat.mp4", "--json", "--home", "elsewhere"])).unwrap();
    assert_eq!((&told["state"], &told["signer"]["trust"]), (&"untouched".into(), &"unknown".into()));
}

#[test]
fn the_paper_world_can_be_drawn() {
    let desk = Desk::new();
    let captions = desk.succeed(&["paper", "--seed", "3", "--size", "144x80", "-o", "x.mp4"]);
    assert_eq!(captions.lines().count(), 4);
    assert_eq!(crate::read(&desk.path("x.mp4")).frames().len(), 48);
}

/// Leaves a clip of the product for the reference reader of C2PA, which `./test` runs.
#[test]
#[ignore = "writes files for another program; ./test asks for it by name"]
fn files_for_the_reference_reader() {
    let Some(folder) = std::env::var_os("MISORA_SIGNED_DIR") else { return };
    let folder = std::path::Path::new(&folder).join("generated");
    std::fs::create_dir_all(&folder).unwrap();
    let desk = Desk::new();
    std::fs::copy(desk.clip("boat.mp4", "1"), folder.join("boat.mp4")).unwrap();
    std::fs::copy(desk.path("home/keys/root.pem"), folder.join("root.pem")).unwrap();
}

/// A statement needs no model and no clip: it is known by what is in it, whatever its name.
#[test]
fn a_receipt_is_told_in_words() {
    let desk = Desk::new();
    let key = provenance::SigningKey::open_or_create(&desk.path("home/keys"), "Paper Studio").unwrap();
    let facts = br#"{"service":"video","clips":3}"#;
    let receipt = provenance::sign_statement(&key, "misora-deletion-receipt+json", facts).unwrap();
    std::fs::write(desk.path("paper.txt"), &receipt).unwrap();
    let text = desk.succeed(&["verify", "paper.txt"]);
    for words in ["UNTOUCHED", "a receipt of deletion", "Paper Studio: signed by this installation", "clips: 3"] {
        assert!(text.contains(words), "{text}");
    }
    let told: Value = serde_json::from_str(&desk.succeed(&["verify", "paper.txt", "--json"])).unwrap();
    assert_eq!((&told["state"], &told["payload"]["service"]), (&"untouched".into(), &"video".into()));

    std::fs::write(desk.path("paper.txt"), receipt.replacen("\"payload\":\"e", "\"payload\":\"f", 1)).unwrap();
    let output = desk.run(&["verify", "paper.txt"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("TAMPERED"));
    std::fs::write(desk.path("paper.txt"), "{}").unwrap();
    assert_eq!(desk.run(&["verify", "paper.txt"]).status.code(), Some(1));
}
